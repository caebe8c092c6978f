"""A contestant of the benchmarks that never ends. Little is imported: its process is born soon."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any


def stay_for_ever(pipe: Any, gate: Any) -> None:
    """Start a process that does not end either, and send its id into the pipe."""
    gate.wait()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pipe.send(child.pid)
    threading.Event().wait()
