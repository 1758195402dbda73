# SPDX-License-Identifier: MIT
"""The far ends of the transfers (transfers.py), which judge what they receive by its end."""

import asyncio

import transfers


class Target:
    def __init__(self):
        self.problems, self.ends, self.open_now = [], {}, 0

    def count(self, kind, end):
        self.ends[kind, end] = self.ends.get((kind, end), 0) + 1

    async def serve(self, reader, writer):
        self.open_now += 1
        kind = "nothing"
        try:
            # A connection lost this early has no first line and may end in any way.
            line = await reader.readline()
            if line.endswith(b"\n"):
                kind, *numbers = line.decode().split()
                end = await getattr(self, kind)(reader, writer, *map(int, numbers))
                self.count(kind, end)
        except OSError:
            self.count(kind, "reset")
        finally:
            self.open_now -= 1
            writer.close()

    async def receive(self, reader, writer, kind, number, length):
        """Reads until end of file, and sends the data back for an echo. True if all of it arrived."""
        wanted, got = transfers.content(number, length), 0
        while data := await reader.read(65536):
            if data != wanted[got:got + len(data)]:
                self.problems.append(f"target: {kind} {number}: wrong bytes behind {got} of {length}")
            got += len(data)
            if kind == "echo":
                writer.write(data)
                await writer.drain()
        if got != length:
            self.problems.append(f"target: {kind} {number}: a false end after {got} of {length} bytes")
        return got == length

    async def get(self, _reader, writer, number, length, _cut):
        writer.write(transfers.content(number, length))
        await writer.drain()
        return "complete"

    async def broken(self, reader, writer, number, length, cut):
        writer.write(transfers.content(number, length)[:cut])
        await writer.drain()
        transfers.reset_at_close(writer.get_extra_info("socket"))
        return "complete"

    async def put(self, reader, writer, number, length, _cut):
        if not await self.receive(reader, writer, "put", number, length):
            return "SHORT"
        writer.write(transfers.answer(number, length))
        await writer.drain()
        return "complete"

    async def echo(self, reader, writer, number, length, _cut):
        if not await self.receive(reader, writer, "echo", number, length):
            return "SHORT"
        writer.write_eof()
        return "complete"

    async def drop(self, reader, writer, number, length, _cut):
        return "complete" if await self.receive(reader, writer, "drop", number, length) else "SHORT"


async def start(port):
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", port, backlog=4096)
    return target, server
