"""What the switches do to a worker: its clock, its scoring, its sending. Standard library."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tests.chaos.hooks.switches import Switches

POISON = 666.0
"""A call with a row whose first channel is this raises."""
VENOM = 667.0
"""One with such a row kills the process that scores it."""


class ChaosError(RuntimeError):
    """Raised by a scorer on purpose."""


def install(path: str) -> None:
    """Wrap scoring and sending as soon as they are imported; bend the clock of Ray's workers."""
    switches = Switches(path)
    wraps = {
        "detector.scoring": lambda module: _wrap(module.Detector, switches),
        "kafka.net.compat": lambda module: _wrap_client(module.KafkaNetClient, switches),
    }
    sys.meta_path.insert(0, _Finder(wraps))
    if any("default_worker.py" in word for word in sys.orig_argv):
        real = time.time
        time.time = lambda: real() + switches.get("wall_offset_s")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds some modules as everybody does, and has them wrapped when they are loaded."""

    def __init__(self, wraps: dict[str, Callable[[Any], None]]) -> None:
        self._wraps = wraps

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        wrap = self._wraps.pop(name, None)  # once
        if wrap is None:
            return None
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert isinstance(spec.loader, importlib.machinery.SourceFileLoader)
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            wrap(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _wrap(detector: Any, switches: Switches) -> None:
    score = detector.score

    def wrapped(
        self: Any, rows: Any, ends: Any, groups: Any, *, lengths: Any = None, times: Any = None
    ) -> Any:
        time.sleep(switches.get("score_delay_s"))
        if switches.get("all_fail_until_s") > time.monotonic():
            raise ChaosError("every scoring call fails for a while")
        if switches.take("failures"):
            raise ChaosError("a scoring call fails once")
        if len(ends):
            firsts = rows[:, 0]
            if (firsts == POISON).any():
                raise ChaosError("a poisonous record")
            if (firsts == VENOM).any():
                os.kill(os.getpid(), signal.SIGKILL)
            if switches.take("wrong_sizes"):
                cut = None if lengths is None else lengths[:-1]
                return score(self, rows, ends[:-1], groups[:-1], lengths=cut, times=times)
        return score(self, rows, ends, groups, lengths=lengths, times=times)

    detector.score = wrapped


def _wrap_client(client: Any, switches: Switches) -> None:
    """Have a worker stop itself when the outputs of a transaction are with the network."""
    send = client.send

    def wrapped(self: Any, node_id: Any, request: Any, **options: Any) -> Any:
        future = send(self, node_id, request, **options)
        is_output = type(request).__name__ == "ProduceRequest" and request.transactional_id
        if is_output and switches.take("stops_in_send"):
            switches.set("stopped_pid", os.getpid())
            os.kill(os.getpid(), signal.SIGSTOP)
        return future

    client.send = wrapped
