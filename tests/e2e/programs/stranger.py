# SPDX-License-Identifier: MIT
"""Talks to the helper's socket in ways that no shim would: stranger.py SOCKET KIND PORT

Prints how it ended: "closed", "reset", "errno NAME" (the outcome that the helper bound), "open", or
"waiting" when the helper has not answered within ten seconds.

    good            an ordinary request, to prove that this program gets it right
    junk            bytes that are not a request
    half            half a request, then nothing
    silent          nothing at all
    nofd            a request without a descriptor
    twofds          a request with two
    manyfds         a request with two hundred
    tcpfd           a request with a TCP socket in place of the connection
    filefd          a request with a file
    otherfd         a request with the application's end of another connection
    version         a request of control version 9
    longname        a request with a name length of 60000
    badname         a request with an invalid host name
    named           a request with a descriptor that already has a name
    notice          a lingering notice about a connection that does not exist
    flood           a request, then data before the outcome
    names           questions about names, good and bad; prints a line for each
"""

import errno
import os
import socket
import struct
import sys
import time

SOCKET, KIND, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
CHUNK = 3000 - 64
GATE = 2 * CHUNK


def endpoint(port):
    return struct.pack("=HHI", socket.AF_INET, port, 0) + socket.inet_aton("127.0.0.1") + bytes(12)


def request(version=1, kind=1, name=b"", name_len=None, family=socket.AF_INET, dest=None):
    size = len(name) if name_len is None else name_len
    head = struct.pack("=IHHQHHHHII", 0x58554D53, version, 80, 0x1122334455667788 ^ os.getpid(), kind, 0,
                       family, size, 0, 0)
    head += (dest or endpoint(PORT)) + bytes(24)
    assert len(head) == 80
    return head + name


def gate(message):
    return message + bytes(GATE - len(message))


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 3000)
    s.connect(SOCKET)
    return s


def send(s, message, fds):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"={len(fds)}i", *fds))] if fds else []
    s.sendmsg([message], rights)


def outcome(s, patience=10):
    end = time.monotonic() + patience
    s.settimeout(0.05)
    while time.monotonic() < end:
        name = s.getsockname()
        if isinstance(name, bytes) and name.startswith(b"\0smuxshim/"):
            state = chr(name[10 + 16])
            if state in "cC":
                return "open"
            return "errno " + errno.errorcode[int(name[27:31], 16)]
        try:
            if s.recv(1) == b"":
                return "closed"
        except socket.timeout:
            pass
        except ConnectionResetError:
            # The name is set before the end is closed; look once more.
            name = s.getsockname()
            if isinstance(name, bytes) and name.startswith(b"\0smuxshim/"):
                continue
            return "reset"
    return "waiting"


def answer(message, s=None):
    """The helper's answer to a question: an errno's name, 0, or "closed"."""
    s = s or connect()
    s.settimeout(30)
    s.sendall(message)
    text = b""
    try:
        while data := s.recv(1000):
            text += data
    except ConnectionResetError:
        pass
    if len(text) < 40:
        return "closed"
    err = struct.unpack("=IHHiI", text[:16])[2 + 1]
    return errno.errorcode[err] if err else 0


def ask_about_names():
    name = b"db.internal"
    print("address of db.internal:", answer(request(kind=3, name=name)))
    print("address of elsewhere.invalid:", answer(request(kind=3, name=b"elsewhere.invalid")))
    print("no name:", answer(request(kind=3)))
    print("bad name:", answer(request(kind=3, name=b"bad\x1b]name")))
    print("name with a name:", answer(request(kind=4, name=name)))
    print("family 1:", answer(request(kind=3, name=name, family=1)))
    print("half a name:", answer(request(kind=3, name=name, name_len=100)))
    unknown = struct.pack("=HHI", socket.AF_INET, 0, 0) + socket.inet_aton("198.18.77.7") + bytes(12)
    print("unknown address:", answer(request(kind=4, dest=unknown)))
    crowd = [connect() for _ in range(1000)]
    print("a thousand at once:", sum(answer(request(kind=3, name=name), s) == 0 for s in crowd), "answers")


if KIND == "names":
    ask_about_names()
    sys.exit()
a = connect()
if KIND == "good":
    send(a, gate(request()), [a.fileno()])
elif KIND == "junk":
    send(a, os.urandom(4000), [])
elif KIND == "half":
    send(a, request()[:40], [a.fileno()])
elif KIND == "silent":
    pass
elif KIND == "nofd":
    send(a, gate(request()), [])
elif KIND == "twofds":
    send(a, gate(request()), [a.fileno(), a.fileno()])
elif KIND == "manyfds":
    send(a, gate(request()), [a.fileno()] * 200)
elif KIND == "tcpfd":
    tcp = socket.socket()
    send(a, gate(request()), [tcp.fileno()])
elif KIND == "filefd":
    send(a, gate(request()), [os.open("/dev/null", os.O_RDONLY)])
elif KIND == "otherfd":
    other = connect()
    send(a, gate(request()), [other.fileno()])
elif KIND == "version":
    send(a, gate(request(version=9)), [a.fileno()])
elif KIND == "longname":
    send(a, gate(request(name_len=60000)), [a.fileno()])
elif KIND == "badname":
    send(a, gate(request(name=b"bad\x1b]name")), [a.fileno()])
elif KIND == "named":
    a.bind(b"\0" + os.urandom(8).hex().encode())
    send(a, gate(request()), [a.fileno()])
elif KIND == "notice":
    send(a, request(kind=2), [])
elif KIND == "flood":
    send(a, gate(request()), [a.fileno()])
    a.setblocking(False)
    try:
        while True:
            a.send(bytes(1000))
    except BlockingIOError:
        pass
print(outcome(a), flush=True)
