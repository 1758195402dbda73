# SPDX-License-Identifier: MIT
"""Connects that concern this machine's own links. Prints one line for each: the result of connect.

    links.py ADDRESS DEVICE     a link-local IPv6 address of DEVICE
"""
import errno
import select
import socket
import sys

address, device = sys.argv[1:]
scope = socket.if_nametoindex(device)
on_link = socket.socket(socket.AF_INET6)
on_link.bind((address, 0, 0, scope))
on_link.listen(16)
port6 = on_link.getsockname()[1]
on_loopback = socket.create_server(("127.0.0.1", 0), backlog=16)
port4 = on_loopback.getsockname()[1]


def connect(sock, to, blocking):
    sock.setblocking(blocking)
    result = sock.connect_ex(to)
    if result == errno.EINPROGRESS:
        select.select([], [sock], [], 10)
        result = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return "in progress, then " + errno.errorcode.get(result, "connected")
    return errno.errorcode.get(result, "connected")


def try_it(what, to, bind_to=None, family=socket.AF_INET):
    for blocking in True, False:
        with socket.socket(family) as sock:
            if bind_to:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bind_to)
            print(f"{what}, {'blocking' if blocking else 'not blocking'}:", connect(sock, to, blocking))
            if bind_to:
                print("  the device:", sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16),
                      sock.getsockopt(socket.SOL_SOCKET, 62) == socket.if_nametoindex(bind_to.decode().strip("\0")))
            try:
                print("  the peer's scope:", *sock.getpeername()[3:])
            except OSError as error:
                print("  no peer:", errno.errorcode[error.errno])


six = socket.AF_INET6
try_it("link-local", (address, port6, 0, scope), family=six)
try_it("link-local without a scope", (address, port6, 0, 0), family=six)
try_it("link-local, the scope of another device", (address, port6, 0, 1), family=six)
try_it("link-local, a scope that does not exist", (address, port6, 0, 99), family=six)
try_it("link-local, bound to its device", (address, port6, 0, 0), device.encode(), six)
try_it("link-local, bound to its device, another scope", (address, port6, 0, 1), device.encode(), six)
try_it("IPv6 multicast", ("ff02::1", port6, 0, scope), family=six)
try_it("multicast", ("224.0.0.1", port4))
try_it("broadcast", ("255.255.255.255", port4))
try_it("IPv4 link-local", ("169.254.169.254", 80))
try_it("loopback, bound to another device", ("127.0.0.1", port4), device.encode())
try_it("loopback, bound to its device", ("127.0.0.1", port4), b"lo\0")
