# SPDX-License-Identifier: MIT
"""Peers that send as much as version 2 allows, on many streams.

flood.py gateway PORT: a gateway (of a route with `handshake = none`) that fills the window of every stream.
flood.py client GATEWAY_PORT TARGET_PORT SESSIONS STREAMS COUNT: SESSIONS carriers with STREAMS streams each to
TARGET_PORT. Each stream sends COUNT bytes, no more than a first window. Prints `asked` when it starts, and at
the end how many streams were answered with that number.
flood.py late PORT: a target that accepts no connection before SIGUSR1 (nothing can be written to it, not even into the
kernel's buffers), and then answers each with the number of bytes received.
"""

import asyncio
import resource
import signal
import socket
import struct
import sys
import threading

SYN, FIN, PSH, NOP, UPD = range(5)
CHUNK = bytes(range(251)) * 261
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def frame(command, stream, payload=b""):
    return struct.pack("<BBHI", 2, command, len(payload), stream) + payload


def data(stream, payload):
    return b"".join(frame(PSH, stream, payload[at : at + 65535]) for at in range(0, len(payload), 65535))


def frames(sock):
    with sock.makefile("rb") as file:
        while len(header := file.read(8)) == 8:
            _, command, length, stream = struct.unpack("<BBHI", header)
            yield command, stream, file.read(length)


def flood(sock):
    sent = {}
    try:
        for command, stream, payload in frames(sock):
            limit = sum(struct.unpack("<II", payload)) if command == UPD else 262144 if command == SYN else 0
            if limit > sent.get(stream, 0):
                sock.sendall(data(stream, bytes(limit - sent.get(stream, 0))))
                sent[stream] = limit
    except OSError:
        pass


def gateway(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=100)
    while True:
        threading.Thread(target=flood, args=(listener.accept()[0],), daemon=True).start()


async def count_bytes(reader, writer):
    count = 0
    while got := await reader.read(65536):
        count += len(got)
    writer.write(struct.pack("<I", count))
    writer.close()


async def late(port):
    wanted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, wanted.set)
    sock = socket.create_server(("127.0.0.1", port), backlog=0)
    socket.create_connection(("127.0.0.1", port))  # the only one that there is room for
    await wanted.wait()
    await (await asyncio.start_server(count_bytes, sock=sock, backlog=4096)).serve_forever()


def ask(sock, port, streams, count):
    request = b"\5\1\0" + b"\5\1\0\1" + bytes([127, 0, 0, 1]) + struct.pack(">H", port)
    for stream in range(3, 3 + 2 * streams, 2):
        sock.sendall(frame(SYN, stream) + data(stream, request + (CHUNK * 5)[:count]) + frame(FIN, stream))


def answers(sock, streams, count, complete):
    got = {}
    for command, stream, payload in frames(sock):
        if command == PSH:
            got[stream] = got.get(stream, b"") + payload
            complete[0] += got[stream][-4:] == struct.pack("<I", count) and len(got[stream]) == 16
        elif command == FIN:
            streams -= 1
            if streams == 0:
                return


def client(gateway_port, port, sessions, streams, count):
    socks = [socket.create_connection(("127.0.0.1", gateway_port)) for _ in range(sessions)]
    complete = [[0] for _ in socks]
    readers = [threading.Thread(target=answers, args=(*each, count, done))
               for *each, done in zip(socks, [streams] * sessions, complete)]
    for sock in socks:
        threading.Thread(target=ask, args=(sock, port, streams, count), daemon=True).start()
    for reader in readers:
        reader.start()
    print("asked", flush=True)
    for reader in readers:
        reader.join()
    print(sum(done for (done,) in complete), "answered")


if sys.argv[1] == "gateway":
    gateway(int(sys.argv[2]))
elif sys.argv[1] == "late":
    asyncio.run(late(int(sys.argv[2])))
else:
    client(*map(int, sys.argv[2:7]))
