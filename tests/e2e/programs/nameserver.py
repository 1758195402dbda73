# SPDX-License-Identifier: MIT
"""A scripted name server: nameserver.py ZONE_FILE, at 127.0.0.1:53 over UDP.

ZONE_FILE holds lines "NAME ADDRESS..."; questions for names that end in .silent are never answered, and all other
names do not exist. Each question is printed as "NAME TYPE"."""

import ipaddress
import socket
import struct
import sys

A, AAAA = 1, 28


def read_zone():
    zone = {}
    for line in open(sys.argv[1]):
        name, *addresses = line.split()
        zone[name] = [ipaddress.ip_address(address) for address in addresses]
    return zone


def question(packet):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    kind, _ = struct.unpack_from("!HH", packet, at + 1)
    return ".".join(labels).lower(), kind, packet[12 : at + 5]


def answer(packet, zone):
    name, kind, asked = question(packet)
    print(name, {A: "A", AAAA: "AAAA"}.get(kind, kind), flush=True)
    if name.endswith(".silent"):
        return None
    version = {A: 4, AAAA: 6}.get(kind)
    records = [b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(address.packed)) + address.packed
               for address in zone.get(name, []) if address.version == version]
    flags = 0x8580 if name in zone else 0x8583
    return packet[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + asked + b"".join(records)


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("serving", flush=True)
while True:
    data, peer = server.recvfrom(4096)
    reply = answer(data, read_zone())
    if reply:
        server.sendto(reply, peer)
