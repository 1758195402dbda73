# SPDX-License-Identifier: MIT
"""Carriers that occupy a place: carriers.py PORT SOURCE COUNT FRAMES opens COUNT connections to the gateway
at 127.0.0.1:PORT, from the address SOURCE, sends FRAMES on each and then nothing more, and keeps them open.
FRAMES is `silent`, `hello` (the first frame of a client) or `stream` (hello, and a stream is opened).
Prints `ready` when all are open."""

import socket
import struct
import sys
import time

HELLO = struct.pack("<BBHI", 2, 1, 0, 0xFFFFFF00)
SYN = struct.pack("<BBHI", 2, 0, 0, 3)
FRAMES = {"silent": b"", "hello": HELLO, "stream": HELLO + SYN}

kept = []
for _ in range(int(sys.argv[3])):
    sock = socket.socket()
    sock.bind((sys.argv[2], 0))
    sock.connect(("127.0.0.1", int(sys.argv[1])))
    sock.sendall(FRAMES[sys.argv[4]])
    kept.append(sock)
print("ready", flush=True)
time.sleep(3600)
