# SPDX-License-Identifier: MIT
"""Kills, ends and stops the helper at random moments, and starts it anew."""

import random
import signal
import socket
import subprocess
import time

START_LIMIT_S = 60
END_LIMIT_S = 60


class Chaos:
    """`command` starts the helper in the foreground; `path` is its socket."""

    def __init__(self, command, path, log, seed):
        self.command, self.path, self.log = command, path, log
        self.random = random.Random(seed)
        self.problems, self.events = [], []
        self.helper = None
        self.actions = [(self.kill, 4), (self.terminate, 3), (self.stop, 3)]

    def answers(self):
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self.path)
                return True
        except OSError:
            return False

    def start(self):
        with open(self.log, "ab") as log:
            self.helper = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        limit = time.monotonic() + START_LIMIT_S
        while not self.answers():
            if self.helper.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"the helper does not start: {self.helper.poll()}")
            time.sleep(0.01)

    def end(self, number, expected):
        """Sends it a signal and checks how it ends."""
        if self.helper.poll() is not None:
            self.problems.append(f"the helper ended by itself: {self.helper.returncode}")
            return
        self.helper.send_signal(number)
        try:
            status = self.helper.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.problems.append(f"the helper did not end after {number.name}")
            self.helper.kill()
            self.helper.wait()
            return
        if status != expected:
            self.problems.append(f"the helper ended with {status} after {number.name}")

    def restart_after_a_while(self):
        time.sleep(self.random.choice((0, 0, self.random.uniform(0, 1))))
        self.start()

    def kill(self):
        self.end(signal.SIGKILL, -signal.SIGKILL)
        self.restart_after_a_while()

    def terminate(self):
        self.end(signal.SIGTERM, 0)
        self.restart_after_a_while()

    def stop(self):
        self.helper.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.05, 2))
        if self.random.random() < 0.3:
            self.kill()
        else:
            self.helper.send_signal(signal.SIGCONT)

    def rage(self, seconds):
        """Returns when the time is up, leaving a helper running."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            gap = self.random.uniform(0, 0.8) if self.random.random() < 0.3 else self.random.uniform(1.5, 7)
            time.sleep(min(gap, max(0, until - time.monotonic())))
            action = self.random.choices([a for a, _ in self.actions], [w for _, w in self.actions])[0]
            self.events.append(action.__name__)
            action()
