"""The small process between us and the broker: it lets nothing outlive its owner.

Run as a script (standard library only, so that it starts in milliseconds and stays small):
``reaper.py --watch stdin|PID|none [--remove FOLDER [--within PARENT]] -- COMMAND...``

It leads the process group of the broker. It ends the broker, first politely, when it gets SIGTERM
or SIGINT, or when what it watches ends: ``stdin`` ends when every holder of the pipe is gone, even
by SIGKILL, on every system (PR_SET_PDEATHSIG is Linux only and follows a *thread*, so a broker
started by a passing thread would die with it). Then it removes ``FOLDER``, and ``PARENT`` if
nothing else is in it, and exits with the code of the broker.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

POLITE_S = 15.0
POLL_S = 0.25


def main() -> int:
    """Start the command, watch, and clean up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--watch", default="none")
    parser.add_argument("--remove", default="")
    parser.add_argument("--within", default="")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, lambda *_: stop())
    signal.signal(signal.SIGTERM, lambda *_: stop())
    broker = subprocess.Popen(options.command, stdin=subprocess.DEVNULL)  # noqa: S603 - ours

    def stop() -> None:
        broker.terminate()
        timer = threading.Timer(POLITE_S, broker.kill)
        timer.daemon = True
        timer.start()

    def watch() -> None:
        _wait_end(options.watch)
        stop()

    if options.watch != "none":
        threading.Thread(target=watch, daemon=True).start()
    code = broker.wait()
    if options.remove:
        shutil.rmtree(options.remove, ignore_errors=True)
    if options.within:
        with contextlib.suppress(OSError):  # others are in it
            os.rmdir(options.within)  # noqa: PTH106 - this script starts without pathlib
    return code if code >= 0 else 128 - code


def _wait_end(watched: str) -> None:
    """Return when what is watched has ended."""
    if watched == "stdin":
        while os.read(0, 4096):
            pass
        return
    with contextlib.suppress(ProcessLookupError):
        while True:
            with contextlib.suppress(PermissionError):  # it is there
                os.kill(int(watched), 0)
            time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main())
