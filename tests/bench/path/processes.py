# SPDX-License-Identifier: MIT
"""Ports, processes and what the kernel says about them."""

import os
import random
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """A program did not do what the benchmark needs; the text names it and quotes its output."""


class Ports:
    """Free ports of 127.0.0.1 below the range that the kernel assigns to clients; none twice."""

    def __init__(self):
        self.used = set()

    def take(self):
        for _ in range(1000):
            port = random.randrange(10000, 32000)
            if port in self.used:
                continue
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            self.used.add(port)
            return port
        raise Failed("no free port below 32000")


def listening(port):
    wanted = f"0100007F:{port:04X}"
    anywhere = f"00000000:{port:04X}"
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            if fields[1] in (wanted, anywhere) and fields[3] == "0A":
                return True
    return False


def wait_until(what, condition, alive=lambda: True, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if not alive():
            raise Failed(f"{what}: the process ended")
        if time.monotonic() > end:
            raise Failed(f"{what}: waited {seconds} s in vain")
        time.sleep(0.02)


class Processes:
    """The processes that were started; stopped by pid, the newest first."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []  # (name, Popen)

    def log(self, name):
        return os.path.join(self.folder, name + ".log")

    def start(self, name, argv, port=None, stdout=None, stdin=subprocess.DEVNULL, env=None):
        """Starts a program in the background; waits until `port`, if given, is listening."""
        with open(self.log(name), "ab") as log:
            process = subprocess.Popen(
                argv, stdin=stdin, stdout=stdout or log, stderr=log, env=env, start_new_session=True
            )
        self.running.append((name, process))
        if port:
            try:
                wait_until(f"{name} on port {port}", lambda: listening(port), lambda: process.poll() is None)
            except Failed as error:
                raise Failed(f"{error}; it said: {self.said(name)}") from None
        return process

    def said(self, name):
        try:
            with open(self.log(name), errors="replace") as log:
                return " / ".join(log.read().split("\n")[-6:]).strip() or "nothing"
        except OSError:
            return "nothing"

    def start_telling(self, name, argv):
        """Starts a program that prints numbers (its ports) in one line; returns them too."""
        process = self.start(name, argv, stdout=subprocess.PIPE)
        line = process.stdout.readline()
        if not line.split():
            raise Failed(f"{name} did not say its port; it said: {self.said(name)}")
        return process, [int(word) for word in line.split()]

    def stop(self, process):
        self.running = [entry for entry in self.running if entry[1] is not process]
        end_process(process)

    def stop_all(self):
        while self.running:
            end_process(self.running.pop()[1])


def end_process(process, seconds=3):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


# ---- What the kernel counts -------------------------------------------------------------------


def parents():
    """pid -> parent's pid, of every process."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as stat:
                table[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    return table


def family(pids):
    """These processes and all that descend from them."""
    found = set(pids)
    table = parents()
    while True:
        more = {pid for pid, parent in table.items() if parent in found} - found
        if not more:
            return found
        found |= more


def cpu_seconds(pids):
    """Processor time these processes and their descendants have used, reaped children included."""
    ticks = 0
    for pid in family(pids):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                ticks += sum(int(field) for field in stat.read().rpartition(")")[2].split()[11:15])
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def user_memory(pids):
    """Anonymous resident memory in bytes, of these processes and their descendants."""
    total = 0
    for pid in family(pids):
        try:
            with open(f"/proc/{pid}/status") as status:
                for line in status:
                    if line.startswith("RssAnon:"):
                        total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total
