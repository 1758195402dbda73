# SPDX-License-Identifier: MIT
"""A Python client that does not give up: client.py PORT SECONDS.  Prints JSON, see client_report."""

import asyncio
import json
import random
import socket
import sys
import threading
import time

PORT, UNTIL = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
LIMIT_S = 60
report = {"done": 0, "errors": 0, "problems": []}
lock = threading.Lock()


def count(**more):
    with lock:
        for key, value in more.items():
            report[key] += value


class Wrong(Exception):
    pass


def pattern(length):
    return (bytes(range(256)) * (length // 256 + 1))[:length]


def download():
    """All bytes must arrive as sent, and the end must not come before the last."""
    length = random.choice((1, 1000, 70000, 500000))
    with socket.create_connection(("127.0.0.1", PORT), timeout=LIMIT_S) as sock:
        sock.sendall(b"send %d\n" % length)
        got = bytearray()
        while data := sock.recv(65536):
            got += data
            if not pattern(length).startswith(got):
                raise Wrong(f"download: wrong byte among the first {len(got)} of {length}")
        if len(got) != length:
            raise Wrong(f"download: a false end after {len(got)} of {length}")


async def echo_once(number):
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    try:
        for i in range(5):
            line = b"%d %d %s\n" % (number, i, b"x" * random.randrange(3000))
            writer.write((b"echo\n" if i == 0 else b"") + line)
            await writer.drain()
            if (got := await reader.readline()) != line:
                # readline returns what came before the end, but raises errors.
                raise Wrong(f"echo: {got[:80]} in place of {line[:80]}")
    finally:
        writer.close()


def echoes():
    async def several():
        await asyncio.wait_for(asyncio.gather(*(echo_once(i) for i in range(10))), LIMIT_S)
    asyncio.run(several())


def work(operation):
    while time.monotonic() < UNTIL:
        try:
            operation()
            count(done=1)
        except TimeoutError as problem:
            # A connect may time out; a read that takes LIMIT_S hangs.
            count(**({"errors": 1} if problem.errno else {"problems": [f"hung: {operation.__name__}"]}))
        except (ConnectionError, OSError) as problem:
            if isinstance(problem, ConnectionError) or problem.errno in (101, 110):
                count(errors=1)
            else:
                count(problems=[f"{operation.__name__}: {problem!r}"])
        except Exception as problem:
            count(problems=[f"{operation.__name__}: {problem!r}"])
        time.sleep(0.05)


threads = [threading.Thread(target=work, args=(operation,)) for operation in (download, download, echoes)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(report))
