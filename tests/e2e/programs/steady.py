# SPDX-License-Identifier: MIT
"""steady.py HOST PORT SHORT LONG: a steady load on a redis, until it gets SIGTERM. SHORT threads connect,
ask and close, again and again; LONG connections ask twenty times a second. Prints a line for each ten
rounds of short connections, and at the end, in JSON, how many there were and what failed."""
import collections
import json
import signal
import socket
import sys
import threading
import time

host, port, short, long = sys.argv[1], *map(int, sys.argv[2:5])
stopped = threading.Event()
errors = collections.Counter()
slowest = 0
done = 0


def ask(connection):
    connection.sendall(b"PING\r\n")
    if connection.recv(100) != b"+PONG\r\n":
        raise ConnectionResetError("end of file")


def attempt(kind, function, *arguments):
    try:
        function(*arguments)
        return True
    except OSError as error:
        errors[f"{kind}: {type(error).__name__}"] += 1
        return False


def once():
    with socket.create_connection((host, port), timeout=30) as connection:
        ask(connection)


def short_ones():
    global slowest, done
    while not stopped.is_set():
        began = time.monotonic()
        attempt("short", once)
        slowest = max(slowest, time.monotonic() - began)
        done += 1
        if done % 10 == 0:
            print("round", done, flush=True)
        time.sleep(0.01)


def long_one(connection):
    while not stopped.wait(0.05) and attempt("long", ask, connection):
        pass


signal.signal(signal.SIGTERM, lambda *_: stopped.set())
connections = [socket.create_connection((host, port), timeout=30) for _ in range(long)]
threads = [threading.Thread(target=long_one, args=(connection,)) for connection in connections]
threads += [threading.Thread(target=short_ones) for _ in range(short)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"done": done, "slowest_ms": round(slowest * 1000), "errors": errors}), flush=True)
