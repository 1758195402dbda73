# SPDX-License-Identifier: MIT
"""All programs at once against one helper that is killed again and again: run.py SECONDS SEED FOLDER
HELPER-COMMAND...  Leaves one report for each program in FOLDER, and chaos.json."""

import json
import os
import sys
import threading
import time

import outcome
import workloads
from chaos import Chaos

SECONDS, SEED, FOLDER = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
RECOVERY_TRIES = 5
PAUSE_S = 0.1

calm = threading.Event()


def one_by_one(name, operation):
    """Repeats the operation until the helper is left alone, and then once more, when it must succeed."""
    tally, turn = outcome.Tally(name), 0
    until = time.monotonic() + SECONDS
    while time.monotonic() < until or not calm.is_set():
        tally.count(lambda: operation(turn))  # pylint: disable=cell-var-from-loop
        turn += 1
        time.sleep(PAUSE_S)
    for _ in range(RECOVERY_TRIES):
        if tally.count(lambda: operation(turn)):
            tally.report["recovered"] = True
            break
        turn += 1
        time.sleep(1)
    tally.write(FOLDER)


def long_lived(name, session):
    tally = outcome.Tally(name)
    tally.count(lambda: session(tally, SECONDS))
    calm.wait()
    tally.report["recovered"] = tally.count(lambda: session(tally, 1))
    tally.write(FOLDER)


def main():
    chaos = Chaos(sys.argv[4:], os.environ["helper_socket"], os.environ["helper_log"], SEED)
    chaos.start()
    threads = [threading.Thread(target=work, args=item)
               for work, table in ((one_by_one, workloads.ONE_BY_ONE), (long_lived, workloads.LONG_LIVED))
               for item in table.items()]
    for thread in threads:
        thread.start()
    try:
        chaos.rage(SECONDS)
    finally:
        calm.set()
        for thread in threads:
            thread.join()
        chaos.end(outcome.signal.SIGTERM, 0)
        with open(f"{FOLDER}/chaos.json", "w") as file:
            json.dump({"seed": SEED, "events": chaos.events, "problems": chaos.problems}, file)


main()
