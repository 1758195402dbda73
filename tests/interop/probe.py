#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""probe.py PEER VERSION: how a peer reacts to frames that its own library never sends.

Runs the peer (see README.md) once per question, speaks raw smux frames to it, and prints one line
per answer.  Not part of the test suite: it documents foreign behaviour that ours relies on.
"""
import collections
import socket
import struct
import subprocess
import sys
import time

SYN, FIN, PSH, NOP, UPD = range(5)
NAMES = ["SYN", "FIN", "PSH", "NOP", "UPD"]
SILENCE_S = 0.4
PEER, VERSION = sys.argv[1], int(sys.argv[2])
Frame = collections.namedtuple("Frame", "version cmd sid payload")


def frame(cmd, sid, payload=b"", version=None):
    return struct.pack("<BBHI", version or VERSION, cmd, len(payload), sid) + payload


class Wire:
    """One raw carrier and what was received on it."""

    def __init__(self, sock):
        self.sock, self.pending, self.frames, self.ended = sock, b"", [], None

    def send(self, *frames):
        try:
            self.sock.sendall(b"".join(frames))
        except OSError as error:
            self.ended = error.strerror

    def listen(self, seconds=SILENCE_S, until=lambda frames: False):
        """Collects frames until silence, the end, or until `until` is satisfied."""
        self.sock.settimeout(seconds)
        while not self.ended and not until(self.frames):
            try:
                data = self.sock.recv(1 << 16)
            except socket.timeout:
                break
            except OSError as error:
                self.ended = error.strerror
                break
            if not data:
                self.ended = "carrier closed"
            self.pending += data
            self.parse()
        return self.frames

    def parse(self):
        while len(self.pending) >= 8:
            version, cmd, length, sid = struct.unpack("<BBHI", self.pending[:8])
            if len(self.pending) < 8 + length:
                return
            self.frames.append(Frame(version, cmd, sid, self.pending[8:8 + length]))
            self.pending = self.pending[8 + length:]

    def of(self, sid):
        return [f for f in self.frames if f.sid == sid]

    def data(self, sid):
        return b"".join(f.payload for f in self.of(sid) if f.cmd == PSH)

    def opened(self):
        """The id of the first stream that the peer opened, or None."""
        return next((f.sid for f in self.frames if f.cmd == SYN), None)

    def await_open(self):
        self.listen(until=lambda _: self.opened() is not None)
        return self.opened()

    def await_frame(self, cmd):
        self.listen(1.0, until=lambda frames: any(f.cmd == cmd for f in frames))

    def state(self):
        """Whether the session still works, tested by an echo on a new stream."""
        probe_sid = 1000001
        self.send(frame(SYN, probe_sid), frame(PSH, probe_sid, b"echo\nalive"))
        self.listen(until=lambda _: self.data(probe_sid) == b"alive")
        if self.data(probe_sid) == b"alive":
            return "session lives"
        return "session dead, " + (self.ended or "carrier left open")


class Responder:
    """The peer as the accepting side, with us as a raw client."""

    def __init__(self, *options):
        command = [PEER, "--listen", "127.0.0.1:0", "--version", str(VERSION), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        host, port = self.process.stdout.readline().split()[1].rsplit(":", 1)
        self.wire = Wire(socket.create_connection((host, int(port))))

    def __enter__(self):
        return self.wire

    def __exit__(self, *_):
        self.wire.sock.close()
        self.process.kill()
        self.process.wait()


def drive(scenario, answer, *options):
    """The peer as the driver of a scenario, with `answer(wire)` as a raw server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [PEER, "--connect", "127.0.0.1:%d" % listener.getsockname()[1], "--version",
                   str(VERSION), "--run", scenario, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(sock)
        answer(wire)
        try:
            output = process.communicate(timeout=5)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0]
        sock.close()
        return output.strip(), wire


def after(*frames):
    with Responder() as wire:
        wire.send(*frames)
        wire.listen()
        return wire.state() + reply_text(wire)


def reply_text(wire):
    shown = [f for f in wire.frames if f.sid != 1000001]
    names = ["%s(%d)%s" % (NAMES[f.cmd], f.sid, "+%d" % len(f.payload) if f.payload else "")
             for f in shown[:6]]
    return "; it answered " + " ".join(names) if names else ""


def echo_on(sid, *pieces):
    with Responder() as wire:
        wire.send(frame(SYN, sid), frame(PSH, sid, b"echo\n"), *pieces)
        wire.listen()
        return "%d bytes echoed, %s" % (len(wire.data(sid)), wire.state())


