# SPDX-License-Identifier: MIT
"""make bench: the path from an unmodified program to its server: direct, ours and the rivals'.

See tests/bench/README.md.
"""

import argparse
import collections
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import namespace  # noqa: E402
import paths
import paths_tls
import report
import scenarios
import servers
import strangers  # noqa: F401
from processes import Failed, Ports, Processes, family, user_memory, wait_until

RIVALS = {**paths.RIVALS, **paths_tls.RIVALS}
OURS = {**paths.OURS, **paths_tls.OURS}
KINDS = {"direct": paths.Direct, **OURS, **RIVALS}


class Bench:
    """One run: what it has started, and what scenarios may ask for."""

    def __init__(self, options, folder, results):
        self.options = options
        self.folder = folder
        self.results = results
        self.scenario = ""  # the one that runs now
        self.seconds = options.seconds
        self.ports = Ports()
        self.processes = Processes(folder)
        self.targets = {}
        self.control_port = 0
        self.shared = {}  # paths that stay up for the whole run
        self.temporary = []  # paths and processes of the current scenario
        self.count = 0
        self.clean = {key: value for key, value in os.environ.items()
                      if not key.startswith("SMUXSHIM_") and not key.lower().endswith("_proxy")}

    # ---- Starting things

    def built(self, name):
        return os.path.join(self.options.build, name)

    def tool(self, name):
        return os.path.join(self.options.build, "bench-path", name)

    def new_folder(self, title):
        self.count += 1
        folder = os.path.join(self.folder, f"{self.count}-{re.sub('[^a-z0-9]+', '-', title)}")
        os.mkdir(folder, 0o700)
        return folder

    def start_line(self, port):
        argv = [self.tool("delay"), "--to", str(port), "--rtt-ms", f"{self.options.rtt_ms:g}",
                "--mbit", f"{self.options.mbit:g}"]
        process, (line,) = self.processes.start_telling(f"delay-{port}", argv)
        self.temporary.append(lambda: self.processes.stop(process))
        return line

    def start_path(self, kind, names, line=False, peers=0):
        """A path for one scenario, removed after it, to these servers and to as many peers of its
        own."""
        targets = {name: self.targets[name] for name in names}
        for i in range(peers):
            process, (targets[f"peer{i}"], _) = servers.start_peer(self)
            self.temporary.append(lambda process=process: self.processes.stop(process))
        path = KINDS[kind](self, targets, line=line)
        self.temporary.append(path.end)
        path.begin()
        return path

    def end_temporary(self):
        while self.temporary:
            self.temporary.pop()()

    # ---- Running things

    def client(self, path, argv, env=None):
        """Runs a client over a path; returns what it prints."""
        limit = 30 + 10 * self.seconds
        try:
            done = subprocess.run(path.prefix + argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  env=env or self.clean, timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"{os.path.basename(argv[0])}: not done after {limit:.0f} s") from None
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip())[-300:]
            raise Failed(f"{os.path.basename(argv[0])}: exit status {done.returncode}: {said}")
        return done.stdout

    @contextlib.contextmanager
    def holding(self, path, argv):
        """Runs a client that prints a line and then waits; yields the line."""
        with open(self.processes.log("opener"), "ab") as log:
            process = subprocess.Popen(path.prefix + argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=log, env=self.clean, text=True)
        self.processes.running.append(("opener", process))
        try:
            line = process.stdout.readline()
            self.expect(line.strip(), f"opener: {self.processes.said('opener')}")
            yield line
        finally:
            self.processes.stop(process)

    def drain(self, seconds=10):
        """Waits until no bulk data is on its way to the peer any more."""
        def over():
            with socket.create_connection(("127.0.0.1", self.control_port)) as peer:
                peer.sendall(b"q")
                with peer.makefile("rb") as answer:
                    return struct.unpack("=qI", answer.read(12))[1] == 0
        wait_until("the end of bulk transfers", over, seconds=seconds)

    def idle_connections(self, descriptors_each):
        """As many as wanted, or as the limit of descriptors allows."""
        return min(self.options.idle, (self.options.descriptors - 200) // descriptors_each)

    def failed(self, title, error):
        """Reports what goes wrong, now and below the table. A path that stays up for the whole run may
        be stuck (some stop for good when one stream's reader does), so it is restarted."""
        self.results.fail(self.scenario, title, error)
        say(f"  {self.scenario} over {title}: {error}")
        for path in self.shared.values():
            if path.title == title:
                path.end()
                path.restart = True

    def shared_path(self, name):
        path = self.shared[name]
        if path.restart:
            self.shared[name] = path = KINDS[name](self, self.targets)
            path.begin()
        return path

    @contextlib.contextmanager
    def tolerating(self, path):
        """A failure in here does not lose what has been measured already."""
        try:
            yield
        except Failed as error:
            self.failed(path.title, error)

    def expect(self, condition, what):
        if not condition:
            raise Failed(what)

    def pause(self, seconds):
        time.sleep(seconds)

    def memory(self, processes):
        return user_memory([process.pid for process in processes])

    # ---- Counting

    def preloaded(self, path):
        """The environment variables that a program has on this path only."""
        if not path.prefix:
            return {}
        lines = self.client(path, ["env", "-0"]).split("\0")
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        return {key: value for key, value in found.items()
                if key == "LD_PRELOAD" or key.startswith("SMUXSHIM_")}

    def system_calls(self, path, argv):
        log = os.path.join(path.folder, "strace")
        extra = [f"-E{key}={value}" for key, value in self.preloaded(path).items()]
        subprocess.run(["strace", "-f", "-qq", "-o", log, *extra, *argv], check=True, capture_output=True,
                       env=self.clean)
        with open(log) as lines:
            return sum(1 for line in lines if "(" in line)

    def instructions(self, path, argv):
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *argv],
                              capture_output=True, text=True, env={**self.clean, **self.preloaded(path)})
        found = re.search(r"Collected : (\d+)", done.stderr)
        self.expect(done.returncode == 0 and found, f"callgrind: {done.stderr[-300:]}")
        return int(found[1])

    @contextlib.contextmanager
    def counting_calls(self, path):
        """Counts the relay's system calls meanwhile, with the kernel's tracepoint; the result is in .calls."""
        pids = ",".join(str(pid) for pid in sorted(family(path.pids())))
        perf = subprocess.Popen(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", pids],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, start_new_session=True)
        self.processes.running.append(("perf", perf))
        time.sleep(0.3)  # until it is attached; the relay is idle before the client starts
        result = argparse.Namespace(calls=0)
        try:
            yield result
        finally:
            perf.send_signal(signal.SIGINT)
            _, said = perf.communicate(timeout=10)
            self.processes.stop(perf)
        found = re.search(r"^(\d+),.*raw_syscalls", said, re.M)
        self.expect(found, f"perf stat counts no system calls here: {said.strip()[-200:]}")
        result.calls = int(found[1])


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- The run ------------------------------------------------------------------------------------


def wanted_paths(scenario, columns):
    names = list(columns)
    if scenario.paths is not None:
        names = [name for name in ["direct", *scenario.paths]
                 if name in columns or (name == "smuxshim-eager" and "smuxshim" in columns)]
    if scenario.name.startswith("line"):
        names = [name for name in names if KINDS[name].takes_line]
    return names


def measure(bench, scenario, name, results):
    try:
        values = scenario.run(bench, name if scenario.own else bench.shared_path(name))
        results.add(name, values)
    except (Failed, KeyError, ValueError, IndexError) as error:
        bench.failed(KINDS[name].title, error if isinstance(error, Failed) else repr(error))
    finally:
        bench.end_temporary()


def busy_share(seconds):
    """How much of all processors' time was used."""
    def look():
        with open("/proc/stat") as stat:
            ticks = [int(word) for word in stat.readline().split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)

    idle, total = look()
    time.sleep(seconds)
    idle_then, total_then = look()
    return 1 - (idle_then - idle) / max(1, total_then - total)


def wait_for_quiet(limit):
    """Waits until nobody else uses the machine, at most for `limit` seconds."""
    end = time.monotonic() + limit
    while limit and busy_share(0.3) > 0.1 and time.monotonic() < end:
        pass


def run_scenario(bench, scenario, columns, results):
    names = wanted_paths(scenario, columns)
    if not scenario.own:
        names = [name for name in names if name in bench.shared]
    for turn in range(1 if scenario.once else bench.options.rounds):
        say(f"{scenario.name}, round {turn + 1}")
        bench.scenario = scenario.name
        # Every round starts with a different path.
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            wait_for_quiet(bench.options.wait_quiet)
            measure(bench, scenario, name, results)


def prepare(bench, columns, results):
    """Builds what is missing; returns the columns that can be measured."""
    prepared = []
    for name in columns:
        try:
            KINDS[name].prepare(bench)
            prepared.append(name)
        except Failed as error:
            results.fail("start", name, error)
            say(f"  {name}: {error}")
    return prepared


def start_shared(bench, chosen, columns, results):
    """Starts the servers and a path of each kind; returns the columns that have one."""
    targets = sorted({target for scenario in chosen for target in scenario.targets})
    servers.start(bench, targets)
    started = []
    for name in columns:
        path = KINDS[name](bench, bench.targets)
        try:
            if not all(scenario.own for scenario in chosen):
                path.begin()
                bench.shared[name] = path
            started.append(name)
        except Failed as error:
            path.end()
            results.fail("start", name, error)
            say(f"  {name}: {error}")
    return started


def enter_namespace(control):
    try:
        namespace.enter(control)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(str(error)) from error


def show(chosen, columns, results, options):
    print(f"\n{report.machine()}, {namespace.congestion_control()}")
    print(f"Command: {options.command}")
    print(f"Medians of {options.rounds} interleaved rounds. The column direct is what was measured; the others "
          "are ratios to it, or measured values where the row has no direct one.\n")
    print(report.table(chosen, columns, results, "smuxshim-tls" if options.tls else "smuxshim"))
    for (scenario, path, error), times in collections.Counter(results.failures).items():
        print(f"failed{f' {times} times' if times > 1 else ''}: {scenario} over {path}: {error}")


def raise_limits(options):
    """Every connection is a descriptor or two in each process."""
    wanted = 2 * options.idle + 1000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            hard = wanted
        except (ValueError, PermissionError):
            say(f"descriptors are limited to {hard} for each process, and so are idle connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options.descriptors = hard


def parse(argv):
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__.split("\n")[0])
    known = [scenario.name for scenario in scenarios.ALL]

    def names_from(allowed):
        def parse_names(text):
            names = [name for name in text.split(",") if name]
            for name in names:
                if name not in allowed:
                    raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(allowed)}")
            return names
        return parse_names

    parser.add_argument("--tls", action="store_true",
                        help=f"TLS carriers beside plain ones and rivals that encrypt: {', '.join(scenarios.TLS)}")
    parser.add_argument("--only", type=names_from(known), metavar="SCENARIO,...", help=", ".join(known))
    parser.add_argument("--rivals", type=names_from(["none", *RIVALS]), metavar="RIVAL,...",
                        help=", ".join(RIVALS) + ", or none")
    parser.add_argument("--no-smuxshim", action="store_true", help="direct and rivals only")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", "5")))
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement (2)")
    parser.add_argument("--short", action="store_true", help="2 rounds of 1 s, 2000 idle connections")
    parser.add_argument("--smoke", action="store_true",
                        help="1 round, as short as can be; no time is judged, but whether all cells have a value")
    parser.add_argument("--idle", type=int, default=20000, help="idle connections (20000)")
    parser.add_argument("--rtt-ms", type=float, default=50, help="of the long path (50)")
    parser.add_argument("--mbit", type=float, default=200, help="of the long path (200)")
    parser.add_argument("--wait-quiet", type=float, default=0, metavar="SECONDS",
                        help="before each measurement, wait that long at most for others to stop using the machine")
    parser.add_argument("--congestion-control", metavar="NAME",
                        help="TCP's, for all, in a network namespace made for it (the system's)")
    parser.add_argument("--json", metavar="FILE", help="all numbers of all rounds")
    parser.add_argument("--build", default=os.environ.get("BUILD", "build"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.only is None:
        options.only = scenarios.TLS if options.tls else [name for name in known
                                                              if name not in scenarios.TLS[-2:]]
    if options.rivals is None:
        options.rivals = list((paths_tls if options.tls else paths).RIVALS)
    if options.short:
        options.rounds, options.seconds, options.idle = 2, 1, 2000
    if options.rounds < 1 or options.seconds < 0.5 or options.idle < 100:
        parser.error("expected at least 1 round, 0.5 seconds and 100 idle connections")
    if options.smoke:
        options.rounds, options.seconds, options.idle = 1, 0.2, 200
    options.build = os.path.abspath(options.build)
    options.command = "tests/bench/run " + " ".join(argv) if argv else "make bench"
    return options


def stop_on_signals():
    def stop(number, _):
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)


def main(argv):
    options = parse(argv)
    chosen = [scenario for scenario in scenarios.ALL if scenario.name in options.only]
    columns = ["direct"] + ([] if options.no_smuxshim else ["smuxshim"] + ["smuxshim-tls"] * options.tls)
    columns += [rival for rival in options.rivals if rival != "none"]
    wanted = columns
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    raise_limits(options)
    stop_on_signals()
    results = report.Results()
    folder = tempfile.mkdtemp(prefix="smuxshim-bench.")
    bench = Bench(options, folder, results)
    try:
        columns = prepare(bench, columns, results)  # this may download something
        if options.congestion_control:
            enter_namespace(options.congestion_control)
        columns = start_shared(bench, chosen, columns, results)
        for scenario in chosen:
            run_scenario(bench, scenario, columns, results)
    finally:
        bench.processes.stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    show(chosen, columns, results, options)
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"machine": report.machine(), "values": results.values, "failures": results.failures}, out,
                      indent=1)
    if options.smoke:
        empty = report.empty_cells(chosen, lambda scenario: wanted_paths(scenario, wanted), results)
        print("\n".join(f"no value for {cell}" for cell in empty))
        return 1 if empty or results.failures else 0
    return 1 if any(path.split()[0] in ("direct", *OURS) for _, path, _ in results.failures) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as error:
        say(f"bench: {error}")
        sys.exit(1)
