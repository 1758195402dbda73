# SPDX-License-Identifier: MIT
"""Connections through the helper's [socks] and [forward], seen from both of their ends.

    proxy_check.py ends HOW PROXY PORT       what each end sees: one line for each way to end
    proxy_check.py outcome HOW PROXY HOST PORT [NAME PASSWORD]
                                             how a connect ends: "connected", or what was answered
    proxy_check.py flow PORT HOW=PROXY...    one endless transfer by each HOW; "flowing" once all of
                                             them flow, then how each has ended
    proxy_check.py idle PROXY COUNT          opens connections and says one byte each; prints how
                                             many of them are still there a moment later

HOW is direct, socks5, socks5h, socks4, socks4a, http or forward; PROXY is HOST:PORT or the path of a
unix socket. The target is this program itself, at 127.0.0.1:PORT.
"""

import base64
import errno
import hashlib
import select
import socket
import struct
import sys
import threading
import time

RESET = struct.pack("ii", 1, 0)


def open_socket(proxy):
    if proxy.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(proxy)
    else:
        host, port = proxy.rsplit(":", 1)
        sock = socket.create_connection((host.strip("[]"), int(port)))
    sock.settimeout(30)
    return sock


def exactly(sock, length):
    data = b""
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            raise EOFError(f"end of file after {len(data)} of {length} bytes")
        data += piece
    return data


def address(how, host, port):
    if how == "socks5h":
        return b"\3" + bytes([len(host)]) + host.encode() + struct.pack(">H", port)
    return b"\1" + socket.inet_aton(socket.gethostbyname(host)) + struct.pack(">H", port)


def request(how, host, port, login):
    """All that the client says, in one piece."""
    if how in ("socks5", "socks5h"):
        said = b"\5\1\2\1" if login else b"\5\1\0"
        for text in login or ():
            said += bytes([len(text)]) + text.encode()
        return said + b"\5\1\0" + address(how, host, port)
    if how == "socks4":
        return b"\4\1" + struct.pack(">H", port) + socket.inet_aton(socket.gethostbyname(host)) + b"me\0"
    if how == "socks4a":
        return b"\4\1" + struct.pack(">H", port) + b"\0\0\0\1me\0" + host.encode() + b"\0"
    if how == "http":
        said = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        if login:
            said += "Proxy-Authorization: Basic " + base64.b64encode(":".join(login).encode()).decode() + "\r\n"
        return said.encode() + b"\r\n"
    return b""


def answer(how, sock, login):
    if how in ("socks5", "socks5h"):
        method = exactly(sock, 2)
        if method != (b"\5\2" if login else b"\5\0"):
            return f"method-{method[1]}"
        if login and exactly(sock, 2) != b"\1\0":
            return "login refused"
        reply = exactly(sock, 4)
        exactly(sock, 6 if reply[3] == 1 else 18)
        return reply[1] and f"reply-{reply[1]}"
    if how in ("socks4", "socks4a"):
        reply = exactly(sock, 8)
        return reply[1] != 90 and f"reply-{reply[1]}"
    if how == "http":
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += exactly(sock, 1)
        status = head.split()[1].decode()
        said = [line.split("error=")[1] for line in head.decode().split("\r\n") if "error=" in line]
        return status != "200" and "-".join([status, *said])
    return None


class Refused(Exception):
    pass


def connect(how, proxy, host, port, early=b"", login=None, byte_by_byte=False):
    sock = open_socket(f"{host}:{port}" if how == "direct" else proxy)
    said = request(how, host, port, login) + early
    if byte_by_byte:
        for i in range(len(said)):
            sock.sendall(said[i : i + 1])
            time.sleep(0.001)
    elif said:
        sock.sendall(said)
    why = answer(how, sock, login)
    if why:
        raise Refused(why)
    return sock


# ---- What each end sees ----


