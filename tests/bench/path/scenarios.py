# SPDX-License-Identifier: MIT
"""The workloads: what is run, and which numbers it yields.

A scenario is a function that runs a workload once over a path and returns {metric: number}; the
metrics it may return are listed with it. Values are per path and round; the table shows them as
ratios to direct, or as they are.
"""

import json
import subprocess
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Callable, Optional

from processes import Failed


@dataclass
class Metric:
    key: str
    label: str
    unit: str
    ratio: bool = True  # shown as a ratio to direct; otherwise as measured
    target: Optional[tuple] = None  # (">=" or "<=", number): the target for smuxshim
    beat: str = ""  # a rival that smuxshim must beat
    by: float = 1.0  # ... by this factor
    tls: tuple = ()  # targets for smuxshim-tls: (">=" or "<=", factor, path), or without a path
    only: str = ""  # the one path that has a value; "": all have


@dataclass
class Scenario:
    name: str
    run: Callable
    metrics: list
    targets: tuple = ()  # servers it needs
    paths: Optional[tuple] = None  # only these (direct is always among them); None: all
    own: bool = False  # starts its paths itself
    once: bool = False  # counts that do not vary: one round
    tools: tuple = field(default=())


# With --tls: what our TLS carrier is to win against others, and what it may cost beside a plain one.
TLS_WINS = ((">=", 1.5, "stunnel"), (">=", 1.5, "haproxy-tls"))
TLS_RATE = ((">=", 0.9, "smuxshim"),)
TLS_TIME = (("<=", 1.1, "smuxshim"),)

# What `--tls` measures; the last two are of no use otherwise.
TLS = ("iperf", "ab", "redis", "ping", "cipher", "strangers")

ALL = []


def scenario(name, metrics, **more):
    def register(run):
        ALL.append(Scenario(name, run, metrics, **more))
        return run

    return register


def per_cpu(path, work, run):
    """Runs it; returns its result and the work done per CPU-second of the relay."""
    before = path.cpu() if path.relay else 0
    result = run()
    used = path.cpu() - before if path.relay else 0
    return result, (work(result) / used if used > 0 else None)


# ---- Throughput: iperf3 -------------------------------------------------------------------------

IPERF = {
    "one": ([], "iperf3, 1 stream"),
    "eight": (["-P", "8"], "iperf3, 8 streams"),
    "one_back": (["-R"], "iperf3, 1 stream, reverse"),
    "eight_back": (["-P", "8", "-R"], "iperf3, 8 streams, reverse"),
}


def received(bench, path, seconds, options):
    """The receiver's result of an iperf3 test. Its server may still be busy with the previous test."""
    # iperf3 knows whole seconds only, and 0 never ends.
    amount = ["-t", f"{seconds:.0f}"] if seconds >= 1 else ["-n", "100M"]
    argv = ["iperf3", "-c", "127.0.0.1", "-p", str(path.port("iperf")), "-J", *amount]
    for _ in range(5):
        said = json.loads(bench.client(path, argv + options))
        if "sum_received" in said["end"]:
            return said["end"]["sum_received"]
        time.sleep(0.2)
    raise Failed(f"iperf3: {said.get('error', 'no sum')}")


@scenario(
    "iperf",
    [Metric(f"iperf_{key}", label, "GB/s", target=(">=", 0.75), beat="haproxy", by=2,
            tls=TLS_WINS)
     for key, (_, label) in IPERF.items()]
    + [Metric(f"iperf_cpu{key}", f"... 1 stream{label}: GB per CPU-second of the relay", "GB", ratio=False,
              tls=TLS_WINS)
       for key, label in (("", ""), ("_back", ", reverse"))],
    targets=("iperf",),
)
def iperf(bench, path):
    values = {}
    for key, (options, _) in IPERF.items():

        def once():
            return received(bench, path, bench.seconds, options)

        got, efficiency = per_cpu(path, lambda got: got["bytes"] / 1e9, once)
        values[f"iperf_{key}"] = got["bits_per_second"] / 8e9
        if key.startswith("one"):
            values["iperf_cpu" + key.removeprefix("one")] = efficiency
    return values


# ---- Short connections: ab ----------------------------------------------------------------------


