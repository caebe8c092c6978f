"""Contestants in processes of their own, and what those cost: CPU time and resident memory."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np
import psutil

_SAMPLE_EVERY_S = 0.2
_SHARES_EVERY = 5
"""The kernel walks all pages to say what of them is shared: ask it once a second only."""
_JOIN_S = 30.0
LIMIT_S = 180.0
"""What a contestant may take; a plain consumer can fall silent for good."""


class ContestantError(RuntimeError):
    """A contestant failed; its traceback is the message."""


class StalledError(ContestantError):
    """A contestant did not finish in its time."""


@dataclass(kw_only=True)
class Footprint:
    """CPU time and memory of processes and all their children, sampled over wall time.

    Attributes:
        wall_s: time of each sample.
        cpu_s: CPU seconds so far.
        resident_bytes: resident memory summed over processes: pages that they share (code, the
            object store) count once for each.
        unique_bytes: the same with shared pages counted once (PSS); sampled less often, and not
            known outside Linux.
    """

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)
    unique_bytes: list[int] = field(default_factory=list)

    def cpu_between(self, start_s: float, stop_s: float) -> float:
        """CPU seconds used between two moments of the wall clock."""
        first, last = np.interp([start_s, stop_s], self.wall_s, self.cpu_s)
        return float(last - first)

    @property
    def peak_bytes(self) -> int:
        """Most memory at one time, shared pages counted once where the system tells."""
        return max(self.unique_bytes or self.resident_bytes, default=0)

    @property
    def peak_summed_bytes(self) -> int:
        """Most memory at one time, shared pages counted for each process."""
        return max(self.resident_bytes, default=0)


class _Sampler:
    """Samples until told to stop. A process that ends keeps the CPU time last seen of it."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]
        self._cpu_s: dict[tuple[int, float], float] = {}
        self.footprint = Footprint()

    def sample(self) -> None:
        resident = unique = 0
        asks = psutil.LINUX and len(self.footprint.wall_s) % _SHARES_EVERY == 0
        for process in self._processes():
            try:
                times, memory = process.cpu_times(), process.memory_info()
                unique += process.memory_full_info().pss if asks else 0
            except psutil.Error:
                continue
            self._cpu_s[process.pid, process.create_time()] = times.user + times.system
            resident += memory.rss
        if asks:
            self.footprint.unique_bytes.append(unique)
        self.footprint.wall_s.append(time.time())
        self.footprint.cpu_s.append(sum(self._cpu_s.values()))
        self.footprint.resident_bytes.append(resident)

    def _processes(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            try:
                yield from (root, *root.children(recursive=True))
            except psutil.Error:
                continue


@contextmanager
def _sampling(pids: Sequence[int]) -> Iterator[Footprint]:
    sampler, over = _Sampler(pids), threading.Event()

    def work() -> None:
        while not over.wait(_SAMPLE_EVERY_S):
            sampler.sample()

    sampler.sample()
    thread = threading.Thread(target=work, name="sampler", daemon=True)
    thread.start()
    try:
        yield sampler.footprint
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the processes of one contestant returned, and what they cost."""

    results: list[Any]
    footprint: Footprint
    started_s: float


class Gate:
    """Lets all processes of a contestant begin at once, when each is ready."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier

    def wait(self) -> None:
        """Return when all have come here."""
        self._barrier.wait(timeout=120)


Work = Callable[[Any, Gate], Any]
"""A contestant: takes its job, passes the gate when ready, returns figures that pickle."""


def run(*work: tuple[Work, Any], counted: int | None = None, within_s: float = LIMIT_S) -> Outcome:
    """Run each piece of work on its job, all at once, in fresh processes.

    Args:
        work: what to do, with which job.
        counted: how many of them, from the first, the footprint is of; None is all.
        within_s: for all of it.

    Raises:
        ContestantError: one of them failed.
        StalledError: one took longer than `within_s`.
    """
    context = get_context("spawn")
    gate = Gate(context.Barrier(len(work)))
    started_s = time.time()
    pipes, processes = [], []
    for one, job in work:
        mine, its = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(one, job, gate, its))
        process.start()
        its.close()
        pipes.append(mine)
        processes.append(process)
    patience_s = 0.0
    try:
        pids = [process.pid for process in processes if process.pid is not None]
        with _sampling(pids[:counted]) as footprint:
            until = time.monotonic() + within_s
            results = [_received(pipe, until) for pipe in pipes]
        patience_s = _JOIN_S
    finally:
        for process in processes:
            process.join(patience_s)
            if process.is_alive():
                _kill(process)
    return Outcome(results=results, footprint=footprint, started_s=started_s)


def _kill(process: Any) -> None:
    """End a process with everything that it started: a Ray, say."""
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.join()


def _received(pipe: Any, until: float) -> Any:
    if not pipe.poll(max(until - time.monotonic(), 0.0)):
        raise StalledError("no result in time")
    try:
        good, result = pipe.recv()
    except EOFError as error:
        raise ContestantError("the process died") from error
    if not good:
        raise ContestantError(result)
    return result


def _child(work: Work, job: Any, gate: Gate, pipe: Any) -> None:
    try:
        pipe.send((True, work(job, gate)))
    except BaseException:  # noqa: BLE001 - told to the parent, which raises
        pipe.send((False, traceback.format_exc()))
    finally:
        pipe.close()
