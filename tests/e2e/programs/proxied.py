# SPDX-License-Identifier: MIT
"""Servers and clients of the PROXY protocol.

    proxied.py serve PORT       answers each connection with the bytes, in hexadecimal, that came
                                before the first 'x'
    proxied.py send PORT BYTES  sends bytes, given in hexadecimal, then waits for the end; prints
                                "closed", or "open" after three seconds
"""

import socket
import sys


def serve(port):
    server = socket.create_server(("127.0.0.1", port), backlog=100)
    while True:
        connection, _ = server.accept()
        got = b""
        while b"x" not in got and (data := connection.recv(4096)):
            got += data
        connection.sendall(got.split(b"x")[0].hex().encode() + b"\n")
        connection.close()


def send(port, data):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(bytes.fromhex(data))
    connection.settimeout(3)
    try:
        while connection.recv(4096):
            pass
        print("closed")
    except TimeoutError:
        print("open")
    except ConnectionError:
        print("closed")


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    send(int(sys.argv[2]), sys.argv[3])
