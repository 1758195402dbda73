#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Transfers in both directions, of known length and content, while whatever carries them is killed:
none may end short without an error, at either end.

    BUILD=build tests/e2e/programs/campaign/run.py --transfers 10000 --load 15

prints its seed, what was killed how often and how the transfers ended; exit status 1 if one looked
complete and was not, or hung, or if anything did not come back to life.  What is done: helper and
gateway are killed, ended and stopped; the carrier is cut in the middle by an end, by a reset, on one
side, or falls silent (wire.py); targets and clients reset (transfers.py); smux versions 1 and 2,
confirmed and eager connects.

    ... run.py --carrier tls --cut-within 30000 --cuts end,reset,change --only-cuts

runs it over TLS, where a byte may also be changed on its way, and cuts every carrier within so many
bytes, in the handshake, within a record or between two.
"""

import argparse
import asyncio
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile

import target as targets
import transfers
import wire as wires

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[3]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).absolute()
PROCESSES = 4
START_LIMIT_S = 60
END_LIMIT_S = 30

GATEWAY = """[listen]
address = {scheme}://127.0.0.1:{gateway}
{trust}
workers = {workers}
allow = 127.0.0.1:{confirmed}, 127.0.0.1:{eager}
drain-timeout = {drain}ms
keepalive-interval = 500ms
keepalive-timeout = 3s
"""
SMUXSHIM = """[gateway main]
address = {scheme}://127.0.0.1:{carrier}
{trust}
version = {version}
connections = {connections}
retry-min = {retry}ms
retry-max = 200ms
keepalive-interval = 500ms
keepalive-timeout = 3s
[route confirmed]
destinations = 127.0.0.1:{confirmed}
[route eager]
destinations = 127.0.0.1:{eager}
connect = eager
[helper]
socket = {folder}/smuxshim-helper.sock
autostart = no
log-level = info
"""


class Daemon:
    """The helper or the gateway."""

    def __init__(self, name, command, folder, alive, problems):
        self.name, self.command, self.folder, self.alive, self.problems = name, command, folder, alive, problems
        self.process = None

    async def start(self):
        with open(f"{self.folder}/{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(START_LIMIT_S * 50):
            if await self.alive():
                return
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.02)
        raise RuntimeError(f"the {self.name} does not start: {self.process.poll()}")

    async def end(self, number):
        if self.process.poll() is not None:
            self.problems.append(f"the {self.name} ended by itself: {self.process.returncode}")
            return
        self.process.send_signal(number)
        for _ in range(END_LIMIT_S * 50):
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.02)
        else:
            self.problems.append(f"the {self.name} did not end after {number.name}")
            self.process.kill()
            self.process.wait()
        if number == signal.SIGTERM and self.process.returncode != 0:
            self.problems.append(f"the {self.name} ended with {self.process.returncode} after SIGTERM")


class Campaign:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.rng = random.Random(args.seed)
        self.counts, self.problems, self.outcomes = {}, [], {}
        self.burners, self.running = [], []
        self.over = asyncio.Event()
        self.fixed = dict(folder=folder, scheme=args.carrier, workers=self.rng.choice((1, 2)), trust="",
                          retry=1 if args.cut_within else 100, connections=4 if args.cut_within else 1)

    def make_secret(self):
        psk = f"{self.folder}/carrier.psk"
        subprocess.check_call([BUILD / "smuxctl", "genpsk", "test", psk])
        self.fixed["trust"] = f"psk = {psk}"

    def write_configuration(self):
        """Called before each start: draws some settings anew."""
        drawn = dict(self.ports, **self.fixed, version=self.rng.choice((1, 2)), drain=self.rng.choice((0, 100, 1000)))
        for name, text in (("gateway.conf", GATEWAY), ("smuxshim.conf", SMUXSHIM)):
            pathlib.Path(self.folder, name).write_text(text.format(**drawn))

    async def begin(self):
        port = lambda: int(subprocess.check_output([ROOT / "tests/run/port", self.folder]))  # noqa: E731
        self.ports = {name: port() for name in ("gateway", "carrier", "confirmed", "eager")}
        if self.args.carrier == "tls":
            self.make_secret()
        self.write_configuration()
        self.target, self.server = await targets.start(self.ports["confirmed"])
        self.eager_target, self.eager_server = await targets.start(self.ports["eager"])
        modes = self.args.cuts.split(",") if self.args.cuts else list(wires.MODES)
        if not self.args.cuts and self.args.carrier == "tls":
            modes.append("change")
        self.wire = wires.Wire(self.ports["gateway"], self.rng, self.counts, modes, self.args.cut_within)
        self.wire_server = await self.wire.listen(self.ports["carrier"])
        conf = f"{self.folder}/smuxshim.conf"
        self.gateway = Daemon("gateway", [BUILD / "smux-gateway", "-c", f"{self.folder}/gateway.conf"],
                              self.folder, self.gateway_answers, self.problems)
        self.helper = Daemon("helper", [BUILD / "smux-helper", "-c", conf, "-f"], self.folder,
                             self.helper_answers, self.problems)
        await self.gateway.start()
        await self.helper.start()

    async def gateway_answers(self):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.ports["gateway"])
            writer.close()
            return True
        except OSError:
            return False

    async def helper_answers(self):
        try:
            _, writer = await asyncio.open_unix_connection(f"{self.folder}/smuxshim-helper.sock")
            writer.close()
            return True
        except OSError:
            return False

    # ---- The disturbances ----

    async def bring_back(self, daemon, number):
        await daemon.end(number)
        if self.rng.random() < 0.5:
            await asyncio.sleep(self.rng.uniform(0, 0.3))
        self.write_configuration()
        await daemon.start()

    async def stop(self, daemon):
        """Stops it; then lets it continue, or kills it while it is stopped."""
        daemon.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self.rng.uniform(0.01, 0.5))
        if self.rng.random() < 0.5:
            await self.bring_back(daemon, signal.SIGKILL)
        else:
            daemon.process.send_signal(signal.SIGCONT)

    async def kill_workers(self):
        workers = subprocess.run(["pgrep", "-P", str(self.gateway.process.pid)], capture_output=True, text=True)
        for worker in workers.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGKILL)

    async def rage(self):
        deeds = {
            "helper killed": lambda: self.bring_back(self.helper, signal.SIGKILL),
            "helper ended": lambda: self.bring_back(self.helper, signal.SIGTERM),
            "helper stopped": lambda: self.stop(self.helper),
            "gateway killed": lambda: self.bring_back(self.gateway, signal.SIGKILL),
            "gateway ended": lambda: self.bring_back(self.gateway, signal.SIGTERM),
            "gateway stopped": lambda: self.stop(self.gateway),
            "carrier cut": self.cut,
        }
        if self.fixed["workers"] > 1:
            deeds["workers killed"] = self.kill_workers
        while not self.over.is_set():
            await asyncio.sleep(self.rng.uniform(0, self.args.pause))
            name = self.rng.choice(list(deeds))
            if name in self.args.without or self.args.only_cuts:
                continue
            self.counts[name] = self.counts.get(name, 0) + 1
            await deeds[name]()

    async def cut(self):
        self.wire.cut_one(self.rng.choice(wires.MODES))

    # ---- Clients ----

    def client_command(self, i):
        share = self.args.transfers // PROCESSES
        return [sys.executable, str(HERE / "client.py"), str(self.args.seed * PROCESSES + i),
                str(self.args.seconds), str(i * share), str(share), self.args.kinds, str(self.ports["confirmed"]),
                str(self.ports["eager"])]

    async def clients(self):
        env = dict(os.environ, LD_PRELOAD=str(BUILD / "libsmuxshim.so"),
                   SMUXSHIM_CONFIG=f"{self.folder}/smuxshim.conf", PYTHONDONTWRITEBYTECODE="1")
        for i in range(PROCESSES):
            self.running.append(await asyncio.create_subprocess_exec(
                *self.client_command(i), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE))
        await asyncio.gather(*(self.listen(process) for process in self.running))

    async def listen(self, process):
        while line := await process.stdout.readline():
            number, kind, end, *more = line.decode().split(maxsplit=3)
            if end in ("WRONG", "HUNG"):
                self.problems.append(f"client: transfer {number} ({kind}): {end} {' '.join(more).strip()}")
            if kind == "broken" and end == "complete":
                self.problems.append(f"client: transfer {number} was reset and looks complete")
            self.outcomes[kind, end] = self.outcomes.get((kind, end), 0) + 1
        if await process.wait() != 0:
            self.problems.append(f"a client ended with {process.returncode}")

    # ---- The run ----

    async def settle(self):
        """Lost connections must end at the targets, too."""
        for _ in range(END_LIMIT_S * 20):
            if not self.target.open_now and not self.eager_target.open_now:
                return
            await asyncio.sleep(0.05)
        self.problems.append(f"{self.target.open_now + self.eager_target.open_now} connections of targets are left")

    def kill_all(self):
        daemons = [daemon.process for daemon in (self.helper, self.gateway)]
        for process in self.burners + self.running + daemons:
            if process and process.returncode is None:
                process.kill()

    async def run(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
        await self.begin()
        try:
            self.burners += [subprocess.Popen([sys.executable, "-c", "while True: pass"])
                             for _ in range(self.args.load)]
            raging = asyncio.create_task(self.rage())
            await self.clients()
            self.over.set()
            await raging
            self.wire.cutting = False
            await self.settle()
        finally:
            self.kill_all()
        self.problems += self.target.problems + self.eager_target.problems

    def report(self):
        total = sum(self.outcomes.values())
        print(f"{total} transfers, seed {self.args.seed}")
        for title, table in (("clients", self.outcomes), ("targets", self.target.ends),
                             ("targets, eager", self.eager_target.ends)):
            print(f"{title}: " + ", ".join(f"{' '.join(key)} {n}" for key, n in sorted(table.items())))
        print("done: " + ", ".join(f"{name} {n}" for name, n in sorted(self.counts.items())))
        for problem in self.problems[:40]:
            print(problem)
        print(f"{len(self.problems)} problems")
        return 0 if total and not self.problems else 1


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--transfers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3600, help="no new transfer after so many")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--load", type=int, default=0, help="busy processes beside it")
    parser.add_argument("--pause", type=float, default=4, help="at most so many seconds between deeds")
    parser.add_argument("--carrier", choices=("tcp", "tls"), default=os.environ.get("SMUX_TEST_CARRIER", "tcp"))
    parser.add_argument("--cut-within", type=int, default=0, metavar="BYTES", help="of every carrier; 0: mostly later")
    parser.add_argument("--cuts", metavar="MODES", help="what cuts do (wire.py)")
    parser.add_argument("--only-cuts", action="store_true", help="no other deeds")
    parser.add_argument("--without", action="append", default=[], metavar="DEED")
    parser.add_argument("--kinds", default=",".join(transfers.KINDS), help="of transfers (transfers.py)")
    parser.add_argument("--keep", metavar="FOLDER", help="for logs and configuration, which stay")
    return parser.parse_args()


def main():
    args = options()
    with tempfile.TemporaryDirectory(prefix="smuxshim-campaign.") as folder:
        campaign = Campaign(args, args.keep or folder)
        asyncio.run(campaign.run())
        sys.exit(campaign.report())


main()
