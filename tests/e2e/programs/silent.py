# SPDX-License-Identifier: MIT
"""Clients of the gateway that request much and read nothing.

silent.py serve PORT: sends to everybody who connects, forever.
silent.py ask GATEWAY_PORT PORT SESSIONS STREAMS: SESSIONS carriers with STREAMS streams each to PORT, and not a
byte is read. Prints `ready` when everything has been requested."""

import asyncio
import resource
import socket
import struct
import sys
import time

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def pour(_reader, writer):
    try:
        while True:
            writer.write(bytes(65536))
            await writer.drain()
    except OSError:
        writer.transport.abort()


async def serve(port):
    sock = socket.create_server(("127.0.0.1", port), backlog=4096)
    # Thousands of full-sized queues would use up the kernel's memory for TCP, which would then reset others.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    server = await asyncio.start_server(pour, sock=sock, backlog=4096)
    await server.serve_forever()


def frame(command, stream, payload=b""):
    return struct.pack("<BBHI", 2, command, len(payload), stream) + payload


def ask(gateway, port, sessions, streams):
    request = b"\5\1\0" + b"\5\1\0\1" + bytes([127, 0, 0, 1]) + struct.pack(">H", port)
    kept = []
    for _ in range(sessions):
        sock = socket.create_connection(("127.0.0.1", gateway))
        sock.sendall(frame(1, 0xFFFFFF00))
        for stream in range(3, 3 + 2 * streams, 2):
            sock.sendall(frame(0, stream) + frame(2, stream, request))
        kept.append(sock)
    print("ready", flush=True)
    time.sleep(3600)


if sys.argv[1] == "serve":
    asyncio.run(serve(int(sys.argv[2])))
else:
    ask(*map(int, sys.argv[2:6]))
