# SPDX-License-Identifier: MIT
"""A long path without loss: longpath.py LISTEN_PORT TARGET_PORT SECONDS forwards TCP connections, and every
byte arrives that much later.  It takes as much as the sender gives, like a path of large capacity."""

import asyncio
import sys


def close(writer):
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()


async def forward(reader, writer):
    loop, delay = asyncio.get_running_loop(), float(sys.argv[3])
    try:
        while data := await reader.read(1 << 20):
            loop.call_later(delay, writer.write, data)
    except OSError:
        pass
    loop.call_later(delay, close, writer)


async def accept(reader, writer):
    out_reader, out_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]), limit=1 << 20)
    await asyncio.gather(forward(reader, out_writer), forward(out_reader, writer))


async def main():
    server = await asyncio.start_server(accept, "127.0.0.1", int(sys.argv[1]), limit=1 << 20)
    await server.serve_forever()


asyncio.run(main())
