# SPDX-License-Identifier: MIT
"""Many connections whose readers pause.  slow.py serve PORT is the server for both clients:

slow.py download PORT COUNT BYTES PAUSE: COUNT connections each request BYTES; none reads for PAUSE
seconds, then all read to the end.
slow.py steady PORT COUNT BYTES RATE: the same, but each reads from the start, RATE bytes a second.
slow.py upload PORT COUNT BYTES PAUSE: each sends BYTES, and the server does not read for PAUSE seconds.

Prints how many were complete, and how the others ended."""

import asyncio
import collections
import resource
import socket
import struct
import sys

ORDER = struct.Struct("<cId")  # b"D" or b"U", bytes, pause
CHUNK = bytes(range(251)) * 261


async def serve_one(reader, writer):
    try:
        kind, size, pause = ORDER.unpack(await reader.readexactly(ORDER.size))
        if kind == b"D":
            await asyncio.sleep(1.5)  # by then all have connected, and all are answered at once
            writer.write((CHUNK * (size // len(CHUNK) + 1))[:size])
            await writer.drain()
        else:
            await asyncio.sleep(pause)
            got = 0
            while data := await reader.read(65536):
                got += len(data)
            writer.write(struct.pack("<I", got))
        writer.close()
    except OSError:
        writer.transport.abort()


async def serve(port):
    server = await asyncio.start_server(serve_one, "127.0.0.1", port, backlog=4096, limit=4096)
    await server.serve_forever()


async def one(kind, port, size, pause, rate):
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, ORDER.pack(kind, size, pause))
        if kind == b"D":
            await asyncio.sleep(pause)
        else:
            for at in range(0, size, len(CHUNK)):
                await loop.sock_sendall(sock, CHUNK[: size - at])
            sock.shutdown(socket.SHUT_WR)
        got = b""
        total = 0
        while data := await loop.sock_recv(sock, 65536):
            if rate:
                await asyncio.sleep(len(data) / rate)
            if kind == b"D" and data != (CHUNK + CHUNK)[total % 251 : total % 251 + len(data)]:
                return "wrong bytes"
            total += len(data)
            got = data
        complete = total == size if kind == b"D" else got == struct.pack("<I", size)
        return "complete" if complete else f"ended after {total} bytes"
    except OSError as error:
        return error.strerror or type(error).__name__
    finally:
        sock.close()


async def main():
    if sys.argv[1] == "serve":
        await serve(int(sys.argv[2]))
    port, count, size, pause = map(int, sys.argv[2:6])
    kind, rate = sys.argv[1][0].upper().encode(), 0
    if kind == b"S":
        kind, pause, rate = b"D", 0, pause
    results = await asyncio.gather(*(one(kind, port, size, pause, rate) for _ in range(count)))
    for what, n in sorted(collections.Counter(results).items()):
        print(n, what)


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
asyncio.run(main())
