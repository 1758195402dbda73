# SPDX-License-Identifier: MIT
"""Strangers at a gateway: handshakes.py PORT COUNT SOURCES opens COUNT connections to 127.0.0.1:PORT, from as
many addresses as SOURCES says (127.0.9.1, ...), and keeps them open. A third of them says nothing, a third
sends the hello of a TLS client and no more, and a third a byte of it every tenth of a second. Prints `ready`
when all are open, then a line with the number of those that the gateway has not closed, whenever it changes."""

import select
import socket
import ssl
import sys
import time


def hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["smux"])
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="gateway.test").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


port, count, sources = (int(word) for word in sys.argv[1:])
words = hello()
poll = select.epoll()
peers, slow, sent = {}, [], 0
for i in range(count):
    peer = socket.socket()
    peer.bind((f"127.0.9.{1 + i % sources}", 0))
    peer.connect(("127.0.0.1", port))
    if i % 3 == 1:
        peer.sendall(words)
    elif i % 3 == 2:
        slow.append(peer)
    peers[peer.fileno()] = peer
    poll.register(peer, select.EPOLLRDHUP)
print("ready", flush=True)
due = 0
while True:
    before = len(peers)
    for fd, events in poll.poll(0.05):
        poll.unregister(fd)
        peers.pop(fd).close()
    if len(peers) != before:
        print(len(peers), flush=True)
    if time.monotonic() >= due and sent < len(words):
        for peer in slow:
            if peer.fileno() >= 0:
                try:
                    peer.send(words[sent : sent + 1])
                except OSError:
                    pass
        sent += 1
        due = time.monotonic() + 0.1
