# SPDX-License-Identifier: MIT
"""A balancer that accepts every connection, and closes it at once while its backend is down:
balancer.py LISTEN_PORT BACKEND_PORT. Prints "closed" or "forwarded" for each connection."""

import asyncio
import sys


async def forward(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def accept(reader, writer):
    try:
        there = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    except OSError:
        print("closed", flush=True)
        writer.close()
        return
    print("forwarded", flush=True)
    await asyncio.gather(forward(reader, there[1]), forward(there[0], writer))
    writer.close()
    there[1].close()


async def main():
    server = await asyncio.start_server(accept, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
