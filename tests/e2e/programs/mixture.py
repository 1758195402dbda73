# SPDX-License-Identifier: MIT
"""Connections of every kind, so many of each, to the test server (peer.py) at PORT; then waits for the end of
its input. The last connection is open until then.

3 get 100000 bytes each, 2 are refused by port 9, 1 goes to 127.0.0.2, 1 is reset by the server, 1 resets."""

import socket
import struct
import sys

port = int(sys.argv[1])


def ask(request):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(request + b"\n")
    return s


def expect(error, address):
    try:
        socket.create_connection(address)
    except error:
        return
    raise SystemExit(f"{address}: expected {error}")


for _ in range(3):
    with ask(b"send 100000") as s:
        received = 0
        while data := s.recv(65536):
            received += len(data)
        assert received == 100000
for _ in range(2):
    expect(ConnectionRefusedError, ("127.0.0.1", 9))
expect(OSError, ("127.0.0.2", port))
with ask(b"reset 0") as s:
    try:
        s.recv(1)
    except ConnectionResetError:
        pass
s = ask(b"silent")
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
last = ask(b"echo")
print("done", flush=True)
sys.stdin.read()
