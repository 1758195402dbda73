# SPDX-License-Identifier: MIT
"""memory.py PID...: counts in the processes' memory each of the texts on stdin, a line each; a line "hex:..." stands
for the bytes. Prints "PID N TEXT" for those that are found."""

import sys

texts = sys.stdin.read().split("\n")[:-1]
needles = {text: bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode() for text in texts}


def regions(pid):
    for line in open(f"/proc/{pid}/maps"):
        where, rights, _, _, _, *name = line.split(None, 5)
        if rights.startswith("r") and not (name and name[0].startswith(("[v", "/usr/"))):
            yield [int(end, 16) for end in where.split("-")]


for pid in sys.argv[1:]:
    found, size = dict.fromkeys(texts, 0), 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for begin, end in regions(pid):
            memory.seek(begin)
            data = memory.read(end - begin)
            size += len(data)
            for text, needle in needles.items():
                found[text] += data.count(needle)
    assert size > 1000000, f"read only {size} bytes of {pid}"
    for text, count in found.items():
        if count:
            print(pid, count, text)
