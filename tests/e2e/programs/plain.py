# SPDX-License-Identifier: MIT
"""plain.py VERSION PORT: a smux server without extensions, of version 1 or 2, for routes with
`handshake = none`.

A stream's first line is the request: `echo` or `send N`, as in peer.py. A client that sends
nothing for a second gets bytes forever."""

import asyncio
import struct
import sys

SYN, FIN, PSH, NOP, UPD = range(5)
VERSION, PORT = int(sys.argv[1]), int(sys.argv[2])
FIRST_WINDOW = 262144
PIECE = 16384


class Stream:
    def __init__(self, number, carrier):
        self.number, self.carrier = number, carrier
        self.got = asyncio.Queue()
        self.sent, self.limit = 0, FIRST_WINDOW if VERSION == 2 else 1 << 62
        self.opened = asyncio.Event()

    def heard(self, consumed, window):
        self.limit = max(self.limit, consumed + window)
        self.opened.set()

    async def frame(self, command, payload=b""):
        header = struct.pack("<BBHI", VERSION, command, len(payload), self.number)
        self.carrier.write(header + payload)
        await self.carrier.drain()

    async def send(self, payload):
        while payload:
            room = min(self.limit - self.sent, len(payload), PIECE)
            if room <= 0:
                self.opened.clear()
                await self.opened.wait()
                continue
            self.sent += room
            await self.frame(PSH, payload[:room])
            payload = payload[room:]
            await asyncio.sleep(0)  # let the other streams have their turns

    async def first_line(self):
        line = b""
        while b"\n" not in line:
            line += await self.got.get()
        return line.split(b"\n", 1)

    async def serve(self):
        try:
            line, rest = await asyncio.wait_for(self.first_line(), 1)
        except asyncio.TimeoutError:
            line, rest = b"send 1000000000000", b""
        if line.startswith(b"send"):
            left = int(line.split()[1])
            while left > 0:
                await self.send(bytes(min(left, 1 << 16)))
                left -= 1 << 16
            await self.frame(FIN)
            return
        self.consumed = len(line) + 1
        while rest is not None:
            if VERSION == 2 and rest:
                self.consumed += len(rest)
                await self.frame(UPD, struct.pack("<II", self.consumed, 1 << 20))
            await self.send(rest)
            rest = await self.got.get()
        await self.frame(FIN)


async def session(reader, writer):
    streams, tasks = {}, set()
    writer.transport.set_write_buffer_limits(high=65536)

    def begin(stream):
        task = asyncio.ensure_future(stream.serve())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        while True:
            _, command, length, number = struct.unpack("<BBHI", await reader.readexactly(8))
            payload = await reader.readexactly(8 if command == UPD else length)
            stream = streams.get(number)
            if command == SYN:
                streams[number] = Stream(number, writer)
                begin(streams[number])
            elif stream and command == PSH:
                stream.got.put_nowait(payload)
            elif stream and command == FIN:
                stream.got.put_nowait(None)
            elif stream and command == UPD:
                stream.heard(*struct.unpack("<II", payload))
    except (OSError, asyncio.IncompleteReadError):
        for task in list(tasks):
            task.cancel()
        writer.transport.abort()


async def main():
    server = await asyncio.start_server(session, "127.0.0.1", PORT, backlog=100)
    await server.serve_forever()


asyncio.run(main())