@scenario(
    "ab",
    [Metric("ab", "ab, 16 short connections at a time", "1/s", target=(">=", 0.7), beat="haproxy",
            tls=TLS_WINS),
     Metric("ab_p99", "... their p99 time", "ms"),
     Metric("ab_cpu", "... connections per CPU-second of the relay", "", ratio=False, tls=TLS_WINS)],
    targets=("web",),
)
def short_connections(bench, path):
    argv = ["ab", "-q", "-c", "16", "-t", f"{max(1, round(bench.seconds))}", "-n", "1000000",
            f"http://127.0.0.1:{path.port('web')}/"]
    seen = {}

    def once():
        lines = bench.client(path, argv).splitlines()
        seen.update((line.split(":")[0].strip(), line.split(":")[1].split()) for line in lines if ":" in line)
        seen.update((line.split()[0], line.split()[1:]) for line in lines if line.strip().startswith("99%"))
        bench.expect(seen["Failed requests"][0] == "0", "ab: requests failed")
        bench.expect("Non-2xx responses" not in seen, "ab: not all responses were 200")
        return float(seen["Complete requests"][0])

    _, efficiency = per_cpu(path, lambda done: done, once)
    return {"ab": float(seen["Requests per second"][0]), "ab_p99": float(seen["99%"][0]) or 0.5,
            "ab_cpu": efficiency}


# ---- Small requests: redis ----------------------------------------------------------------------

REDIS = [(test, pipeline) for pipeline in (1, 16) for test in ("GET", "SET")]


def redis_label(test, pipeline):
    return f"redis-benchmark {test} -c 50" + (f" -P {pipeline}" if pipeline > 1 else "")


@scenario(
    "redis",
    [metric for test, pipeline in REDIS for metric in (
        Metric(f"redis_{test}_{pipeline}", redis_label(test, pipeline), "1/s", target=(">=", 0.75), beat="haproxy",
               tls=TLS_RATE),
        Metric(f"redis_{test}_{pipeline}_p99", "... p99 time", "ms", target=("<=", 1.5), tls=TLS_TIME))]
    + [Metric("redis_cpu", "... GET and SET -c 50: requests per CPU-second of the relay", "", ratio=False,
              tls=TLS_RATE)],
    targets=("redis",),
)
def redis(bench, path):
    values = {}
    for pipeline in (1, 16):
        count = int(bench.seconds * (30000 if pipeline == 1 else 200000))
        argv = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(path.port("redis")), "-c", "50", "-n", str(count),
                "-P", str(pipeline), "-t", "get,set", "--csv"]
        said, efficiency = per_cpu(path, lambda _: 2 * count, lambda: bench.client(path, argv))
        if pipeline == 1:
            values["redis_cpu"] = efficiency
        for line in said.splitlines():
            fields = line.replace('"', "").split(",")
            if fields[0] in ("GET", "SET"):
                values[f"redis_{fields[0]}_{pipeline}"] = float(fields[1])
                values[f"redis_{fields[0]}_{pipeline}_p99"] = float(fields[6])
    return values


# ---- Latency: 64 bytes there and back -----------------------------------------------------------

BACKGROUNDS = {
    "up": "while a stream sends bulk data",
    "down": "while a stream receives bulk data",
    "stopped": "beside streams whose readers have stopped",
}


@scenario(
    "ping",
    [Metric("ping_p50", "64-byte ping-pong, p50", "us", target=("<=", 3), tls=TLS_TIME),
     Metric("ping_p99", "... p99", "us")]
    + [metric for key, label in BACKGROUNDS.items() for metric in (
        Metric(f"ping_{key}_p99", f"... p99 {label}", "us"),
        Metric(f"ping_{key}_own", "...... over the same path's p99 without", "x", ratio=False, target=("<=", 2),
               tls=(("<=", 2),)))],
    targets=("peer",),
    tools=("ping", "peer"),
)
def ping(bench, path):
    def once(background):
        argv = [bench.tool("ping"), "--port", str(path.port("peer")), "--seconds", f"{bench.seconds / 2:g}",
                "--background", background]
        return [float(word) for word in bench.client(path, argv).split()]

    _, p50, p99 = once("none")
    values = {"ping_p50": p50, "ping_p99": p99}
    with bench.tolerating(path):
        for background in BACKGROUNDS:
            _, _, loaded = once(background)
            values[f"ping_{background}_p99"] = loaded
            values[f"ping_{background}_own"] = loaded / p99
    return values


# ---- What encryption costs at least -------------------------------------------------------------


