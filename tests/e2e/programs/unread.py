# SPDX-License-Identifier: MIT
"""unread.py PORT COUNT: opens COUNT connections one after the other, prints `open`, and reads nothing."""

import resource
import socket
import sys
import time

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
kept = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
print("open", flush=True)
time.sleep(3600)
