# SPDX-License-Identifier: MIT
"""fdpass.py COMMAND...: runs it with a unix socket as stdout, as ssh's ProxyUseFdpass does, receives a
connection over that, sends "echo\\nhello", half-closes and prints the answer."""

import array
import os
import socket
import subprocess
import sys

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
child = subprocess.Popen(sys.argv[1:], stdout=theirs.fileno())
theirs.close()
data, control, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
assert child.wait() == 0 and data == b"\0"
(level, kind, rights), = control
fds = array.array("i", rights)
with socket.socket(fileno=fds[0]) as connection:
    connection.sendall(b"echo\nhello")
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while piece := connection.recv(1000):
        answer += piece
os.write(1, answer)
