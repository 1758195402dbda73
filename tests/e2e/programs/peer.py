# SPDX-License-Identifier: MIT
"""The test server: one TCP port; the first line of a connection is the request.

    echo            sends everything back; half-closes when the client does
    sum             reads until end of file, then answers "LENGTH SHA256\n" and closes
    send N          sends N bytes (a repeating pattern) and closes
    send N hold     sends N bytes, then waits for the client to close
    sink            reads and discards, never answers
    silent          reads nothing more and never answers
    reset N         sends N bytes and resets the connection
    GET /send/N     and /reset/N: the same as send and reset, as an HTTP response without a length
    count           answers "NUMBER\n": the connections that are open now, including this one
"""

import asyncio
import fcntl
import hashlib
import resource
import socket
import struct
import sys
import termios

PATTERN = bytes(range(256)) * 256
open_now = 0


async def send_pattern(writer, length):
    while length > 0:
        piece = PATTERN[: min(length, len(PATTERN))]
        writer.write(piece)
        await writer.drain()
        length -= len(piece)


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def sum_up(reader, writer):
    digest, length = hashlib.sha256(), 0
    while data := await reader.read(65536):
        digest.update(data)
        length += len(data)
    writer.write(f"{length} {digest.hexdigest()}\n".encode())


async def send(reader, writer, length, hold=None):
    await send_pattern(writer, int(length))
    if hold:
        await reader.read()


async def sink(reader, writer):
    while await reader.read(65536):
        pass


async def silent(reader, writer):
    writer.transport.pause_reading()
    await asyncio.sleep(3600)


async def reset(reader, writer, length):
    await send_pattern(writer, int(length))
    sock = writer.get_extra_info("socket")
    # A reset discards what has not yet reached the other end's kernel.
    for _ in range(300):
        if struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0] == 0:
            break
        await asyncio.sleep(0.01)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def http(reader, writer, path, version):
    while await reader.readline() not in (b"\r\n", b""):
        pass
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    _, command, length = path.split("/")
    await COMMANDS[command](reader, writer, length)


async def count(reader, writer):
    writer.write(f"{open_now}\n".encode())


COMMANDS = {"echo": echo, "sum": sum_up, "send": send, "sink": sink, "silent": silent,
            "reset": reset, "GET": http, "count": count}


async def serve(reader, writer):
    global open_now
    open_now += 1
    try:
        words = (await reader.readline()).decode().split()
        if words:
            await COMMANDS[words[0]](reader, writer, *words[1:])
    except OSError:
        pass
    finally:
        open_now -= 1
        writer.close()


async def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


asyncio.run(main())