def ended(sock):
    """Reads to the end, and says how it came."""
    length = 0
    try:
        while data := sock.recv(65536):
            length += len(data)
        return f"{length} bytes, end of file"
    except OSError as e:
        return f"{length} bytes, {errno.errorcode.get(e.errno, e)}"


def speaks_first(client, target):
    target.sendall(b"banner")
    return exactly(client, 6)


def client_half_closes(client, target):
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    heard = ended(target)
    target.sendall(b"answer")
    target.close()
    return heard, ended(client)


def target_half_closes(client, target):
    target.sendall(b"all")
    target.shutdown(socket.SHUT_WR)
    heard = ended(client)
    client.sendall(b"and back")
    client.close()
    return heard, ended(target)


def target_resets(client, target):
    client.sendall(b"hello")
    exactly(target, 5)
    target.sendall(b"part")
    heard = exactly(client, 4)
    target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    target.close()
    return heard, ended(client)


def client_leaves_unread(client, target):
    target.sendall(b"never read")
    select.select([client], [], [], 30)
    client.close()
    return ended(target)


def copy(source, sink, length, result):
    digest = hashlib.sha256()
    block = bytes(range(256)) * 256
    sender = threading.Thread(target=lambda: [sink.sendall(block) for _ in range(length // len(block))])
    sender.start()
    left = length
    while left > 0 and (data := source.recv(65536)):
        digest.update(data)
        left -= len(data)
    sender.join()
    result.append(digest.hexdigest()[:16] if left == 0 else f"{left} bytes missing")


def bulk_both_ways(client, target):
    results = [[], []]
    threads = [
        threading.Thread(target=copy, args=(client, target, 4 << 20, results[0])),
        threading.Thread(target=copy, args=(target, client, 4 << 20, results[1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def ends(how, proxy, port):
    server = socket.create_server(("127.0.0.1", int(port)), backlog=16)
    host = "localhost" if how in ("socks5h", "socks4a", "http") else "127.0.0.1"

    def pair(**options):
        client = connect(how, proxy, host, int(port), **options)
        target, _ = server.accept()
        target.settimeout(30)
        return client, target

    for check in (speaks_first, client_half_closes, target_half_closes, target_resets, client_leaves_unread,
                  bulk_both_ways):
        print(check.__name__, check(*pair()), flush=True)
    client, target = pair(early=b"said before the answer")
    print("early", exactly(target, 22))
    client, target = pair(byte_by_byte=True)
    client.sendall(b"x")
    print("byte by byte", exactly(target, 1))


# ---- How a connect ends ----


def outcome(how, proxy, host, port, *login):
    try:
        connect(how, proxy, host, int(port), login=login)
        print("connected")
    except Refused as e:
        print(e)
    except (OSError, EOFError) as e:
        print(errno.errorcode.get(e.errno) if isinstance(e, OSError) else e)


# ---- Transfers that are cut ----


def feed(sock):
    try:
        while True:
            sock.sendall(bytes(65536))
    except OSError:
        pass


def flow(port, *proxies):
    server = socket.create_server(("127.0.0.1", int(port)), backlog=16)
    clients = []
    for each in proxies:
        how, proxy = each.split("=")
        client = connect(how, proxy, "127.0.0.1", int(port), early=b"x")
        target, _ = server.accept()
        threading.Thread(target=feed, args=(target,), daemon=True).start()
        exactly(client, 1000000)
        clients.append((each, client))
    print("flowing", flush=True)
    for each, client in clients:
        print(each.split("=")[0], ended(client).split(", ")[1], flush=True)


def idle(proxy, count):
    socks = [open_socket(proxy) for _ in range(int(count))]
    for sock in socks:
        try:
            sock.sendall(b"\5")
        except OSError:
            pass
    time.sleep(0.7)
    gone = select.select(socks, [], [], 0)[0]
    print(len(socks) - len(gone))


{"ends": ends, "outcome": outcome, "flow": flow, "idle": idle}[sys.argv[1]](*sys.argv[2:])
