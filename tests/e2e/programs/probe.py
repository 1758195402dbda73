# SPDX-License-Identifier: MIT
"""Small clients for the robustness tests: probe.py KIND HOST PORT [ARGUMENT...]

    errno [nonblocking]      prints "connected" or the name of the error of connect
    duplex BYTES             sends BYTES to the peer's echo and checks what comes back at the same time
    swarm COUNT FOLDER       COUNT connections at once; when all work, creates FOLDER/ready.PID
                             and waits for FOLDER/go; then uses each once more; prints "COUNT ok"
    receive BYTES [hold]     requests BYTES and prints how it ended: "BYTES eof" or "BYTES ERRNO";
                             "flowing" comes first, when data has arrived; with hold the peer does
                             not close
    whole BYTES              requests BYTES, asks for one more with MSG_WAITALL, and prints how many
                             arrived and how the next read ended; "flowing" comes first
    lost                     starts non-blocking connects, prints "begun", waits for them to end, and
                             prints what SO_ERROR, write, read and connect report, then and again
    hoard COUNT              requests much data on COUNT connections and never reads it; prints
                             "hoarding" when all are connected
    begin COUNT              starts COUNT non-blocking connects, prints "begun" and then, for each
                             line from stdin, "N connected, M failed, K pending"
"""

import asyncio
import errno
import hashlib
import os
import select
import socket
import sys
import threading
import time

HOST, PORT = sys.argv[2], int(sys.argv[3])
FAMILY = socket.AF_INET6 if ":" in HOST else socket.AF_INET


def say(*words):
    print(*words, flush=True)


def name(number):
    return errno.errorcode.get(number, str(number))


def connect():
    return socket.create_connection((HOST, PORT))


def show_errno(mode="blocking"):
    sock = socket.socket(FAMILY)
    if mode == "blocking":
        error = sock.connect_ex((HOST, PORT))
    else:
        sock.setblocking(False)
        error = sock.connect_ex((HOST, PORT))
        if error == errno.EINPROGRESS:
            poller = select.poll()
            poller.register(sock, select.POLLOUT)
            poller.poll()
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    say(name(error) if error else "connected")


def duplex(length):
    length, sock = int(length), connect()
    block = os.urandom(1 << 20)
    sent, got, received = hashlib.sha256(), hashlib.sha256(), 0

    def send():
        sock.sendall(b"echo\n")
        left = length
        while left > 0:
            piece = block[: min(left, len(block))]
            sent.update(piece)
            sock.sendall(piece)
            left -= len(piece)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    while data := sock.recv(1 << 18):
        got.update(data)
        received += len(data)
    sender.join()
    say("same" if received == length and sent.digest() == got.digest() else f"differs after {received}")


def swarm(count, folder):
    async def ask(reader, writer, text):
        writer.write(text)
        return await reader.readexactly(len(text)) == text

    async def one(i):
        reader, writer = await asyncio.open_connection(HOST, PORT)
        writer.write(b"echo\n")
        return reader, writer, await ask(reader, writer, b"first %d\n" % i)

    async def all_of_them():
        streams = await asyncio.gather(*(one(i) for i in range(int(count))))
        open(f"{folder}/ready.{os.getpid()}", "w").close()
        while not os.path.exists(f"{folder}/go"):
            await asyncio.sleep(0.05)
        second = await asyncio.gather(*(ask(r, w, b"second %d\n" % i) for i, (r, w, _) in enumerate(streams)))
        for _, writer, _ in streams:
            writer.close()
        return sum(ok and first for ok, (_, _, first) in zip(second, streams))

    say(asyncio.run(all_of_them()), "ok")


def receive(*what):
    sock, received, end = connect(), 0, "eof"
    sock.sendall(f"send {' '.join(what)}\n".encode())
    try:
        while data := sock.recv(65536):
            if not received:
                say("flowing")
            received += len(data)
    except OSError as error:
        end = name(error.errno)
    say(received, end)


def whole(length):
    sock, end = connect(), "eof"
    sock.sendall(f"send {length} hold\n".encode())
    sock.recv(1, socket.MSG_PEEK)
    say("flowing")
    received = sock.recv(int(length) + 1, socket.MSG_WAITALL)
    try:
        if sock.recv(1):
            end = "data"
    except OSError as error:
        end = name(error.errno)
    say(len(received), end)


def result(call, *arguments):
    try:
        return name(call(*arguments) or 0)
    except OSError as error:
        return name(error.errno)


def lost():
    calls = {"SO_ERROR": lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
             "write": lambda sock: sock.send(b"x"),
             "read": lambda sock: len(sock.recv(1)),
             "connect": lambda sock: sock.connect_ex((HOST, PORT))}
    socks = [socket.socket(FAMILY) for _ in calls]
    for sock in socks:
        sock.setblocking(False)
        sock.connect_ex((HOST, PORT))
    say("begun")
    for sock, (title, call) in zip(socks, calls.items()):
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        poller.poll()
        times = 1 if title == "connect" else 2  # a second one would start another connect
        say(title, *(result(call, sock) for _ in range(times)))


def hoard(count):
    sockets = []
    for _ in range(int(count)):
        sockets.append(connect())
        sockets[-1].sendall(b"send 1000000000\n")
    say("hoarding")
    time.sleep(3600)


def begin(count):
    poller, pending, connected, failed = select.poll(), {}, 0, 0
    for _ in range(int(count)):
        sock = socket.socket(FAMILY)
        sock.setblocking(False)
        if sock.connect_ex((HOST, PORT)) == errno.EINPROGRESS:
            poller.register(sock, select.POLLOUT)
            pending[sock.fileno()] = sock
        else:
            failed += 1
    say("begun")
    done = []
    for line in sys.stdin:
        until = time.monotonic() + float(line)
        while pending and time.monotonic() < until:
            for fd, _ in poller.poll(100):
                poller.unregister(fd)
                done.append(pending.pop(fd))
                bad = done[-1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                failed += bool(bad)
                connected += not bad
        say(f"{connected} connected, {failed} failed, {len(pending)} pending")


KINDS = {"errno": show_errno, "duplex": duplex, "swarm": swarm, "receive": receive, "whole": whole,
         "lost": lost, "hoard": hoard, "begin": begin}
KINDS[sys.argv[1]](*sys.argv[4:])
