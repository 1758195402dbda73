# SPDX-License-Identifier: MIT
"""speaks_first.py SIZE SEED: a TCP server that sends SIZE bytes of the seed's pattern (README.md) to
whoever connects, ends its direction, and then waits for the other side's end. Prints
`listening 127.0.0.1:PORT`."""

import asyncio
import struct
import sys

SIZE, SEED = int(sys.argv[1]), int(sys.argv[2])
MASK = (1 << 64) - 1


def splitmix64(state):
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
    return state ^ (state >> 31)


def pattern():
    words = (SIZE + 7) // 8
    states = ((SEED + (i + 1) * 0x9E3779B97F4A7C15) & MASK for i in range(words))
    return struct.pack(f"<{words}Q", *map(splitmix64, states))[:SIZE]


async def serve(reader, writer):
    try:
        writer.write(DATA)
        writer.write_eof()
        await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=200)
    print("listening 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


DATA = pattern()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