def blocked_writer():
    with Responder() as wire:
        wire.send(frame(SYN, 3), frame(PSH, 3, b"source 10000000 1\n"))
        wire.listen()
        sent = len(wire.data(3))
        wire.send(frame(FIN, 3))
        wire.listen(1.0)
        wire.send(frame(SYN, 5), frame(PSH, 5, b"stats\n"))
        wire.listen()
        fin = any(f.cmd == FIN for f in wire.of(3))
        return "%d bytes without UPD; after our FIN: its FIN %s, %s" % (
            sent, "came" if fin else "did not come", wire.data(5).decode().strip())


def window_updates():
    with Responder() as wire:
        wire.send(frame(SYN, 3), frame(PSH, 3, b"sink 200000\n"))
        wire.send(*[frame(PSH, 3, b"x" * 1000) for _ in range(200)])
        wire.listen()
        updates = [struct.unpack("<II", f.payload) for f in wire.of(3) if f.cmd == UPD]
        return "UPD (consumed, window): " + ", ".join(map(str, updates[:5]))


def fast_reply(runs=40):
    def answer(wire):
        sid = wire.await_open()
        wire.send(frame(PSH, sid, b"bye\n"), frame(FIN, sid))
        wire.listen(until=lambda frames: len(wire.of(sid)) > 2)
    lost = 0
    for _ in range(runs):
        # The scenario ends with a poll that this server never answers: what counts is whether
        # data was written, which the driver does only after it has seen `bye` and the end.
        _, wire = drive("early-close", answer, "--size", "10", "--timeout-s", "1")
        lost += not any(len(f.payload) == 10 for f in wire.frames if f.cmd == PSH)
    return "%d of %d replies to a SYN were lost" % (lost, runs)


def closing_data(runs=20):
    def answer(wire):
        wire.await_frame(FIN)
        sid = wire.opened()
        body = wire.data(sid).split(b"\n", 1)[1]
        wire.send(frame(PSH, sid, CHECKED), frame(PSH, sid, body), frame(FIN, sid))
    wanted = collections.Counter()
    for _ in range(runs):
        output, _ = drive("half-close", answer, "--size", "16384", "--timeout-s", "1")
        wanted[" ".join(output.split()[:2]) + " " + reason(output)] += 1
    return "; ".join("%d x %s" % (n, text) for text, n in wanted.items())


def reason(output):
    # A driver that has read the whole reply goes on to `stats`, which this server does not answer.
    return "whole reply read" if "not finished" in output else output.split(" ", 2)[-1]


CHECKED = None


def checksum_line(body):
    a = b = 0
    for (word,) in struct.iter_unpack("<Q", body + b"\0" * (-len(body) % 8)):
        a = (a + word) % 2**64
        b = (b + a) % 2**64
    return b"%d %016x%016x\n" % (len(body), a, b)


def half_close_body():
    """What the driver sends in half-close, so that the right answer can be prepared."""
    found = {}

    def answer(wire):
        wire.await_frame(FIN)
        if wire.opened():
            found["body"] = wire.data(wire.opened()).split(b"\n", 1)[1]
    drive("half-close", answer, "--size", "16384", "--timeout-s", "1")
    return found.get("body")


def closing_data_checked():
    global CHECKED
    body = half_close_body()
    if not body:
        return "this peer has no close_write"
    CHECKED = checksum_line(body)
    return closing_data()


def early_close_frames():
    def answer(wire):
        wire.await_frame(PSH)
        sid = wire.opened()
        wire.send(frame(PSH, sid, b"bye\n"), frame(FIN, sid))
        wire.listen(1.0)
    _, wire = drive("early-close", answer, "--size", "10", "--timeout-s", "2")
    kinds = [NAMES[f.cmd] for f in wire.of(wire.opened())]
    return "first id %d; frames of that stream: %s" % (wire.opened(), " ".join(kinds))


def first_server_id():
    with Responder() as wire:
        wire.send(frame(SYN, 3), frame(PSH, 3, b"call 1 1\n"))
        return "first id %s" % wire.await_open()


def keepalive(send_nops):
    options = ["--keepalive-interval-ms", "1000", "--keepalive-timeout-ms", "2000"]
    with Responder(*options) as wire:
        begin = time.monotonic()
        while not wire.ended and time.monotonic() - begin < 6.5:
            wire.listen(0.5)
            if send_nops:
                wire.send(frame(NOP, 0))
        nops = collections.Counter(f.sid for f in wire.frames if f.cmd == NOP)
        return "NOP ids %s; after %.1f s: %s" % (dict(nops), time.monotonic() - begin,
                                                 wire.ended or "still there")


