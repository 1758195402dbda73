#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Connects that never complete and are given up in various ways.

    abandon.py server PORT DIR     listens with a full backlog, at which FILLERS connects are under way;
                                   accepts once DIR/accept exists
    abandon.py close PORT DIR      non-blocking; closes once DIR/close exists, then keeps running
    abandon.py block PORT DIR      blocks in connect until it is killed
    abandon.py fork PORT DIR       closes in the parent; the child waits for the connection
    abandon.py shutdown PORT DIR   shuts down once DIR/shutdown exists, while a child has a copy

Each creates the file DIR/KIND-ready when it has started, and DIR/KIND-done when it is done.
"""
import os
import select
import socket
import sys
import time

FILLERS = 3
kind, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def tell(what):
    open(f"{folder}/{kind}-{what}", "w").close()


def wait_for(name):
    while not os.path.exists(f"{folder}/{name}"):
        time.sleep(0.02)


def begin():
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port))
    return sock


def server():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(0)
    # One connection gets in and fills the backlog; after that, the others stay in progress.
    fillers = [socket.create_connection(("127.0.0.1", port))]
    select.select([listener], [], [])
    fillers += [begin() for _ in range(FILLERS)]
    tell("ready")
    wait_for("accept")
    for filler in fillers:
        filler.close()
    while True:
        listener.accept()


def close():
    sock = begin()
    tell("ready")
    wait_for("close")
    sock.close()
    tell("done")
    time.sleep(1000)


def block():
    tell("ready")
    socket.create_connection(("127.0.0.1", port))


def fork():
    sock = begin()
    if os.fork() == 0:
        select.select([], [sock], [])
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and sock.send(b"x") == 1:
            tell("done")
        os._exit(0)
    sock.close()
    tell("ready")
    os.wait()


def shutdown():
    sock = begin()
    end, mine = os.pipe()
    if os.fork() == 0:
        os.close(mine)
        os.read(end, 1)
        os._exit(0)
    tell("ready")
    wait_for("shutdown")
    sock.shutdown(socket.SHUT_WR)
    tell("done")
    time.sleep(1000)


globals()[kind]()
