"""What happens when: a pure function of the seed and the time to fill.

Faults come in batches. Within a batch they may overlap; the next batch waits until the pipeline
has recovered from this one, so that each outage has a cause.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """A kind of fault."""

    KILL_INGEST = "kill ingest worker"
    KILL_SCORER = "kill scorer"
    KILL_DRIVER = "kill driver"
    KILL_BROKER = "kill broker"
    STOP_INGEST = "suspend ingest worker"
    STOP_IN_SEND = "suspend worker in a send"
    STOP_SCORER = "suspend scorer"
    STOP_DRIVER = "suspend driver"
    STOP_BROKER = "suspend broker"
    RESTART_BROKER = "restart broker"
    FULL_DISK = "fill broker's disk"
    CUT = "cut connections"
    HOLD = "part network"
    HALF_OPEN = "swallow requests"
    LOSE_ANSWERS = "swallow answers"
    LATE = "late request"
    DELAY = "delay packets"
    THROTTLE = "limit bandwidth"
    SLICE = "slice packets"
    SLOW_CLOSE = "close slowly"
    SLOW_SCORER = "slow scorer"
    FAILING_SCORER = "scorer raises"
    WRONG_SIZE = "scorer answers wrong size"
    EVENT_CLOCK = "event time jumps"
    WALL_CLOCK = "wall clock jumps"
    INTRUDER = "member joins and leaves"
    ADD_PARTITION = "add partition"
    RIVAL = "second instance, same ids"
    MOVE_LEADERS = "move leaders"
    KILL_GROUPS = "kill coordinator of groups"
    KILL_TRANSACTIONS = "kill coord. of transactions"
    STOP_FOLLOWER = "suspend follower"
    STOP_TWO = "suspend two brokers"
    PART_BROKER = "part broker from its peers"
    POWER_LOSS = "broker loses power"


@dataclass(frozen=True, kw_only=True)
class _Habit:
    """How a kind of fault usually goes.

    Attributes:
        weight: how often it comes, relative to the others.
        seconds: how long it lasts, from and to.
        cost_s: about how long a pipeline needs to get over it, for filling the time.
        amount: of what it does (latency, bytes a second, delay, jump), from and to.
        most: of them in one schedule.
    """

    weight: float
    cost_s: float
    seconds: tuple[float, float] = (0.0, 0.0)
    amount: tuple[float, float] = (0.0, 0.0)
    most: int = 10_000


HABITS: Final[dict[Kind, _Habit]] = {
    Kind.KILL_INGEST: _Habit(weight=6, cost_s=8),
    Kind.KILL_SCORER: _Habit(weight=4, cost_s=7),
    Kind.KILL_DRIVER: _Habit(weight=1.5, cost_s=28, seconds=(0.0, 2.0)),
    Kind.KILL_BROKER: _Habit(weight=2, cost_s=16, seconds=(0.0, 8.0)),
    Kind.STOP_INGEST: _Habit(weight=3, cost_s=14, seconds=(1.0, 25.0)),
    # Longer than a transaction may take.
    Kind.STOP_IN_SEND: _Habit(weight=2, cost_s=18, seconds=(9.0, 20.0)),
    Kind.STOP_SCORER: _Habit(weight=2, cost_s=10, seconds=(1.0, 20.0)),
    Kind.STOP_DRIVER: _Habit(weight=1, cost_s=8, seconds=(1.0, 12.0)),
    Kind.STOP_BROKER: _Habit(weight=2, cost_s=12, seconds=(1.0, 20.0)),
    Kind.RESTART_BROKER: _Habit(weight=1, cost_s=18, seconds=(0.0, 4.0)),
    Kind.FULL_DISK: _Habit(weight=1, cost_s=25, seconds=(1.0, 6.0)),
    Kind.CUT: _Habit(weight=4, cost_s=4),
    Kind.HOLD: _Habit(weight=3, cost_s=10, seconds=(0.5, 20.0)),
    Kind.HALF_OPEN: _Habit(weight=3, cost_s=10, seconds=(0.5, 20.0)),
    Kind.LOSE_ANSWERS: _Habit(weight=4, cost_s=10, seconds=(0.2, 15.0)),
    Kind.LATE: _Habit(weight=4, cost_s=6, seconds=(0.3, 5.0)),
    Kind.DELAY: _Habit(weight=3, cost_s=7, seconds=(2.0, 8.0), amount=(0.02, 1.0)),
    Kind.THROTTLE: _Habit(weight=2, cost_s=7, seconds=(2.0, 8.0), amount=(4e3, 2e5)),
    Kind.SLICE: _Habit(weight=1, cost_s=5, seconds=(1.0, 5.0), amount=(1, 64)),
    Kind.SLOW_CLOSE: _Habit(weight=1, cost_s=5, seconds=(1.0, 5.0), amount=(0.5, 3.0)),
    Kind.SLOW_SCORER: _Habit(weight=2, cost_s=8, seconds=(2.0, 6.0), amount=(0.1, 3.0)),
    Kind.FAILING_SCORER: _Habit(weight=2, cost_s=5, amount=(1, 1)),
    Kind.WRONG_SIZE: _Habit(weight=2, cost_s=5, amount=(1, 1)),
    Kind.EVENT_CLOCK: _Habit(weight=2, cost_s=3, amount=(-60.0, 3600.0)),
    Kind.WALL_CLOCK: _Habit(weight=1, cost_s=6, seconds=(1.0, 6.0), amount=(-1800.0, 1800.0)),
    Kind.INTRUDER: _Habit(weight=3, cost_s=8, seconds=(0.5, 5.0)),
    Kind.ADD_PARTITION: _Habit(weight=0.5, cost_s=10, most=2),
    Kind.RIVAL: _Habit(weight=0.7, cost_s=35, seconds=(1.0, 6.0)),
    Kind.MOVE_LEADERS: _Habit(weight=3, cost_s=6),
    Kind.KILL_GROUPS: _Habit(weight=2, cost_s=18, seconds=(0.0, 15.0)),
    Kind.KILL_TRANSACTIONS: _Habit(weight=2, cost_s=18, seconds=(0.0, 15.0)),
    # Longer than a copy may be behind; some for longer than a broker may be silent.
    Kind.STOP_FOLLOWER: _Habit(weight=2, cost_s=14, seconds=(3.5, 15.0)),
    Kind.STOP_TWO: _Habit(weight=1, cost_s=16, seconds=(1.0, 15.0)),
    Kind.PART_BROKER: _Habit(weight=3, cost_s=16, seconds=(1.0, 20.0)),
    Kind.POWER_LOSS: _Habit(weight=3, cost_s=20, seconds=(0.0, 10.0)),
}

KILLS: Final = frozenset({Kind.KILL_INGEST, Kind.KILL_SCORER, Kind.KILL_DRIVER, Kind.KILL_BROKER})
OF_SEVERAL: Final = frozenset(
    {
        Kind.MOVE_LEADERS, Kind.KILL_GROUPS, Kind.KILL_TRANSACTIONS, Kind.STOP_FOLLOWER,
        Kind.STOP_TWO, Kind.PART_BROKER, Kind.POWER_LOSS,
    }
)  # fmt: skip
"""What takes several brokers."""
OF_BROKERS: Final = OF_SEVERAL | {
    Kind.KILL_BROKER, Kind.STOP_BROKER, Kind.RESTART_BROKER, Kind.FULL_DISK
}  # fmt: skip
"""What strikes a broker."""

SHORT: Final[dict[Kind, int]] = {
    Kind.KILL_INGEST: 4, Kind.KILL_SCORER: 3, Kind.KILL_BROKER: 2, Kind.KILL_DRIVER: 1,
    Kind.CUT: 2, Kind.LOSE_ANSWERS: 2, Kind.HALF_OPEN: 1, Kind.STOP_INGEST: 1, Kind.INTRUDER: 1,
    Kind.LATE: 3, Kind.FAILING_SCORER: 1, Kind.WRONG_SIZE: 1, Kind.DELAY: 1, Kind.EVENT_CLOCK: 1,
}  # fmt: skip
"""What a short run meets, in the order of its seed."""

SHORT_OF_SEVERAL: Final = dict.fromkeys(sorted(OF_SEVERAL), 1) | {
    Kind.KILL_INGEST: 1, Kind.LOSE_ANSWERS: 1
}  # fmt: skip
"""The same on several brokers."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        kind: what happens.
        after_s: since its batch began.
        seconds: how long it lasts; 0 is an instant.
        amount: of what it does, in its kind's unit.
        pick: which of several victims, taken modulo their number.
    """

    kind: Kind
    after_s: float = 0.0
    seconds: float = 0.0
    amount: float = 0.0
    pick: int = 0


@dataclass(frozen=True, kw_only=True)
class FaultBatch:
    """Faults that belong together.

    Attributes:
        quiet_s: of the pipeline before it.
        faults: in the order of `after_s`.
    """

    quiet_s: float
    faults: tuple[Fault, ...]


def make_schedule(
    seed: int, seconds: float, *, without: Collection[Kind] = (), together: int | None = None
) -> tuple[FaultBatch, ...]:
    """Fill the time with faults: each kind once in an order of its own, then by weight.

    Args:
        seed: the same gives the same.
        seconds: to fill, by the habits' costs; a run takes longer when a recovery does.
        without: kinds that are impossible here.
        together: faults in each batch; one to three, by chance, unless it is said.
    """
    rng = random.Random(f"run {seed}")
    kinds = _endless([kind for kind in Kind if kind not in without], rng)
    batches, left_s = [], seconds
    while left_s > 0:
        by_chance = rng.choices((1, 2, 3), (70, 22, 8))[0]
        drawn = [next(kinds) for _ in range(together or by_chance)]
        for kinds_of_batch in _apart(drawn):
            batch = _batch(kinds_of_batch, rng)
            left_s -= batch.quiet_s + max(HABITS[kind].cost_s for kind in kinds_of_batch)
            left_s -= len(kinds_of_batch) - 1
            batches.append(batch)
    return tuple(batches)


def short_schedule(
    seed: int, *, without: Collection[Kind] = (), counts: Mapping[Kind, int] = SHORT
) -> tuple[FaultBatch, ...]:
    """So many faults of each kind in a seeded order, some of them together, none of them long."""
    rng = random.Random(f"short {seed}")
    kinds = [kind for kind, count in counts.items() if kind not in without for _ in range(count)]
    rng.shuffle(kinds)
    batches = []
    while kinds:
        drawn = [kinds.pop() for _ in range(min(rng.choice((1, 1, 2)), len(kinds)))]
        batches += [_batch(apart, rng, longest_s=6.0) for apart in _apart(drawn)]
    return tuple(batches)


def _apart(kinds: list[Kind]) -> list[list[Kind]]:
    """Of several brokers one is struck at a time: a second one gets a batch of its own."""
    if OF_SEVERAL.isdisjoint(kinds):
        return [kinds]
    first: list[Kind] = []
    later: list[list[Kind]] = []
    for kind in kinds:
        if kind in OF_BROKERS and not OF_BROKERS.isdisjoint(first):
            later.append([kind])
        else:
            first.append(kind)
    return [first, *later]


def _endless(kinds: list[Kind], rng: random.Random) -> Iterator[Kind]:
    first = kinds.copy()
    rng.shuffle(first)
    left = {kind: HABITS[kind].most for kind in kinds}
    while True:
        if first:
            kind = first.pop()
        else:
            able = [kind for kind in kinds if left[kind] > 0]
            (kind,) = rng.choices(able, [HABITS[kind].weight for kind in able])
        left[kind] -= 1
        yield kind


def _batch(kinds: list[Kind], rng: random.Random, *, longest_s: float = 1e9) -> FaultBatch:
    after_s, faults = 0.0, []
    for kind in kinds:
        habit = HABITS[kind]
        # Short ones more often than long ones: what is short falls between two steps.
        low, high = habit.seconds
        seconds = low + (high - low) * rng.random() ** 2
        faults.append(
            Fault(
                kind=kind,
                after_s=round(after_s, 3),
                seconds=round(min(seconds, longest_s), 3),
                amount=round(rng.uniform(*habit.amount), 3),
                pick=rng.randrange(1_000),
            )
        )
        after_s += rng.random() ** 2 * 2.0
    return FaultBatch(quiet_s=round(rng.uniform(0.0, 1.5), 3), faults=tuple(faults))
