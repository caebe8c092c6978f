"""Reference, backtest and replays agree with one another, and notice what was planted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from schemas.settings import Settings
from tests.chaos import checkers
from tests.chaos.commits import Commit
from tests.chaos.hooks.wrapping import POISON
from tests.chaos.load import Sensors, Sent
from tests.chaos.oracle import Fate
from tests.chaos.reference import Expected, expected_of
from tests.chaos.replays import PartitionLog, backtested, logs_of, restorable
from tests.support.models import START_NS, encoded, small_detector
from tests.support.partitions import close
from workers.stream.state.restore import RestorePlan

RECORDS = 1_650
SETTINGS = Settings.model_validate(
    {"stream": {"max_restore_records": 800, "max_stale_s": 1, "max_gap_s": 30}}
)
TICK_MS = 10


class Raw(NamedTuple):
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@cache
def source() -> list[Raw]:
    """A run's own readings, and among them one that no scorer survives."""
    records = Sensors(seed=5, count=4).records()
    sent = [next(records) for _ in range(RECORDS)]
    poisoned = [
        ("sick", START_NS + row * 10**9, np.array([POISON if row == 9 else 10.0, 5.0, 40.0]))
        for row in range(40)
    ]
    # Among the others, so that commits fall before, between and behind them.
    for row, one in enumerate(encoded(poisoned)):
        sent.insert(700 + row * 5, Sent(key=one["key"], value=one["value"]))
    return [
        Raw(0, offset, START_NS // 10**6 + offset * TICK_MS, one.key, one.value, one.headers)
        for offset, one in enumerate(sent)
    ]


@cache
def expected() -> Expected:
    return expected_of(source(), {0: len(source())}, small_detector(), SETTINGS)


@cache
def log() -> PartitionLog:
    ends = {0: len(source())}
    (one,) = logs_of(source(), ends, small_detector(), SETTINGS, expected().verdicts)
    return one


@cache
def commits() -> tuple[Commit, ...]:
    """What an undisturbed worker commits, batch by batch."""
    state = log().state(RestorePlan.cold_at(0))
    found: list[Commit] = []
    for batch in log().batches(0, log().end, size=37):
        request = state.polled(batch)
        assert request is not None
        pending = close(state, request.number)
        found.append(
            Commit(
                partition=0,
                next_offset=pending.next_offset,
                metadata=pending.restore_point.encode(),
                at_ms=0,
                number=len(found),
            )
        )
    return tuple(found)


def test_the_load_holds_everything_that_sensors_do_wrong():
    counts = expected().counts

    assert all(counts[fate.value] > 10 for fate in Fate), counts
    assert {verdict.stage for verdict in expected().verdicts.values()} >= {
        "", "decode", "schema", "content-type", "clock", "scoring",
    }  # fmt: skip
    assert 20 < len(expected().flagged) < len(expected().denoised)


def test_the_backtest_agrees_with_the_oracle_bit_by_bit():
    backtest = backtested([log()])

    assert checkers.differing("readings", expected().denoised, backtest.denoised) == []
    assert checkers.differing("incidents", expected().events, backtest.events) == []


def test_the_load_opens_incidents_that_end_in_every_way():
    whys = Counter(event.data.end_reason or event.type for event in expected().events.values())

    assert whys.keys() >= {"recovered", "stale", "incident.opened", "incident.updated"}, whys
    assert any(one["incident"] for one in expected().recorded.values())


def test_every_commit_allows_the_replay():
    assert restorable(log(), commits(), expected().verdicts) == []


@pytest.mark.parametrize("change", ["late", "blind", "foreign", "elsewhere"])
def test_metadata_that_does_not_allow_the_replay_is_caught(change):
    def spoilt(commit: Commit) -> Commit:
        metadata: Any = json.loads(commit.metadata)
        if change == "late":  # one record too late
            metadata["restore_from"] = min(metadata["restore_from"] + 1, commit.next_offset)
        elif change == "blind":  # to the poison
            metadata["poison"] = []
        elif change == "foreign":
            metadata["v"] = 99
        else:
            return replace(commit, next_offset=max(commit.next_offset - 1, 0))
        return replace(commit, metadata=json.dumps(metadata))

    assert restorable(log(), [spoilt(one) for one in commits()], expected().verdicts)
