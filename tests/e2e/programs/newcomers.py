# SPDX-License-Identifier: MIT
"""Connects all the time, and says what becomes of it:

    newcomers.py carriers GATEWAY PEER_PORT   as a smux client without extensions: a carrier each, to
                                              a port or the path of a unix socket
    newcomers.py connects PEER_PORT           as any program
    newcomers.py transfer PEER_PORT           one connection with data under way all the time

Four threads connect every few milliseconds, have the peer (peer.py) send something back, compare it
and close. A line for
every hundredth, and one for each that was refused, reset or got something else. After SIGTERM each
thread completes what it has begun; then the last line is "done COUNT"."""
import os
import signal
import socket
import struct
import sys
import threading
import time

PIECE = bytes(range(256)) * 8
SYN, FIN, PSH = 0, 1, 2
lock, count, ending = threading.Lock(), 0, threading.Event()


def say(*words):
    print(*words, flush=True)


def read(sock, length):
    data = b""
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            raise OSError(f"closed after {len(data)} of {length} bytes")
        data += piece
    return data


def expect(found, wanted):
    if found != wanted:
        raise OSError(f"got {found[:40]!r}")


def connect(address):
    if address.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(address)
        return sock
    return socket.create_connection(("127.0.0.1", int(address)), timeout=30)


def frame(command, payload=b""):
    return struct.pack("<BBHI", 1, command, len(payload), 3) + payload


def stream_bytes(sock, length):
    data = b""
    while len(data) < length:
        _, command, size, _ = struct.unpack("<BBHI", read(sock, 8))
        payload = read(sock, size)
        if command == FIN:
            raise OSError("the stream was ended")
        if command == PSH:
            data += payload
    return data


def carry(address, peer):
    request = b"\5\1\0" + b"\5\1\0\1\x7f\0\0\1" + struct.pack(">H", int(peer)) + b"echo\n" + PIECE
    with connect(address) as sock:
        sock.sendall(frame(SYN) + frame(PSH, request))
        data = stream_bytes(sock, 12 + len(PIECE))
        expect(data[:4] + data[12:], b"\5\0\5\0" + PIECE)


def ask(peer):
    with connect(peer) as sock:
        sock.sendall(b"echo\n" + PIECE)
        expect(read(sock, len(PIECE)), PIECE)


def transfer(peer):
    with connect(peer) as sock:
        sock.sendall(b"echo\n")
        while not ending.is_set():
            sock.sendall(PIECE)
            expect(read(sock, len(PIECE)), PIECE)
            tell()
        sock.shutdown(socket.SHUT_WR)
        expect(sock.recv(1), b"")


def tell():
    global count
    with lock:
        count += 1
        if count % 20 == 0:
            say("connected", count)


def work(what, arguments):
    while not ending.is_set():
        try:
            what(*arguments)
            tell()
            time.sleep(0.004)
        except OSError as error:
            say("failed", count, os.getpid(), error)


what, threads = {"carriers": (carry, 4), "connects": (ask, 4), "transfer": (transfer, 1)}[sys.argv[1]]
signal.signal(signal.SIGTERM, lambda *_: ending.set())
workers = [threading.Thread(target=work, args=(what, sys.argv[2:])) for _ in range(threads)]
for worker in workers:
    worker.start()
ending.wait()
for worker in workers:
    worker.join()
say("done", count)
