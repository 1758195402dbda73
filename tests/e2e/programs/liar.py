# SPDX-License-Identifier: MIT
"""liar.py CERTIFICATE KEY PORT=WHAT...: gateways of plain smux over TLS, good until the handshake is complete and the
first stream is open. To that each sends "part", and then

    end       its end, as an honest one would
    cut       nothing: the connection is cut off
    notify    TLS's close_notify, without the stream's end
    shorter   a frame that is shorter than it says, and close_notify
    garbage   what is no frame
    version   a frame of a version that there is none of
    unasked   a stream of its own, which is refused, and then the end
"""

import os
import socket
import ssl
import struct
import sys
import threading
import time


def frame(command, stream, data=b"", version=1):
    return struct.pack("<BBHI", version, command, len(data), stream) + data


SYN, FIN, PSH = 0, 1, 2
lies = {
    "end": lambda stream: frame(FIN, stream),
    "cut": lambda stream: b"",
    "notify": lambda stream: b"",
    "shorter": lambda stream: struct.pack("<BBHI", 1, PSH, 60000, stream) + b"lie" * 1000,
    "garbage": lambda stream: b"\x5a" * 50000,
    "version": lambda stream: frame(PSH, stream, b"lie", version=9),
    "unasked": lambda stream: frame(SYN, 2) + frame(PSH, 2, b"lie") + frame(FIN, stream),
}


def read_until_syn(connection):
    while True:
        _, command, length, stream = struct.unpack("<BBHI", read(connection, 8))
        read(connection, length)
        if command == SYN:
            return stream


def read(connection, n):
    data = b""
    while len(data) < n:
        piece = connection.recv(n - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def lie(plain, what):
    try:
        connection = context.wrap_socket(plain, server_side=True)
        stream = read_until_syn(connection)
        connection.sendall(frame(PSH, stream, b"part"))
        time.sleep(0.2)
        connection.sendall(lies[what](stream))
        if what in ("notify", "shorter"):
            connection.unwrap()
        elif what == "cut":
            socket.socket(fileno=connection.detach()).shutdown(socket.SHUT_RDWR)
        else:
            read(connection, 1 << 30)
    except (OSError, EOFError):
        pass


def serve(listener, what):
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=lie, args=(plain, what), daemon=True).start()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
context.set_alpn_protocols(["smux"])
for argument in sys.argv[3:]:
    port, what = argument.split("=")
    threading.Thread(target=serve, args=(socket.create_server(("127.0.0.1", int(port))), what)).start()
