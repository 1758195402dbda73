# SPDX-License-Identifier: MIT
"""Every way to wait for a connect that nobody answers: unanswered.py HOST PORT

All wait at the same time; one line for each says what it reported. (The time is printed only
if it was a minute, which no test sets as its timeout.)"""

import errno
import select
import socket
import struct
import sys
import threading
import time

ADDRESS = (socket.gethostbyname(sys.argv[1]), int(sys.argv[2]))


def polled(sock):
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    poller.poll()
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def waits(sock):
    return [sock.connect_ex(ADDRESS)]


def waits_with_time_to_spare(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 1000, 0))
    return [sock.connect_ex(ADDRESS)]


def waits_for_a_moment_and_polls(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 50000))
    return [sock.connect_ex(ADDRESS), polled(sock)]


def polls(sock):
    sock.setblocking(False)
    return [sock.connect_ex(ADDRESS), polled(sock)]


def begins_and_then_waits(sock):
    sock.setblocking(False)
    begun = sock.connect_ex(ADDRESS)
    sock.setblocking(True)
    return [begun, sock.connect_ex(ADDRESS)]


WAYS = [waits, waits_with_time_to_spare, waits_for_a_moment_and_polls, polls, begins_and_then_waits]
told = {}


def go(way):
    begun = time.monotonic()
    told[way] = [errno.errorcode.get(error, "connected") for error in way(socket.socket())]
    if time.monotonic() - begun > 60:
        told[way].append("after a minute")


threads = [threading.Thread(target=go, args=(way,)) for way in WAYS]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for way in WAYS:
    print(f"{way.__name__}:", *told[way])
