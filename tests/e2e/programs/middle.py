# SPDX-License-Identifier: MIT
"""middle.py TARGET FILE PORT=WHAT...: somebody on the way to TARGET, who does a thing to connections at each port:

    record     writes all that passes to FILE
    down, up   changes a byte that comes from, or goes to, TARGET
    repeat     sends a piece that comes from TARGET twice
    drop       leaves a piece out
    swap       exchanges two pieces
    cut        ends both sides in the middle of what comes from TARGET
"""

import socket
import sys
import threading

AT = 300000  # bytes that pass unharmed
target, record = int(sys.argv[1]), open(sys.argv[2], "wb", buffering=0)


def pump(source, sink, what, mine):
    passed, late = 0, b""
    try:
        while data := source.recv(16384):
            passed += len(data)
            if what == "record":
                record.write(data)
            elif mine and passed > AT:
                what, mine, data, late = "done", False, *meddle(what, data, source, sink)
            elif late:
                data, late = data + late, b""
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for s in source, sink:
            s.close()


def meddle(what, data, source, sink):
    half = len(data) // 2
    if what in ("down", "up"):
        return data[:half] + bytes([data[half] ^ 1]) + data[half + 1:], b""
    if what == "repeat":
        return data + data, b""
    if what == "drop":
        return data[:half], b""
    if what == "swap":
        return data[half:], data[:half]
    sink.sendall(data[:half])
    for s in source, sink:
        s.shutdown(socket.SHUT_RDWR)
    raise OSError


def serve(listener, what):
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", target))
        threading.Thread(target=pump, args=(client, server, what, what == "up"), daemon=True).start()
        threading.Thread(target=pump, args=(server, client, what, what not in ("up", "record")), daemon=True).start()


for argument in sys.argv[3:]:
    port, what = argument.split("=")
    threading.Thread(target=serve, args=(socket.create_server(("127.0.0.1", int(port))), what)).start()
