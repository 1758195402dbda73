# SPDX-License-Identifier: MIT
"""How an operation can end, and how often each happened."""

import glob
import json
import os
import re
import signal
import subprocess
import threading
import time

# A generous limit for one operation: nothing here takes ten seconds on a quiet machine.
OPERATION_LIMIT_S = 60

# What programs of any language print about a connection that failed or broke.  A text that is not
# here is a finding: the program saw something that TCP does not report.
CONNECTION_ERRORS = re.compile(
    r"Connection reset|Connection refused|Connection timed out|Network is unreachable|Broken pipe"
    r"|ECONNRESET|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|EPIPE|timed out|Operation timed out",
    re.IGNORECASE)
CRASHES = re.compile(r"Segmentation fault|stack smashing|core dumped|Aborted|signal (6|7|8|11)\b|corrupt(ed|ion)")


class ConnectionFailed(Exception):
    """The operation failed in a way that a lost connection explains."""


class Wrong(Exception):
    """A wrong byte, or an end that looked complete but was not."""


class Crashed(Exception):
    """Ended by a signal that nobody sent."""


class Hung(Exception):
    """Not finished after OPERATION_LIMIT_S."""


def describe_group(group):
    """What the processes of a group are waiting for, to report a hang."""
    lines = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as file:
                text = file.read()
            if int(text.rsplit(")", 1)[1].split()[2]) != group:
                continue
            folder = os.path.dirname(path)
            with open(folder + "/wchan") as wchan, open(folder + "/syscall") as call:
                lines.append(f"{text.split(')')[0]}) in {wchan.read()}: {call.read().strip()}")
        except OSError:
            continue
    return "; ".join(lines)


def runs(pid):
    """Whether a process runs, or waits only for a processor."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "R"


def spins(pid):
    """The same at two looks, so that a process that waits for a connection and wakes now and then does not count."""
    if not runs(pid):
        return False
    time.sleep(0.5)
    return runs(pid)


def run(argv, stdin=None, env=None, may_fail=None, sigpipe=False, failed_status=None,
        limit=OPERATION_LIMIT_S, may_spin_after=None):
    """Runs a program and returns its output.  A failure that its messages explain with one of
    CONNECTION_ERRORS or `may_fail` (a pattern) is ConnectionFailed, as are `failed_status`, which means
    just that, a death by SIGPIPE where the program is known for it, and running without an end where
    `may_spin_after` (so many seconds) says so."""
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=env, start_new_session=True)
    try:
        try:
            out, err = process.communicate(stdin, timeout=may_spin_after or limit)
        except subprocess.TimeoutExpired:
            if not may_spin_after:
                raise
            if spins(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                raise ConnectionFailed(f"{argv}: spins") from None
            out, err = process.communicate(timeout=limit - may_spin_after)
    except subprocess.TimeoutExpired:
        where = describe_group(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Hung(f"{argv}: {where}") from None
    status, said = process.returncode, err.decode(errors="replace")
    if CRASHES.search(said):
        raise Crashed(f"{argv}: status {status}: {said[-2000:]}")
    if status == 0:
        return out, said
    if sigpipe and status in (-signal.SIGPIPE, 128 + signal.SIGPIPE):
        raise ConnectionFailed("SIGPIPE")
    if status == failed_status:
        raise ConnectionFailed(said)
    if status < 0:
        raise Crashed(f"{argv}: signal {-status}: {said[-2000:]}")
    text = said + out[-2000:].decode(errors="replace")
    if CONNECTION_ERRORS.search(text) or (may_fail and re.search(may_fail, text)):
        raise ConnectionFailed(said)
    raise RuntimeError(f"{argv}: status {status}: {text[-2000:]}")


class Tally:
    """One program's operations, counted.  Thread-safe."""

    def __init__(self, name):
        self.lock = threading.Lock()
        self.report = {"name": name, "done": 0, "errors": 0, "recovered": False, "problems": []}

    def count(self, operation):
        """Runs an operation; True if it went well."""
        try:
            operation()
        except ConnectionFailed:
            self.add(errors=1)
            return False
        except Exception as problem:  # pylint: disable=broad-except # a finding, whatever it is
            self.add(problem=f"{type(problem).__name__}: {problem}")
            return False
        self.add(done=1)
        return True

    def add(self, done=0, errors=0, problem=None):
        with self.lock:
            self.report["done"] += done
            self.report["errors"] += errors
            if problem:
                self.report["problems"].append(problem)

    def write(self, folder):
        with open(f"{folder}/{self.report['name']}.json", "w") as file:
            json.dump(self.report, file)
