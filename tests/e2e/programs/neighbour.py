# SPDX-License-Identifier: MIT
"""neighbour.py PORT SECONDS BYTES: the service that a user gets beside others.

Makes round trips of one byte for SECONDS seconds, on a new connection each tenth of a second, and then
receives BYTES bytes. Prints `rounds N worst MS ms, BYTES bytes in S s`; fails if nothing arrives for twenty
seconds."""

import socket
import sys
import time

PORT, SECONDS, BYTES = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])


def connect(line):
    sock = socket.create_connection(("127.0.0.1", PORT))
    sock.settimeout(20)
    sock.sendall(line)
    return sock


def rounds_until(end):
    rounds, worst = 0, 0
    while (begin := time.monotonic()) < end:
        sock = connect(b"echo\n")
        while time.monotonic() < begin + 0.1:
            before = time.monotonic()
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            worst, rounds = max(worst, time.monotonic() - before), rounds + 1
        sock.close()
    return rounds, worst


rounds, worst = rounds_until(time.monotonic() + SECONDS)
begin, got = time.monotonic(), 0
sock = connect(b"send %d\n" % BYTES)
while data := sock.recv(1 << 18):
    got += len(data)
took = time.monotonic() - begin
print("rounds %d worst %.1f ms, %d bytes in %.1f s" % (rounds, worst * 1000, got, took))
