# SPDX-License-Identifier: MIT
"""What Python's sockets observe: run direct and under the shim, the output must be the same.

It is its own server: what it accepts is plain TCP in both runs. See ../README.md.
"""

import array
import asyncio
import contextlib
import errno
import fcntl
import os
import selectors
import socket
import struct
import subprocess
import sys
import termios
import threading

WAIT = 20  # seconds, for what must happen


def observe(name, value):
    print(f"{name}: {value}", flush=True)


def outcome(call, *arguments, **keywords):
    """The result of a call, or the kind of its exception."""
    try:
        return call(*arguments, **keywords)
    except OSError as error:
        return f"{type(error).__name__} {errno.errorcode.get(error.errno, error.errno)}"


def serve(backlog=64):
    server = socket.create_server(("127.0.0.1", 0), backlog=backlog)
    server.settimeout(WAIT)
    return server


def refusing():
    """An address where nobody listens, for as long as the socket lives."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@contextlib.contextmanager
def pair(server):
    client = socket.create_connection(server.getsockname(), timeout=WAIT)
    accepted, _ = server.accept()
    accepted.settimeout(WAIT)
    with client, accepted:
        yield client, accepted


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def receive_all(sock):
    data = b""
    while part := sock.recv(65536):
        data += part
    return data


def take(sock, count):
    """Exactly that many bytes, or what there is before the end."""
    data = b""
    while len(data) < count and (part := sock.recv(count - len(data))):
        data += part
    return data


# ---- socket -------------------------------------------------------------------------------------


def names_and_kinds(server):
    with pair(server) as (client, accepted):
        observe("peer", client.getpeername() == server.getsockname())
        observe("own address", client.getsockname()[0])
        observe("own name is what the server sees", client.getsockname() == accepted.getpeername())
        observe("family, type, protocol", (client.family.name, client.type.name, client.proto))
        observe("blocking, timeout", (client.getblocking(), client.gettimeout()))
        with socket.socket(fileno=os.dup(client.fileno())) as found:
            observe("found by its descriptor", (found.family.name, found.type.name, found.proto))
            observe("its peer", found.getpeername() == server.getsockname())
        with client.dup() as copy:
            copy.sendall(b"copy")
        observe("a copy sends", take(accepted, 4))
        observe("inheritable", client.get_inheritable())
        observe("TCP_NODELAY", (client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
                                client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        observe("TCP_INFO has a state", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))
        observe("SO_LINGER", client.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
        observe("SO_RCVTIMEO", client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
        observe("listen on it", outcome(client.listen))
        observe("bind it", outcome(client.bind, ("127.0.0.1", 0)))
        observe("connect it again", outcome(client.connect, server.getsockname()))


def connecting(server, closed):
    nobody = closed.getsockname()
    observe("refused", outcome(socket.create_connection, nobody))
    observe("refused, with a timeout", outcome(socket.create_connection, nobody, timeout=WAIT))
    with socket.socket() as sock:
        observe("connect_ex refused", errno.errorcode[sock.connect_ex(nobody)])
        observe("then send", outcome(sock.send, b"x"))
        observe("then a good address", sock.connect_ex(server.getsockname()))
        server.accept()[0].close()
    with socket.socket() as sock, selectors.DefaultSelector() as selector:
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_WRITE)
        observe("without blocking", errno.errorcode[sock.connect_ex(server.getsockname())])
        observe("selected", [key.fileobj is sock for key, _ in selector.select(WAIT)])
        observe("SO_ERROR", sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        observe("connect_ex after it", sock.connect_ex(server.getsockname()) in (0, errno.EISCONN))
        observe("recv without data", outcome(sock.recv, 1))
        server.accept()[0].close()
    with socket.socket() as sock, selectors.DefaultSelector() as selector:
        sock.setblocking(False)
        sock.connect_ex(nobody)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        observe("events of a refusal", [events for _, events in selector.select(WAIT)])
        observe("its SO_ERROR", errno.errorcode[sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
    with socket.socket() as sock:
        observe("a host name", sock.connect_ex(("localhost", server.getsockname()[1])))
        server.accept()[0].close()
    with socket.socket() as sock:
        observe("port out of range", type(raised(sock.connect, ("127.0.0.1", 65536))).__name__)


def raised(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:  # whatever it is
        return error
    return None


def moving_data(server):
    with pair(server) as (client, accepted):
        big = os.urandom(3 << 20)
        got = []
        reader = threading.Thread(target=lambda: got.append(receive_all(accepted)))
        reader.start()
        client.sendall(big)
        client.shutdown(socket.SHUT_WR)
        reader.join(WAIT)
        observe("sendall of 3 MiB", got[0] == big)
        accepted.sendall(b"line one\nline two\nrest")
        accepted.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as lines:
            observe("makefile", lines.readlines())
        observe("at the end", client.recv(1))
    with pair(server) as (client, accepted):
        client.settimeout(0.05)
        observe("recv in vain", type(raised(client.recv, 1)).__name__)
        client.settimeout(WAIT)
        accepted.sendall(b"0123456789")
        buffer = bytearray(4)
        observe("MSG_PEEK", client.recv(4, socket.MSG_PEEK))
        observe("recv_into", (client.recv_into(buffer), bytes(buffer)))
        data, control, flags, address = client.recvmsg(3, 100)
        observe("recvmsg", (data, control, flags))
        observe("recvfrom", client.recvfrom(2)[0])
        observe("MSG_WAITALL", client.recv(1, socket.MSG_WAITALL))
        observe("sendmsg", client.sendmsg([b"ab", b"", b"cd"]))
        observe("arrives", take(accepted, 4))
        with open(__file__, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            observe("socket.sendfile", client.sendfile(source) == size)
        observe("its bytes", len(take(accepted, size)) == size)
        with open(__file__, "rb") as source:
            observe("os.sendfile", os.sendfile(client.fileno(), source.fileno(), 10, 100))
        observe("its part", take(accepted, 100) == open(__file__, "rb").read()[10:110])
        observe("os.write", os.write(client.fileno(), b"raw"))
        observe("os.writev", os.writev(client.fileno(), [b"v", b"ec"]))
        observe("both", take(accepted, 6))
        available = array.array("i", [0])
        accepted.sendall(b"12345")
        client.recv(1, socket.MSG_PEEK)
        fcntl.ioctl(client.fileno(), termios.FIONREAD, available)
        observe("FIONREAD", available[0] > 0)


def ending(server):
    with pair(server) as (client, accepted):
        reset(accepted)
        observe("recv after a reset", outcome(client.recv, 1))
        observe("recv again", outcome(client.recv, 1))
        observe("send after it", outcome(client.send, b"x"))
    with pair(server) as (client, accepted):
        reset(accepted)
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.select(WAIT)
        observe("send after a reset", outcome(client.send, b"x"))
        observe("send again", outcome(client.send, b"x"))
    with pair(server) as (client, accepted):
        reset(client)
        observe("the server sees the reset", outcome(accepted.recv, 1))
    with pair(server) as (client, accepted):
        accepted.close()
        observe("end of file", client.recv(1))
        observe("first send after it", outcome(client.send, b"x"))
    with pair(server) as (client, accepted):
        waiter = threading.Thread(target=lambda: observe("recv in another thread", outcome(client.recv, 1)))
        waiter.start()
        client.shutdown(socket.SHUT_RDWR)
        waiter.join(WAIT)
    with pair(server) as (client, accepted):
        descriptor = client.detach()
        observe("detached", (client.fileno(), outcome(client.recv, 1)))
        os.close(descriptor)
        observe("and closed", accepted.recv(1))


def children(server):
    with pair(server) as (client, accepted):
        client.sendall(b"parent ")
        subprocess.run([sys.executable, "-c", "import sys, socket, os; s = socket.socket(fileno=int(sys.argv[1]));"
                        "s.sendall(b'child'); s.close()", str(client.fileno())],
                       pass_fds=[client.fileno()], check=True)
        client.shutdown(socket.SHUT_WR)
        observe("a child sends on", receive_all(accepted))
    with pair(server) as (client, accepted):
        done = subprocess.run(["cat"], stdin=subprocess.DEVNULL, stdout=client.fileno(), check=False)
        observe("as standard output", done.returncode)
    with pair(server) as (client, accepted):
        if os.fork() == 0:
            client.sendall(b"forked")
            os._exit(0)
        os.wait()
        client.close()
        observe("a fork sends, both close", receive_all(accepted))


# ---- asyncio ------------------------------------------------------------------------------------


class Telling(asyncio.Protocol):
    """Notes what happens to a connection."""

    def __init__(self):
        self.events = []
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.events.append("made")

    def data_received(self, data):
        self.events.append(data)

    def eof_received(self):
        self.events.append("eof")
        return False

    def connection_lost(self, error):
        self.events.append(type(error).__name__)
        self.over.set_result(None)


async def with_asyncio(server, closed):
    loop = asyncio.get_running_loop()
    host, port = server.getsockname()

    async def accept():
        sock, _ = await asyncio.to_thread(server.accept)
        sock.settimeout(WAIT)
        return sock

    reader, writer = await asyncio.open_connection(host, port)
    accepted = await accept()
    observe("asyncio: peername", writer.get_extra_info("peername") == (host, port))
    writer.write(b"x" * 1000000)
    writer.write_eof()
    observe("asyncio: a megabyte", len(await asyncio.to_thread(receive_all, accepted)))
    accepted.sendall(b"one\ntwo\n")
    observe("asyncio: lines", (await reader.readline(), await reader.readline()))
    accepted.close()
    observe("asyncio: end", (await reader.read(), reader.at_eof()))
    writer.close()
    await writer.wait_closed()

    for name, end in (("closed by the server", socket.socket.close), ("reset by the server", reset)):
        transport, protocol = await loop.create_connection(Telling, host, port)
        accepted = await accept()
        end(accepted)
        await asyncio.wait_for(protocol.over, WAIT)
        observe(f"asyncio: {name}", protocol.events)
    transport, protocol = await loop.create_connection(Telling, host, port)
    accepted = await accept()
    transport.abort()
    await asyncio.wait_for(protocol.over, WAIT)
    observe("asyncio: aborted", protocol.events)
    accepted.close()

    try:
        await asyncio.open_connection(*closed.getsockname())
    except OSError as error:
        observe("asyncio: refused", type(error).__name__)
    results = await asyncio.gather(*(asyncio.open_connection(host, port) for _ in range(50)))
    observe("asyncio: fifty at once", len(results))
    for _, writer in results:
        (await accept()).close()
        writer.close()

    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, (host, port))
    accepted = await accept()
    await loop.sock_sendall(sock, b"by the loop")
    observe("asyncio: sock_sendall", take(accepted, 11))
    receiving = loop.create_task(loop.sock_recv(sock, 20))
    await asyncio.sleep(0)
    accepted.sendall(b"answer")
    observe("asyncio: sock_recv", await receiving)
    with open(__file__, "rb") as source:
        sent = await loop.sock_sendfile(sock, source)
    observe("asyncio: sock_sendfile", len(take(accepted, sent)) == sent)
    sock.close()
    accepted.close()


def main():
    server, closed = serve(), refusing()
    names_and_kinds(server)
    connecting(server, closed)
    moving_data(server)
    ending(server)
    children(server)
    asyncio.run(with_asyncio(server, closed))


if __name__ == "__main__":
    main()
