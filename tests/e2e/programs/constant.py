# SPDX-License-Identifier: MIT
"""constant.py PORT: connects to 127.0.0.1:PORT all the time, and closes at once. Prints a line for
each tenth connect, and one for each that was refused or reset. Ends with SIGTERM."""
import itertools
import socket
import sys
import time

for count in itertools.count(1):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30).close()
        if count % 10 == 0:
            print("connected", count, flush=True)
    except OSError as error:
        print("failed", count, error, flush=True)
    time.sleep(0.002)
