# SPDX-License-Identifier: MIT
"""A wire that can be cut: wire.py LISTEN_PORT TARGET_PORT forwards TCP connections.

SIGUSR1 cuts all connections (RST both ways) but accepts new ones. After SIGUSR2 nothing more is
forwarded on the existing connections, and nothing is closed."""

import asyncio
import signal
import socket
import struct
import sys

pairs, silent = set(), set()


async def forward(reader, writer, pair):
    try:
        while data := await reader.read(65536):
            if pair in silent:
                await asyncio.sleep(3600)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def accept(reader, writer):
    out_reader, out_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    pair = (writer, out_writer)
    pairs.add(pair)
    await asyncio.gather(forward(reader, out_writer, pair), forward(out_reader, writer, pair))
    pairs.discard(pair)
    for each in pair:
        each.close()


def cut():
    for pair in pairs:
        for writer in pair:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, cut)
    loop.add_signal_handler(signal.SIGUSR2, lambda: silent.update(pairs))
    server = await asyncio.start_server(accept, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
