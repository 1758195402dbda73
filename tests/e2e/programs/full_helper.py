# SPDX-License-Identifier: MIT
"""full_helper.py PATH: in place of a helper, listens at the unix socket with a backlog that is full.
After SIGUSR1 it accepts, and gives each name that it is asked for the address 198.18.0.7."""
import signal
import socket
import struct
import sys

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen(0)
first = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
first.connect(sys.argv[1])
print("full", flush=True)
signal.sigwait({signal.SIGUSR1})
listener.accept()[0].close()
while True:
    connection, _ = listener.accept()
    request = connection.recv(80, socket.MSG_WAITALL)
    if len(request) == 80:
        name = connection.recv(struct.unpack_from("=H", request, 22)[0], socket.MSG_WAITALL)
        head = struct.pack("=IHHiI", 0x58554D53, 1, len(name), 0, 0)
        address = struct.pack("=HHI16s", socket.AF_INET, 0, 0, socket.inet_aton("198.18.0.7"))
        connection.sendall(head + address + name)
    connection.close()