def cipher_speed():
    """GB that one processor encrypts in a second of its time, in blocks of a full record."""
    argv = ["openssl", "speed", "-evp", "aes-128-gcm", "-bytes", "16384", "-seconds", "1"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return float(said.split()[-1].rstrip("k")) / 1e6


@scenario(
    "cipher",
    [Metric("cipher", "AES-128-GCM, GB per CPU-second (openssl speed)", "GB", ratio=False, only="direct")]
    + [metric for key, label in (("", ""), ("_back", ", reverse")) for metric in (
        Metric(f"cipher_sum{key}", f"... GB per CPU-second that the sum allows, 1 stream{label}", "GB", ratio=False,
               only="smuxshim-tls"),
        Metric(f"cipher_reached{key}", "...... reached of that", "x", ratio=False, only="smuxshim-tls",
               tls=((">=", 0.7),)))],
    paths=("smuxshim-tls",), own=True, once=True,
)
def cipher(bench, name):
    """A GB costs what our plain carrier takes for it, and what it takes to encrypt it and to decrypt it."""
    if name == "direct":
        return {"cipher": median(cipher_speed() for _ in range(1 if bench.options.smoke else 3))}
    values, speed = {}, bench.results.median("cipher", "direct")
    for key in ("", "_back"):
        plain, over_tls = (bench.results.median(f"iperf_cpu{key}", path) for path in ("smuxshim", "smuxshim-tls"))
        if not plain or not over_tls or not speed:
            raise Failed("the sum needs iperf over smuxshim and smuxshim-tls")
        values[f"cipher_sum{key}"] = 1 / (1 / plain + 2 / speed)
        values[f"cipher_reached{key}"] = over_tls / values[f"cipher_sum{key}"]
    return values


# ---- A long path --------------------------------------------------------------------------------


def jain(shares):
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def line_scenario(name, label, paths, target_request, bulk):
    metrics = [Metric(f"{name}_request", label, "ms", target=("<=", target_request))]
    if bulk:
        metrics += [
            Metric(f"{name}_up", "... 1 bulk stream up", "MB/s", target=(">=", 0.9)),
            Metric(f"{name}_down", "... 1 bulk stream down", "MB/s", target=(">=", 0.9)),
            Metric(f"{name}_beside", "... 64-byte ping-pong beside 1 bulk stream up, p50", "ms"),
            Metric(f"{name}_sum", "... 16 bulk streams up, together", "MB/s", target=(">=", 0.9)),
            Metric(f"{name}_jain", "...... how evenly (Jain's index)", "", ratio=False, target=(">=", 0.98)),
        ]

    @scenario(name, metrics, targets=("peer",), paths=paths, own=True, tools=("ping", "peer", "bulk", "delay"))
    def run(bench, path_kind):
        path = bench.start_path(path_kind, ("peer",), line=True)
        port = ["--port", str(path.port("peer"))]
        warm = min(1, 2 * bench.seconds)

        def rates(*options):
            words = bench.client(path, [bench.tool("bulk"), *port, "--control-port", str(bench.control_port),
                                        "--seconds", f"{bench.seconds:g}", "--warm", f"{warm:g}", *options])
            bench.drain()
            return [float(word) / 1e6 for word in words.split()]

        request = bench.client(path, [bench.tool("ping"), *port, "--fresh", "--seconds", f"{bench.seconds:g}"])
        values = {f"{name}_request": float(request.split()[1]) / 1e3}
        if bulk:
            with bench.tolerating(path):
                values[f"{name}_up"] = rates()[0]
                values[f"{name}_down"] = rates("--reverse")[0]
                ping = [bench.tool("ping"), *port, "--seconds", f"{bench.seconds:g}", "--background", "up",
                        "--settle", f"{warm:g}"]
                values[f"{name}_beside"] = float(bench.client(path, ping).split()[1]) / 1e3
                bench.drain()
                shares = rates("--streams", "16")
                values.update({f"{name}_sum": sum(shares), f"{name}_jain": jain(shares)})
        return values


line_scenario("line", "50 ms path: short request, connect = confirm", None, 1.05, True)
line_scenario("line_eager", "50 ms path: short request, connect = eager", ("smuxshim-eager",), 0.55, False)


# ---- Many idle connections ----------------------------------------------------------------------


@scenario(
    "idle",
    [Metric("idle_connect", "connect, the first of many", "us"),
     Metric("idle_last", "... the last of them over the first", "x", ratio=False, target=("<=", 1.5)),
     Metric("idle_near", "... memory of the near side, each", "B", ratio=False, target=("<=", 1024)),
     Metric("idle_far", "... memory of the far side, each", "B", ratio=False, target=("<=", 1024)),
     Metric("idle_cpu", "... CPU of the relay while all are idle", "ms/s", ratio=False, target=("<=", 0))],
    paths=("haproxy", "smuxshim"), own=True, tools=("opener", "peer"),
)
def idle(bench, path_kind):
    path = bench.start_path(path_kind, (), peers=4)
    opener = [bench.tool("opener")]
    for port in path.ports.values():
        opener += ["--port", str(port)]
    # What is allocated once, for the first connections, is not a cost of each.
    bench.client(path, opener + ["--count", "100"])
    near, far = bench.memory(path.near), bench.memory(path.far)
    count = bench.idle_connections(path.descriptors_each)
    with bench.holding(path, opener + ["--count", str(count), "--hold"]) as line:
        _, first, last = (float(word) for word in line.split())
        values = {"idle_connect": first, "idle_last": last / first}
        bench.pause(0.5)
        if path.near:
            values["idle_near"] = (bench.memory(path.near) - near) / count
        if path.far:
            values["idle_far"] = (bench.memory(path.far) - far) / count
        if path.relay:
            before = path.cpu()
            bench.pause(2)
            values["idle_cpu"] = (path.cpu() - before) / 2 * 1000
    return values


# ---- What is not routed -------------------------------------------------------------------------


@scenario(
    "untouched",
    [Metric("plain_connect", "connect that is not routed, time", "us", target=("<=", 1.05))],
    targets=("peer",), paths=("smuxshim",), tools=("opener", "peer"),
)
def untouched(bench, path):
    # No route covers the control port.
    argv = [bench.tool("opener"), "--port", str(bench.control_port), "--count", str(int(5000 * bench.seconds))]
    return {"plain_connect": float(bench.client(path, argv).split()[1])}


@scenario(
    "untouched_counts",
    [Metric("plain_calls", "... system calls (socket, connect, setsockopt, close)", "", target=("<=", 1)),
     Metric("plain_code", "... instructions in user space", "", ratio=False),
     Metric("first_calls", "... the first one of a process: system calls", "", ratio=False),
     Metric("first_code", "... ... instructions in user space", "", ratio=False),
     Metric("start_calls", "program that never connects: system calls", "", ratio=False),
     Metric("start_code", "... instructions in user space", "", ratio=False)],
    targets=("peer",), paths=("smuxshim",), once=True, tools=("opener", "peer"),
)
def untouched_counts(bench, path):
    many = 1000
    argv = [bench.tool("opener"), "--port", str(bench.control_port), "--count"]
    values = {}
    for key, count in (("calls", bench.system_calls), ("code", bench.instructions)):
        none, one, some = (count(path, argv + [str(connects)]) for connects in (0, 1, many + 1))
        values[f"start_{key}"] = none
        values[f"first_{key}"] = one - none
        values[f"plain_{key}"] = (some - one) / many
    return values


# ---- System calls of the relay ------------------------------------------------------------------


@scenario(
    "syscalls",
    [Metric("calls_mb", "system calls of the relay per MB, iperf3 1 stream", "", ratio=False),
     Metric("calls_connection", "... per connection, ab", "", ratio=False),
     Metric("calls_request", "... per request, redis-benchmark GET -c 50", "", ratio=False)],
    targets=("iperf", "web", "redis"),
)
def relay_calls(bench, path):
    if not path.relay:
        return {}
    seconds = max(1, round(bench.seconds / 2))
    requests = 20000
    with bench.counting_calls(path) as stream:
        moved = received(bench, path, seconds, [])["bytes"]
    with bench.counting_calls(path) as short:
        said = bench.client(path, ["ab", "-q", "-c", "16", "-t", str(seconds), "-n", "1000000",
                                   f"http://127.0.0.1:{path.port('web')}/"])
        done = int(said.split("Complete requests:")[1].split()[0])
    with bench.counting_calls(path) as small:
        bench.client(path, ["redis-benchmark", "-h", "127.0.0.1", "-p", str(path.port("redis")), "-c", "50",
                            "-n", str(requests), "-t", "get", "--csv"])
    return {"calls_mb": stream.calls / (moved / 1e6), "calls_connection": short.calls / done,
            "calls_request": small.calls / requests}
