# SPDX-License-Identifier: MIT
"""A scripted name server: nameserver.py ZONE_FILE [PORT], at 127.0.0.1, port 53 by default, over UDP and TCP.

ZONE_FILE is read for each question, so it can be changed at any time. Its lines are "NAME WORD...", with the words

    192.0.2.1, 2001:db8::1          an address
    srv:PRIORITY:WEIGHT:PORT:HOST   a SRV record
    ttl:SECONDS                     the time to live of all records of the line; 0 if not said
    many:COUNT:FIRST                COUNT addresses, beginning with FIRST
    alias:NAME                      a CNAME, with the records of that name behind it

or one of the lies and failures

    silent      no answer at all (also to all names that end in .silent)
    servfail    SERVFAIL
    truncated   "ask over TCP", where there is no answer either
    circle      a SRV record whose target is a compressed name that refers to itself
    short       a message that is cut within its last record

All other names do not exist. Each question is printed as "NAME TYPE"."""

import ipaddress
import socket
import struct
import sys
import threading

A, CNAME, AAAA, SRV = 1, 5, 28, 33
TYPES = {A: "A", AAAA: "AAAA", SRV: "SRV"}
UDP_MAX = 1232


def read_zone():
    return {name: words for name, *words in (line.split() for line in open(sys.argv[1]) if line.strip())}


def question(packet):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    kind, _ = struct.unpack_from("!HH", packet, at + 1)
    return ".".join(labels).lower(), kind, packet[12 : at + 5]


def name_bytes(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def record(kind, ttl, data, owner=b"\xc0\x0c"):
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def records_of(zone, name, kind, owner=b"\xc0\x0c"):
    words = zone.get(name, [])
    ttl = next((int(word[4:]) for word in words if word.startswith("ttl:")), 0)
    records = []
    for word in words:
        what, _, rest = word.partition(":")
        if what == "srv" and kind == SRV:
            priority, weight, port, host = rest.split(":")
            records.append(record(SRV, ttl, struct.pack("!HHH", int(priority), int(weight), int(port)) + name_bytes(host), owner))
        elif what == "circle" and kind == SRV:
            # The question ends where this record begins; its target lies 18 bytes behind that.
            at = 12 + len(name_bytes(name)) + 4 + 18
            records.append(record(SRV, ttl, struct.pack("!HHH", 0, 0, 1) + struct.pack("!H", 0xC000 | at), owner))
        elif what == "alias":
            records.append(record(CNAME, ttl, name_bytes(rest), owner))
            records += records_of(zone, rest, kind, name_bytes(rest))
        elif what == "many" and kind == A:
            count, first = rest.split(":")
            first = ipaddress.IPv4Address(first)
            records += [record(A, ttl, (first + i).packed, owner) for i in range(int(count))]
        elif what not in ("srv", "ttl", "many", "circle", "short"):
            address = ipaddress.ip_address(word)
            if {A: 4, AAAA: 6}.get(kind) == address.version:
                records.append(record(kind, ttl, address.packed, owner))
    return records


def answer(packet, zone, over_tcp):
    name, kind, asked = question(packet)
    print(name, TYPES.get(kind, kind), flush=True)
    words = zone.get(name, [])
    if name.endswith(".silent") or "silent" in words or ("truncated" in words and over_tcp):
        return None

    def message(flags, records):
        return packet[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + asked + b"".join(records)

    if "servfail" in words:
        return message(0x8582, [])
    if "truncated" in words:
        return message(0x8780, [])
    records = records_of(zone, name, kind)
    reply = message(0x8580 if name in zone else 0x8583, records)
    if "short" in words and records:
        return reply[:-3]
    return reply if over_tcp or len(reply) <= UDP_MAX else message(0x8780, [])


def serve_tcp(listener):
    def serve(connection):
        with connection:
            while head := connection.recv(2, socket.MSG_WAITALL):
                packet = connection.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                reply = answer(packet, read_zone(), True)
                if reply:
                    connection.sendall(struct.pack("!H", len(reply)) + reply)

    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


here = ("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 53)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(here)
threading.Thread(target=serve_tcp, args=(socket.create_server(here),), daemon=True).start()
print("serving", flush=True)
while True:
    data, peer = server.recvfrom(4096)
    reply = answer(data, read_zone(), False)
    if reply:
        server.sendto(reply, peer)