def backlog(streams):
    with Responder("--no-accept") as wire:
        wire.send(*[frame(SYN, 3 + 2 * i) for i in range(streams)])
        wire.sock.settimeout(1.0)
        nops, sent = frame(NOP, 0) * 8192, 0
        try:
            while sent < 32 << 20:
                sent += wire.sock.send(nops)
        except OSError as error:
            return "stops reading (%s)" % error
        wire.listen()
        return "goes on reading" + reply_text(wire)


def carrier_after_error():
    with Responder("--no-accept") as wire:
        wire.send(frame(9, 0))
        wire.listen(1.5)
        return wire.ended or "carrier left open"


def unread_stream():
    """Fills the receive budget with one unread stream, then tries another."""
    with Responder() as wire:
        wire.send(frame(SYN, 3), frame(PSH, 3, b"hold 100000000\n"))
        wire.sock.settimeout(1.0)
        body, sent = frame(PSH, 3, b"x" * 32768), 0
        try:
            while sent < 64 << 20:
                sent += wire.sock.send(body)
        except OSError:
            return "stops reading after about %d MiB of a stream that nobody reads" % (sent >> 20)
        return "takes %d MiB of a stream that nobody reads; %s" % (sent >> 20, wire.state())


PROBES = [
    ("NOP with stream id 0xffffff01", lambda: after(frame(NOP, 0xffffff01))),
    ("NOP with the id of a live stream", lambda: echo_on(3, frame(NOP, 3), frame(PSH, 3, b"ab"))),
    ("NOP with length 4", lambda: after(frame(NOP, 0, b"abcd"))),
    ("SYN with length 4", lambda: after(frame(SYN, 3, b"abcd"))),
    ("FIN with length 4", lambda: after(frame(FIN, 3, b"abcd"))),
    ("SYN of the wrong parity", lambda: echo_on(2, frame(PSH, 2, b"ab"))),
    ("SYN, PSH with stream id 0", lambda: echo_on(0, frame(PSH, 0, b"ab"))),
    ("SYN of a live stream", lambda: echo_on(3, frame(SYN, 3), frame(PSH, 3, b"ab"))),
    ("SYN of a finished stream", lambda: echo_on(
        3, frame(PSH, 3, b"a"), frame(FIN, 3), frame(SYN, 3), frame(PSH, 3, b"echo\nb"))),
    ("PSH of length 0", lambda: echo_on(3, frame(PSH, 3), frame(PSH, 3, b"ab"))),
    ("PSH of length 65535", lambda: echo_on(3, frame(PSH, 3, b"x" * 65535))),
    ("PSH for an unknown stream", lambda: after(frame(PSH, 77, b"ab"))),
    ("FIN for an unknown stream", lambda: after(frame(FIN, 77))),
    ("PSH after FIN", lambda: after(frame(SYN, 3), frame(PSH, 3, b"echo\na"), frame(FIN, 3),
                                    frame(PSH, 3, b"late"))),
    ("UPD for an unknown stream", lambda: after(frame(UPD, 77, struct.pack("<II", 1, 65536)))),
    ("UPD of length 4", lambda: after(frame(UPD, 77, b"abcd"))),
    ("UPD that consumed more than was sent", lambda: echo_on(
        3, frame(UPD, 3, struct.pack("<II", 1 << 20, 65536)), frame(PSH, 3, b"ab"))),
    ("a frame of the other version", lambda: after(frame(NOP, 0, version=3 - VERSION))),
    ("an unknown command", lambda: after(frame(9, 0))),
    ("an unknown command, while nobody accepts", carrier_after_error),
    ("first id as client, frames of early-close", early_close_frames),
    ("first id as server", first_server_id),
    ("keepalive, we send NOPs", lambda: keepalive(True)),
    ("keepalive, we are silent", lambda: keepalive(False)),
    ("1000 streams not accepted", lambda: backlog(1000)),
    ("1100 streams not accepted", lambda: backlog(1100)),
    ("one unread stream", unread_stream),
    ("a reply faster than the opener", fast_reply),
    ("reply and FIN to a half-closed stream", closing_data_checked),
]
V2_PROBES = [
    ("window updates", window_updates),
    ("a writer blocked on its window", blocked_writer),
]

for title, probe in PROBES + (V2_PROBES if VERSION == 2 else []):
    print("%-52s %s" % (title, probe()), flush=True)
