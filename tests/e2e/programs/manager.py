# SPDX-License-Identifier: MIT
"""A service manager for one daemon: manager.py [--listen ADDRESS]... [--name NAMES]
[--watchdog SECONDS] [--notify PATH-OR-@NAME] PROGRAM [ARGUMENT...]

Opens the listening sockets (PORT, ADDRESS:PORT or a path), starts the program with them and with a
NOTIFY_SOCKET, and prints the program's pid and then each message that it gets from that process,
its lines joined by "; ". When that process names another one (MAINPID), it is that from then on. It
starts the program again after SIGUSR1, when it has ended, with the same sockets. Ends with the
program, and passes SIGTERM on to it."""
import argparse
import ctypes
import os
import re
import select
import signal
import socket
import struct
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--listen", action="append", default=[])
parser.add_argument("--name")
parser.add_argument("--watchdog", type=float)
parser.add_argument("--notify")
parser.add_argument("program", nargs=argparse.REMAINDER)
given = parser.parse_args()


def say(text):
    print(text, flush=True)


def listen_at(address):
    if address.startswith("/"):
        made = socket.socket(socket.AF_UNIX)
        made.bind(address)
    else:
        host, _, port = address.rpartition(":")
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host.strip("[]") or "127.0.0.1", int(port)))
    made.listen(100)
    return made.fileno(), made


def start():
    pid = os.fork()
    if pid:
        say(f"pid {pid}")
        return pid
    for number, (fd, _) in enumerate(sockets):
        os.dup2(fd, 100 + number)
    for number in range(len(sockets)):
        os.dup2(100 + number, 3 + number)
    os.closerange(3 + len(sockets), 200)
    if sockets:
        os.environ["LISTEN_FDS"] = str(len(sockets))
        os.environ["LISTEN_PID"] = str(os.getpid())
    if given.name:
        os.environ["LISTEN_FDNAMES"] = given.name
    if given.notify:
        os.environ["NOTIFY_SOCKET"] = given.notify
    if given.watchdog:
        os.environ["WATCHDOG_USEC"] = str(int(given.watchdog * 1e6))
        os.environ["WATCHDOG_PID"] = str(os.getpid())
    os.execvp(given.program[0], given.program)


def sender(ancillary):
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return struct.unpack("3i", data)[0]
    return 0


def report():
    message, ancillary, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(12))
    global child
    own = sender(ancillary) == child
    say(("" if own else "of another process: ") + message.decode().replace("\n", "; "))
    other = re.search(r"^MAINPID=(\d+)$", message.decode(), re.MULTILINE)
    if own and other:
        child = int(other[1])
        say(f"pid {child}")


def report_all():
    while True:
        try:
            report()
        except BlockingIOError:
            return


def look_after():
    """The child may have ended: start it again if that was asked for, else end as well."""
    global child, again
    ended, status = os.waitpid(-1, os.WNOHANG)
    report_all()
    if ended != child:
        return
    status = os.waitstatus_to_exitcode(status)
    say(f"ended {status}")
    if not again:
        sys.exit(status if status >= 0 else 128 - status)
    again = False
    child = start()


def on_again(*_):
    global again
    again = True
    os.kill(child, signal.SIGTERM)


PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
again = False
sockets = [listen_at(address) for address in given.listen]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # unnamed: nobody can send to it
notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
notify.setblocking(False)
if given.notify:
    notify.bind("\0" + given.notify[1:] if given.notify[0] == "@" else given.notify)
    if given.notify[0] == "/":
        os.chmod(given.notify, 0o777)
woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
signal.set_wakeup_fd(wake)
signal.signal(signal.SIGCHLD, lambda *_: None)
child = start()
signal.signal(signal.SIGUSR1, on_again)
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
while True:
    ready, _, _ = select.select([notify, woken], [], [])
    if woken in ready:
        os.read(woken, 100)
    report_all()
    look_after()
