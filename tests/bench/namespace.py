# SPDX-License-Identifier: MIT
"""A network namespace for the benchmark, with a congestion control other than the system's.

What a benchmark measures depends on it even on loopback: BBR sends by a timer, cubic and reno do not.
"""
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
CONTROL = "/proc/sys/net/ipv4/tcp_congestion_control"


def congestion_control():
    with open(CONTROL) as file:
        return file.read().strip()


def enter(control):
    """Moves this single-threaded process and its later children there. OSError if it cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"a network namespace for --congestion-control: {os.strerror(number)}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    try:
        with open(CONTROL, "w") as file:
            file.write(control)
    except OSError as error:
        raise OSError(error.errno, f"--congestion-control {control}: {error.strerror} (try reno, which all may use)") from error
