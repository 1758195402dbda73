# SPDX-License-Identifier: MIT
"""Programs that send line by line, and their servers.

    lines.py count PORT      a server: reads lines until "end", answers with their number and sum
    lines.py ftpd PORT       a server: as much of FTP as a client needs to log in and store a file
    lines.py store PORT N    a client: stores N short lines by ftplib, which asks poll before each of them
"""
import ftplib
import hashlib
import io
import socket
import socketserver
import sys


class Count(socketserver.StreamRequestHandler):
    def handle(self):
        number = total = 0
        for line in self.rfile:
            if line == b"end\n":
                break
            number += 1
            total += len(line)
        self.wfile.write(b"%d lines %d bytes\n" % (number, total))


class Ftp(socketserver.StreamRequestHandler):
    """Answers each command as if it had been done; answers STOR with the checksum of the received data."""

    listener = None

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def passive(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.say(f"227 Entering Passive Mode (127,0,0,1,{port >> 8},{port & 255})")

    def store(self):
        self.say("150 go on")
        connection, _ = self.listener.accept()
        with connection, self.listener, connection.makefile("rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        self.say(f"226 {digest}")

    def handle(self):
        self.say("220 ready")
        for line in self.rfile:
            command = line.split()[0].upper()
            if command == b"PASV":
                self.passive()
            elif command == b"STOR":
                self.store()
            else:
                self.say({b"USER": "331 password?", b"PASS": "230 welcome", b"QUIT": "221 bye"}.get(command, "200 well"))
            if command == b"QUIT":
                break


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def store(port, count):
    text = b"".join(b"line %d\r\n" % i for i in range(count))
    ftp = ftplib.FTP(timeout=60)
    ftp.connect("127.0.0.1", port)
    ftp.login("user", "password")
    answer = ftp.storlines("STOR file", io.BytesIO(text))
    ftp.quit()
    if answer != "226 " + hashlib.sha256(text).hexdigest():
        sys.exit(f"stored something else: {answer}")
    print(f"{count} lines stored")


def main():
    what, port = sys.argv[1], int(sys.argv[2])
    if what == "store":
        store(port, int(sys.argv[3]))
    else:
        Server(("127.0.0.1", port), {"count": Count, "ftpd": Ftp}[what]).serve_forever()


main()
