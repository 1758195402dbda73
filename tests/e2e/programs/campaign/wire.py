# SPDX-License-Identifier: MIT
"""A wire between helper and gateway: forwards TCP connections and cuts each somewhere, or never."""

import asyncio

import transfers

MODES = ("end", "reset", "end one side", "reset one side", "silence")
# Many carriers are cut within so many bytes: in a handshake, or soon after it.
BEGINNING = 3000


class Wire:
    """`modes` are those of MODES, and "change" for a changed byte, which ends nothing here."""

    def __init__(self, to_port, rng, counts, modes, cut_within):
        self.to_port, self.rng, self.counts, self.modes, self.cut_within = to_port, rng, counts, modes, cut_within
        self.pairs = set()
        self.cutting = True

    async def listen(self, port):
        return await asyncio.start_server(self.accept, "127.0.0.1", port)

    def draw_length(self):
        """The bytes that a carrier is to pass, in both directions together."""
        if not self.cutting:
            return 1 << 62
        if not self.cut_within:
            return int(2 ** self.rng.uniform(10, 27))
        return self.rng.randrange(self.rng.choice((BEGINNING, self.cut_within)))

    async def accept(self, reader, writer):
        try:
            await self.connect(reader, writer)
        except asyncio.CancelledError:
            pass  # the run is over

    async def connect(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            transfers.reset_at_close(writer.get_extra_info("socket"))
            writer.close()
            return
        pair = Pair(self, (writer, far_writer))
        self.pairs.add(pair)
        await asyncio.gather(pair.forward(reader, 0), pair.forward(far_reader, 1))
        # An end that is not told finds out by itself, or never.
        while pair.is_cut and not all(writer.is_closing() for writer in pair.writers) and self.cutting:
            await asyncio.sleep(0.1)
        self.pairs.discard(pair)
        pair.close()

    def cut_one(self, mode):
        """Cuts one of the open connections now."""
        for pair in [pair for pair in self.pairs if not pair.is_cut][:1]:
            pair.cut(mode)


class Pair:
    def __init__(self, wire, writers):
        self.wire, self.writers = wire, writers
        self.is_cut = False
        # It is cut after this many bytes of both directions.
        self.left = wire.draw_length()

    async def forward(self, reader, side):
        """Copies from one end to the writer of the other, and passes on however it ended."""
        writer = self.writers[1 - side]
        try:
            while data := await reader.read(65536):
                if self.is_cut:
                    return
                kept, self.left = data[:max(self.left, 0)], self.left - len(data)
                mode = self.wire.rng.choice(self.wire.modes) if self.left < 0 else None
                if mode == "change":
                    kept = self.change(data, len(kept))
                writer.write(kept)
                if mode and mode != "change":
                    self.cut(mode)
                    return
                await writer.drain()
            if not self.is_cut:
                writer.write_eof()
        except (OSError, RuntimeError):
            self.reset(writer)

    def reset(self, writer):
        try:
            transfers.reset_at_close(writer.get_extra_info("socket"))
        except OSError:
            pass
        writer.transport.abort()

    def change(self, data, at):
        """Changes one byte, and forwards all from now on."""
        self.left = 1 << 62
        self.count("change")
        return data[:at] + bytes([data[at] ^ 1 << self.wire.rng.randrange(8)]) + data[at + 1:]

    def count(self, mode):
        self.wire.counts["carrier: " + mode] = self.wire.counts.get("carrier: " + mode, 0) + 1

    def cut(self, mode):
        """Stops forwarding; what the ends are told varies."""
        self.is_cut = True
        self.count(mode)
        sides = self.writers if "one side" not in mode else [self.wire.rng.choice(self.writers)]
        for writer in sides if mode != "silence" else ():
            if mode.startswith("reset"):
                self.reset(writer)
            else:
                writer.close()

    def close(self):
        for writer in self.writers:
            writer.close()
