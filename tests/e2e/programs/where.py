# SPDX-License-Identifier: MIT
"""A server for the tests of names; says over HTTP which address was reached: where.py PORT

The gateway's hosts file gives each name a different loopback address. The answer is the address at
which the connection arrived, which proves which name the gateway resolved.
"""

import socketserver
import socket
import sys


class Where(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        address = self.connection.getsockname()[0].removeprefix("::ffff:")
        self.wfile.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(address) + 1}\r\n\r\n{address}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


Server(("::", int(sys.argv[1])), Where).serve_forever()
