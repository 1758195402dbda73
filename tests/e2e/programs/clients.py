# SPDX-License-Identifier: MIT
"""Python clients: clients.py KIND HOST PORT COUNT.  Prints "COUNT ok" if every answer was right.

urllib, threads and requests-like use go to the web server; asyncio, nonblocking, fork and timeout
to peer.py."""

import asyncio
import errno
import os
import select
import socket
import sys
import threading
import urllib.request

KIND, HOST, PORT, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def web(i):
    with urllib.request.urlopen(f"http://{HOST}:{PORT}/small{i}", timeout=60) as response:
        return response.read() == f"file {i}\n".encode()


def use_urllib():
    return sum(web(i) for i in range(1, COUNT + 1))


def use_threads():
    results = []
    threads = [threading.Thread(target=lambda i=i: results.append(web(i))) for i in range(1, COUNT + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(results)


async def one_stream(i):
    reader, writer = await asyncio.open_connection(HOST, PORT)
    assert writer.get_extra_info("peername")[:2] == (HOST, PORT)
    writer.write(b"echo\nnumber %d" % i)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer == b"number %d" % i


def use_asyncio():
    async def all_streams():
        return await asyncio.gather(*(one_stream(i) for i in range(COUNT)))

    return sum(asyncio.run(all_streams()))


def use_nonblocking():
    """connect on non-blocking sockets that were registered with poll before."""
    poller, sockets, done = select.epoll(), {}, 0
    for i in range(COUNT):
        sock = socket.socket()
        sock.setblocking(False)
        poller.register(sock, select.EPOLLOUT)
        error = sock.connect_ex((HOST, PORT))
        assert error in (0, errno.EINPROGRESS), error
        sockets[sock.fileno()] = (sock, i)
    while sockets:
        for fd, events in poller.poll(30):
            sock, i = sockets[fd]
            if events & select.EPOLLOUT and not events & select.EPOLLIN:
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                sock.sendall(b"echo\n%d\n" % i)
                poller.modify(fd, select.EPOLLIN)
            elif events & select.EPOLLIN:
                done += sock.recv(100) == b"%d\n" % i
                poller.unregister(fd)
                del sockets[fd]
                sock.close()
    return done


def use_fork():
    """A connection is made here and used in child processes, each of which makes another."""
    done = 0
    for i in range(COUNT):
        sock = socket.create_connection((HOST, PORT))
        pid = os.fork()
        if pid == 0:
            other = socket.create_connection((HOST, PORT))
            for each in (sock, other):
                each.sendall(b"echo\nchild %d" % i)
                each.shutdown(socket.SHUT_WR)
                answer = each.makefile("rb").read()
                if answer != b"child %d" % i:
                    os._exit(1)
            os._exit(0)
        sock.close()
        done += os.waitpid(pid, 0)[1] == 0
    return done


def use_timeout():
    """recv with a timeout, from a peer that sends nothing."""
    done = 0
    for _ in range(COUNT):
        sock = socket.create_connection((HOST, PORT), timeout=0.05)
        sock.sendall(b"silent\n")
        try:
            sock.recv(1)
        except socket.timeout:
            done += 1
        sock.close()
    return done


print(globals()[f"use_{KIND}"](), "ok")
