"""Runs a command that serves until somebody stops it; stops it as soon as the address that it prints answers.

    python tests/pages/until_ready.py COMMAND WORD ...

Its output goes to stdout. The exit code is 0 where the address answered.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
PATIENCE_S = 120


def main(command: list[str]) -> int:
    """Start, wait for the address and for its answer, and stop."""
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        for line in running.stdout:
            print(line, end="", flush=True)
            if address := ADDRESS.search(line):
                print(f"{address[0]} answers with {_answer(address[0])}", flush=True)
                return 0
        return 1
    finally:
        os.killpg(running.pid, signal.SIGTERM)  # with the processes that answer for it
        running.wait(60)


def _answer(address: str) -> int:
    """The status of the first answer, whatever it is."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return urllib.request.urlopen(address, timeout=5).status
        except urllib.error.HTTPError as answer:
            return answer.code
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
