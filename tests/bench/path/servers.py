# SPDX-License-Identifier: MIT
"""The servers that clients talk to: the same processes for all paths."""

import os
import subprocess

from processes import Failed, wait_until


def start_iperf(bench):
    port = bench.ports.take()
    bench.processes.start("iperf3", ["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)], port)
    return port


def start_web(bench):
    port, folder = bench.ports.take(), bench.new_folder("web")
    with open(os.path.join(folder, "index.html"), "w") as page:
        page.write("x" * 1023 + "\n")
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(os.path.join(folder, "nginx.conf"), "w") as config:
        config.write(
            f"daemon off; pid {folder}/pid; error_log {folder}/errors; worker_processes 2; {user}\n"
            "events { worker_connections 4000; }\n"
            f"http {{ access_log off; keepalive_timeout 0; {temporary}\n"
            f"    server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}; }} }}\n")
    bench.processes.start("nginx", ["nginx", "-c", f"{folder}/nginx.conf"], port)
    return port


def start_redis(bench):
    port, folder = bench.ports.take(), bench.new_folder("redis")
    bench.processes.start("redis", ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                                    "--appendonly", "no", "--dir", folder, "--daemonize", "no"], port)

    def answers():
        asked = subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, text=True)
        return asked.stdout.strip() == "PONG"

    wait_until("redis-server", answers)
    return port


def start_peer(bench):
    return bench.processes.start_telling("peer", [bench.tool("peer")])


def start_shared_peer(bench):
    _, (port, bench.control_port) = start_peer(bench)
    return port


STARTERS = {"iperf": start_iperf, "web": start_web, "redis": start_redis, "peer": start_shared_peer}


def start(bench, names):
    for name in names:
        try:
            bench.targets[name] = STARTERS[name](bench)
        except FileNotFoundError as error:
            raise Failed(f"{error.filename} is missing") from None
