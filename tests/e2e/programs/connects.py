# SPDX-License-Identifier: MIT
"""connects.py PORT SECONDS: connects to 127.0.0.1:PORT again and again, eight at a time, and speaks
with the server (peer.py). Prints "COUNT connected, FAILED failed, median M ms, longest L ms"."""

import socket
import statistics
import sys
import threading
import time

port, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
times, failures = [], []


def run():
    while (began := time.monotonic()) < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
                times.append(time.monotonic() - began)
        except OSError as error:
            failures.append(str(error))
        time.sleep(0.005)


threads = [threading.Thread(target=run) for _ in range(8)]
print("begun", flush=True)
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for failure in failures[:3]:
    print(failure, file=sys.stderr)
print(f"{len(times)} connected, {len(failures)} failed, median {1000 * statistics.median(times):.0f} ms, "
      f"longest {1000 * max(times):.0f} ms")
