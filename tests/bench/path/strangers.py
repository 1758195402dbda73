# SPDX-License-Identifier: MIT
"""The workload `strangers`: what an established session notices of those who only hold handshakes open."""

import base64
import subprocess

from paths_tls import SmuxshimTls
from processes import cpu_seconds
from scenarios import Metric, scenario


class Besieged(SmuxshimTls):
    """Its gateway has a key as well, so that it answers strangers and waits for what they show."""

    def write(self, name, text, mode=0o644):
        if name == "gateway.conf":
            nobody = base64.b64encode(bytes(32)).decode()
            text += f"key = {self.folder}/key\nclient-pins = sha256//{nobody}\n"
            self.gateway_port = int(text.split("127.0.0.1:")[1].split()[0])
        return super().write(name, text, mode)


def ping(bench, path):
    argv = [bench.tool("ping"), "--port", str(path.port("peer")), "--seconds", f"{bench.seconds:g}"]
    return [float(word) for word in bench.client(path, argv).split()][1:]


WHEN = {"quiet": "64-byte ping-pong over TLS", "arriving": "... while strangers arrive, 2000 per second",
        "beside": "... beside those that the gateway holds"}


@scenario(
    "strangers",
    [Metric(f"strangers_{when}_{p}", f"{label}, {p}", "us", ratio=False, only="smuxshim-tls")
     for when, label in WHEN.items() for p in ("p50", "p99")]
    + [Metric("strangers_held", "half-open handshakes that the gateway holds", "", ratio=False, only="smuxshim-tls"),
       Metric("strangers_cpu", "... processor time of the gateway for each that has come", "us", ratio=False,
              only="smuxshim-tls"),
       Metric("strangers_memory", "... memory of the gateway for each", "KiB", ratio=False, only="smuxshim-tls")],
    targets=("peer",),
    paths=("smuxshim-tls",),
    own=True,
)
def strangers(bench, name):
    if name == "direct":
        return {}
    path = Besieged(bench, {"peer": bench.targets["peer"]})
    bench.temporary.append(path.end)
    path.begin()
    values = {}

    def measure(when):
        values[f"strangers_{when}_p50"], values[f"strangers_{when}_p99"] = ping(bench, path)

    measure("quiet")
    gateway = [process.pid for process in path.far]
    before, used = bench.memory(path.far), cpu_seconds(gateway)
    count = bench.idle_connections(1)
    argv = [bench.tool("strangers"), "--port", str(path.gateway_port), "--count", str(count), "--rate", "2000"]
    attack = bench.processes.start("strangers", argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    bench.temporary.append(lambda: bench.processes.stop(attack))
    measure("arriving")
    line = attack.stdout.readline().split()
    bench.expect(line, f"strangers: {bench.processes.said('strangers')}")
    held = int(line[1])
    values["strangers_held"] = held
    # Of the pings, too: a few percent.
    values["strangers_cpu"] = (cpu_seconds(gateway) - used) / count * 1e6
    values["strangers_memory"] = (bench.memory(path.far) - before) / max(1, held) / 1024
    measure("beside")
    return values
