# SPDX-License-Identifier: MIT
"""Transfers, one after the other: client.py SEED SECONDS FIRST COUNT KINDS PORT...  Prints one line for each:

    NUMBER KIND complete|failed|WRONG|HUNG ...

A connect that fails is tried again, for LIMIT_S, and is not told.  An end of file before the last byte is WRONG, as is any other byte than the one sent; an error is not.
"""

import random
import select
import socket
import sys
import threading
import time

import transfers

LIMIT_S = 60
THREADS = 4


class Wrong(Exception):
    pass


def receive(sock, how, most):
    """One receive, in one of the ways that programs use."""
    if how == "poll":
        select.select([sock], [], [], LIMIT_S)
        return sock.recv(65536)
    if how == "all":
        return sock.recv(min(most + 1, 65536), socket.MSG_WAITALL)
    if how == "peek":
        sock.recv(1, socket.MSG_PEEK)
    return sock.recv({"small": 1000}.get(how, 65536))


def read_to_end(sock, wanted, how, what):
    """Reads until the end of file, which must come after the last byte."""
    got = 0
    while data := receive(sock, how, len(wanted) - got):
        if got + len(data) > len(wanted) or data != wanted[got:got + len(data)]:
            raise Wrong(f"{what}: wrong bytes behind {got} of {len(wanted)}")
        got += len(data)
    if got != len(wanted):
        raise Wrong(f"{what}: a false end after {got} of {len(wanted)} bytes, read by {how}")


def send(sock, data):
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def send_beside(sock, data, failed):
    try:
        send(sock, data)
    except OSError as error:
        failed.append(error)


def echo(sock, data, how):
    failed, problem = [], None
    sender = threading.Thread(target=send_beside, args=(sock, data, failed))
    sender.start()
    try:
        read_to_end(sock, data, how, "echo")
    except (OSError, Wrong) as error:
        problem = error
    # Not before that may the socket be closed: the thread may wait in poll, which looks its number up
    # again, and the number may be another connection's by then.
    sender.join()
    # The kernel reports the error of a connection once: if the other thread got it, this one has read
    # end of file, as on a TCP socket.
    if failed:
        raise failed[0]
    if problem:
        raise problem


def connect(port):
    until = time.monotonic() + LIMIT_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def transfer(rng, port, chosen):
    kind, number, length, cut = chosen
    how = rng.choice(("block", "poll", "all", "peek", "small"))
    data = transfers.content(number, length)
    with connect(port) as sock:
        if how in ("block", "all"):
            sock.settimeout(None)
        sock.sendall(b"%s %d %d %d\n" % (kind.encode(), number, length, cut))
        if kind in ("get", "broken"):
            if rng.random() < 0.3:
                sock.shutdown(socket.SHUT_WR)
            if rng.random() < 0.2:
                time.sleep(rng.random() / 20)
            read_to_end(sock, data, how, kind)
        elif kind == "put":
            send(sock, data)
            read_to_end(sock, transfers.answer(number, length), how, "answer to put")
        elif kind == "echo":
            echo(sock, data, how)
        else:
            sock.sendall(data[:cut])
            transfers.reset_at_close(sock)


def outcome(rng, port, chosen):
    try:
        transfer(rng, port, chosen)
        return "complete"
    except Wrong as problem:
        return f"WRONG {problem}"
    except TimeoutError as problem:
        return f"failed {problem.errno}" if problem.errno else "HUNG"
    except OSError as problem:
        if isinstance(problem, ConnectionError) or problem.errno in (101, 107, 110, 113):
            return f"failed {type(problem).__name__}"
        return f"WRONG {problem!r}"


def work(seed, until, numbers, kinds, ports):
    rng = random.Random(seed)
    for number in numbers:
        if time.monotonic() > until:
            break
        chosen = transfers.choose(rng, number, kinds)
        said = outcome(rng, rng.choice(ports), chosen)
        sys.stdout.write(f"{number} {chosen[0]} {said}\n")


def main():
    seed, seconds, first, count = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    kinds, ports = sys.argv[5].split(","), [int(port) for port in sys.argv[6:]]
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=work, args=(f"{seed} {i}", until, range(first + i, first + count, THREADS),
                                                   kinds, ports))
               for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
