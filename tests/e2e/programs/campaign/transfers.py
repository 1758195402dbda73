# SPDX-License-Identifier: MIT
"""What both ends of a transfer know: its first line, its bytes, and how the connection ended.

The first line is "KIND NUMBER LENGTH CUT\n":

    get     the target sends LENGTH bytes and closes: the end of file is all that says it is complete
    put     the client sends LENGTH bytes and half-closes; the target judges by that end, and answers
    echo    the client sends LENGTH bytes while they come back, and half-closes; so does the target
    broken  the target sends CUT of LENGTH bytes and resets
    drop    the client sends CUT of LENGTH bytes and resets
"""

import random
import socket
import struct

KINDS = ("get", "put", "echo", "broken", "drop")
WEIGHTS = (5, 5, 3, 1, 1)
LONGEST = 4 << 20
_SHIFTS = 65536
_BYTES = memoryview(random.Random(1).randbytes(LONGEST + _SHIFTS))


def content(number, length):
    """The bytes of that transfer, as a memoryview."""
    at = number * 7919 % _SHIFTS
    return _BYTES[at:at + length]


def choose(rng, number, kinds=KINDS):
    """(kind, number, length, cut) of one transfer."""
    kind = rng.choices(kinds, [WEIGHTS[KINDS.index(kind)] for kind in kinds])[0]
    length = int(2 ** rng.uniform(0, 21)) + rng.randrange(3)
    return kind, number, length, rng.randrange(length)


def answer(number, length):
    """The target's answer to a complete `put`."""
    return b"%d bytes of %d\n" % (length, number)


def reset_at_close(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
