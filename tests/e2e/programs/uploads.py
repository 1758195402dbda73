# SPDX-License-Identifier: MIT
"""Interrupted uploads, seen from both ends.

    serve PORT FOLDER     the target: the first line of a connection names its stage; when the connection
                          ends, it prints "STAGE BYTES END", where END is eof or the error's name; "ready" when
                          all stages have got as far as they should
    send HOST PORT [end]  the program: a connection in every stage; prints "sending" and keeps running, whatever
                          happens to them; with `end` it closes all of them when a line comes from stdin

The stages: a connection that has sent nothing but its name; one that has sent some bytes and pauses; one that
sends without end; one whose target does not read until FOLDER/read exists; one whose target has
half-closed before; and one whose program has half-closed, and which has therefore ended in order."""

import errno
import os
import socket
import sys
import threading
import time

STAGES = ["named", "paused", "flowing", "stuck", "answered", "complete"]
SOME = b"x" * 1000


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # whole lines, from many threads


def until_end(sock):
    length = 0
    try:
        while data := sock.recv(65536):
            length += len(data)
        return length, "eof"
    except OSError as error:
        return length, errno.errorcode[error.errno]


def stage_of(sock):
    line = b""
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte:
            return "none"
        line += byte
    return line.decode().strip()


class Target:
    def __init__(self, folder):
        self.folder, self.lock, self.come = folder, threading.Lock(), set()

    def reached(self, stage):
        with self.lock:
            self.come.add(stage)
            if len(self.come) == len(STAGES):
                say("ready")

    def serve(self, sock):
        stage = stage_of(sock)
        if stage == "answered":
            sock.shutdown(socket.SHUT_WR)
        if stage == "paused":
            sock.recv(len(SOME), socket.MSG_WAITALL | socket.MSG_PEEK)
        if stage == "flowing":
            sock.recv(1 << 20, socket.MSG_WAITALL)
        if stage != "complete":
            self.reached(stage)
        while stage == "stuck" and not os.path.exists(f"{self.folder}/read"):
            time.sleep(0.05)
        length, end = until_end(sock)
        if stage == "complete":
            self.reached(stage)
        say(stage, length, end)
        while True:  # half of the pair stays open, so that the other end is not told anything
            time.sleep(3600)


def serve(port, folder):
    listener, target = socket.create_server(("127.0.0.1", int(port))), Target(folder)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=target.serve, args=(sock,), daemon=True).start()


def pour(sock):
    try:
        while True:
            sock.sendall(b"x" * 65536)
    except OSError:
        pass


def fill(sock):
    sock.settimeout(1)
    try:
        pour(sock)
    except TimeoutError:
        pass


def send(host, port, end=None):
    socks = {}
    for stage in STAGES:
        socks[stage] = sock = socket.create_connection((host, int(port)))
        sock.sendall(stage.encode() + b"\n")
    socks["paused"].sendall(SOME)
    socks["answered"].sendall(SOME)
    socks["complete"].sendall(SOME)
    socks["complete"].shutdown(socket.SHUT_WR)
    fill(socks["stuck"])
    if not end:
        threading.Thread(target=pour, args=(socks["flowing"],), daemon=True).start()
    else:
        socks["flowing"].sendall(SOME * 2000)
    say("sending")
    if end:
        sys.stdin.readline()
        for sock in socks.values():
            sock.close()
        say("closed")
    time.sleep(3600)


{"serve": serve, "send": send}[sys.argv[1]](*sys.argv[2:])
