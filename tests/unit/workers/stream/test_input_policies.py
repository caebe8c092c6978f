"""The policies of docs/input-policies.md: what becomes of a reading, and which metric says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from schemas.codec import FRAME_JSON, FrameEncoder
from schemas.wire.dead_letter import read_dead_letter
from tests.support.fakes import FakeStream, make_stream, places
from tests.support.models import CHANNELS, START_NS, encoded, plant_values
from tests.support.watched import Watched
from workers.errors import DeadLetterLimitError
from workers.kafka.client import PollResult
from workers.supervision.status import (
    Mode,
    ScalingStatus,
    WorkerCount,
)

WARM_UP = 7  # readings, before the window of `small_detector` is full
ROWS = plant_values(400, seed=3)
START_MS = START_NS // 10**6
NOBODY = WorkerCount(actual=0, target=0, least=0, most=0, mode=Mode.AUTO)


def at(second: float, row: int | None = None, sensor: str = "a") -> bytes:
    """A reading of one second, with the values of one row of the plant."""
    ts_ns = START_NS + round(second * 1e9)
    values = ROWS[int(second) if row is None else row]
    return bytes(encoded([(sensor, ts_ns, values)])[0]["value"])


@dataclass(frozen=True)
class Played:
    """What came of some records."""

    stream: FakeStream

    def metric(self, name: str, **labels: str) -> float:
        """A counter, as Prometheus reads it."""
        scaling = ScalingStatus(partitions=1, ingest=NOBODY, scorers=NOBODY)
        registry = Watched([self.stream.loop.health], scaling).registry()
        return registry.get_sample_value(f"vigie_{name}_total", labels or {"partition": "0"}) or 0.0

    @property
    def scored(self) -> dict[int, tuple[float | None, ...]]:
        """Score and cleaned values by offset."""
        return places(self.stream.sink, "vigie.denoised")

    @property
    def reasons(self) -> list[tuple[int, str, str]]:
        """Offset, stage and message of each dead letter."""
        letters = [
            read_dead_letter(headers)
            for topic, _, headers in self.stream.sink.sent
            if topic == "vigie.dead-letters"
        ]
        return [(letter.offset, letter.stage, letter.message) for letter in letters]


def play(
    values: Sequence[bytes | None],
    *,
    stamps_ms: Sequence[int] | None = None,
    content_type: str | None = None,
    **stream_settings: Any,
) -> Played:
    """Run records through the loop until all are committed; the books must balance."""
    stream = make_stream(list(values), stream=stream_settings)  # type: ignore[arg-type]
    poll = stream.source.poll

    def dressed(*, timeout_s: float, max_records: int) -> PollResult:
        polled = poll(timeout_s=timeout_s, max_records=max_records)
        headers = () if content_type is None else (("content-type", content_type.encode()),)
        records = {
            partition: [
                record._replace(
                    timestamp=-1 if stamps_ms is None else stamps_ms[record.offset],
                    headers=headers,
                )
                for record in records
            ]
            for partition, records in polled.records.items()
        }
        return replace(polled, records=records)

    stream.source.poll = dressed  # type: ignore[method-assign]
    stream.run_to_the_end()
    stream.loop._note_health(stream.loop.health.phase, at_once=True)
    counts = stream.loop.health.total
    assert counts.records == len(values)
    assert counts.reconciled
    return Played(stream)


STEADY = [at(second) for second in range(20)]
STAMPS_MS = [START_MS + 1000 * second for second in range(40)]
IN_SECONDS = [value.replace(b"000,", b",", 1) for value in STEADY[10:]]


# -- late, duplicate, out of order -----------------------------------------------------------------


def test_a_late_reading_is_dropped_and_changes_no_score():
    played = play([*STEADY[:12], at(3, row=300), *STEADY[12:]])
    assert played.metric("late") == 1
    assert 12 not in played.scored
    undisturbed = play(STEADY).scored
    assert list(played.scored.values()) == list(undisturbed.values())


def test_of_two_readings_of_one_time_the_first_stays():
    played = play([*STEADY, at(19, row=300)])
    assert played.metric("duplicate") == 1
    assert played.scored == play(STEADY).scored


def test_readings_out_of_order_are_late_and_not_sorted():
    swapped = [*STEADY[:12], STEADY[13], STEADY[12], *STEADY[14:]]
    played = play(swapped)
    assert played.metric("late") == 1
    assert sorted(played.scored) == [*range(WARM_UP, 13), *range(14, 20)]


def test_each_reading_of_a_frame_is_judged_by_itself():
    order = [0, 1, 2, 3, 4, 5, 6, 7, 5, 7, 8, 9]
    times = np.array([START_NS + second * 10**9 for second in order])
    frame = FrameEncoder(CHANNELS).encode("a", times, ROWS[order])
    played = play([frame], content_type=FRAME_JSON)
    assert (played.metric("late"), played.metric("duplicate")) == (1, 1)
    assert played.metric("scored") == len(order) - 2 - WARM_UP


def test_a_reading_sent_back_is_late_once_its_sensor_went_on():
    """What `vigie dead-letters redrive` says: corrected, but too old."""
    played = play([*STEADY[:10], b"bad", *STEADY[11:], STEADY[10]])
    assert played.metric("late") == 1
    assert [offset for offset, _, _ in played.reasons] == [10]


# -- clocks ----------------------------------------------------------------------------------------


def test_a_clock_that_jumped_ahead_is_refused_beyond_the_limit_and_harms_nobody():
    values = [*STEADY[:10], at(90_000, row=300), *STEADY[10:]]
    played = play(values, stamps_ms=STAMPS_MS)
    assert played.metric("bad_records", stage="clock") == 1
    assert played.metric("late") == 0
    assert [(offset, stage) for offset, stage, _ in played.reasons] == [(10, "clock")]
    assert list(played.scored.values()) == list(play(STEADY).scored.values())


def test_a_clock_that_jumped_ahead_by_less_silences_its_sensor_until_time_catches_up():
    ahead = [*STEADY[:10], at(15.5, row=300), *STEADY[10:]]
    played = play(ahead, stamps_ms=STAMPS_MS)
    assert played.metric("late") == 6  # seconds 10 to 15
    assert played.metric("bad_records", stage="clock") == 0
    assert max(played.scored) == 20


def test_another_sensor_does_not_suffer_from_a_clock():
    others = [at(second, sensor="b") for second in range(20)]
    both = [value for pair in zip(STEADY, others, strict=True) for value in pair]
    played = play([*both[:20], at(1000, row=300), *both[20:]])
    assert played.metric("late") == 10  # of sensor a alone
    assert {offset for offset in played.scored if offset > 20} == set(range(22, 41, 2))


def test_a_clock_that_was_set_back_silences_its_sensor_until_time_catches_up():
    """Winter time on a gateway without a zone: an hour of silence, all of it counted."""
    values = [*STEADY[:12], *(at(second - 5, row=second) for second in range(12, 20))]
    played = play(values)
    assert (played.metric("late"), played.metric("duplicate")) == (4, 1)
    assert max(played.scored) == 19


def test_a_sensor_stuck_in_time_sends_duplicates():
    played = play([*STEADY[:10], *[at(9, row=row) for row in range(10, 20)]])
    assert played.metric("duplicate") == 10
    assert max(played.scored) == 9


def test_seconds_for_milliseconds_are_late_for_a_sensor_that_is_known():
    """1970: no dead letter, so no limit ends the run; only the counter tells."""
    played = play([*STEADY[:10], *IN_SECONDS], stamps_ms=STAMPS_MS)
    assert played.metric("late") == 10
    assert played.reasons == []


def test_seconds_for_milliseconds_are_dead_letters_where_readings_may_not_be_old():
    played = play([*STEADY[:10], *IN_SECONDS], stamps_ms=STAMPS_MS, max_behind_s=86_400)
    assert played.metric("late") == 0
    assert played.metric("bad_records", stage="clock") == 10
    assert "behind the record's timestamp; stream.max_behind_s" in played.reasons[0][2]


def test_a_gateway_that_sends_seconds_ends_the_run_where_readings_may_not_be_old():
    """With a limit on old readings a bad deploy is noticed, and not one reading is lost."""
    values = [*STEADY[:10], *IN_SECONDS]
    with pytest.raises(DeadLetterLimitError, match="EventTimeBehindError"):
        play(values, stamps_ms=STAMPS_MS, max_behind_s=86_400, max_dead_letters_in_row=5)


@pytest.mark.parametrize("factor", [1000, 1_000_000])
def test_micro_and_nanoseconds_are_dead_letters_that_say_so(factor):
    wrong = STEADY[0].replace(b"%d" % START_MS, b"%d" % (START_MS * factor))
    played = play([wrong])
    assert played.metric("bad_records", stage="schema") == 1
    assert "not micro- or nanoseconds" in played.reasons[0][2]


# -- gaps and missing values -----------------------------------------------------------------------


def test_a_gap_restarts_the_warm_up():
    values = [*STEADY[:12], *(at(100 + second) for second in range(12))]
    played = play(values, max_gap_s=30.0)
    assert played.metric("gaps") == 1
    assert played.metric("warming_up") == 2 * WARM_UP
    assert sorted(played.scored) == [*range(WARM_UP, 12), *range(12 + WARM_UP, 24)]
    assert play(values, max_gap_s=300.0).metric("gaps") == 0


def without(value: bytes, channel: int) -> bytes:
    """The reading with one value that is null."""
    text = value.decode()
    start = text.index(CHANNELS[channel]) + len(CHANNELS[channel]) + 2
    stop = min(text.find(mark, start) for mark in ",}" if text.find(mark, start) > 0)
    return f"{text[:start]}null{text[stop:]}".encode()


def test_a_missing_value_is_counted_and_the_reading_is_scored():
    values = [*STEADY[:15], without(STEADY[15], 1), *STEADY[16:]]
    played = play(values)
    assert played.metric("missing") == 1
    assert sorted(played.scored) == list(range(WARM_UP, 20))
    cleaned = played.scored[15][1:]
    assert None not in cleaned  # the denoised frame holds what the model expects there
    assert abs(float(cleaned[1] or 0.0) - ROWS[15, 1]) < 1.0


def test_a_channel_that_stays_away_is_an_anomaly():
    """Carrying the last value on would look like a quiet sensor: too many nulls are flagged."""
    values = [*STEADY, *(without(at(second), 1) for second in range(20, 40))]
    played = play(values)
    assert played.metric("missing") == 20
    assert played.metric("anomalies") > play([at(second) for second in range(40)]).metric(
        "anomalies"
    )
    assert (played.scored[39][0] or 0.0) >= 1.0


# -- records that cannot be read -------------------------------------------------------------------

BAD: list[tuple[str, bytes | None, str]] = [
    ("decode", b"not json", "not JSON"),
    ("decode", None, "tombstone"),
    ("decode", STEADY[0].replace(b"{", b"\xff", 1), "not JSON"),
    ("decode", STEADY[0].replace(b'"flow":', b'"flow":NaN,"x":'), "not JSON"),
    ("schema", b"[]", "must be a JSON object"),
    ("schema", STEADY[0].replace(b'"flow":', b'"flow":"1","x":'), "values.flow"),
    ("schema", STEADY[0].replace(b'"ts"', b'"time"'), "'ts' is missing"),
    ("channels", STEADY[0].replace(b"pressure", b"p"), "missing channel pressure"),
    ("size", STEADY[0] + b" " * 2000, "stream.max_record_bytes"),
]


@pytest.mark.parametrize(("stage", "value", "words"), BAD)
def test_a_record_that_cannot_be_read_is_a_dead_letter_with_its_reason(stage, value, words):
    played = play([*STEADY[:10], value, *STEADY[10:]], max_record_bytes=2000)
    assert played.metric("bad_records", stage=stage) == played.metric("dead_lettered") == 1
    ((offset, found, message),) = played.reasons
    assert (offset, found) == (10, stage)
    assert words in message
    assert list(played.scored.values()) == list(play(STEADY).scored.values())


def test_an_unknown_content_type_is_a_dead_letter():
    played = play(STEADY, content_type="text/csv")
    assert played.metric("bad_records", stage="content-type") == len(STEADY)


def test_channels_that_the_model_does_not_know_are_ignored():
    more = [value.replace(b'"flow":', b'"humidity":7,"flow":') for value in STEADY]
    assert play(more).scored == play(STEADY).scored


def test_a_value_in_another_unit_is_read_and_flagged():
    """Bar for hectopascal is a number like any other: the model tells, no policy does."""
    column = list(CHANNELS).index("pressure")
    rows = ROWS.copy()
    rows[:, column] *= 1000.0
    values = [
        *STEADY,
        *(
            bytes(encoded([("a", START_NS + second * 10**9, rows[second])])[0]["value"])
            for second in range(20, 30)
        ),
    ]
    played = play(values)
    assert played.reasons == []
    assert all(float(played.scored[offset][0] or 0.0) >= 1.0 for offset in range(20, 30))


def test_the_books_balance_whatever_comes():
    rng = np.random.default_rng(0)
    bad = [value for _, value, _ in BAD]
    values: list[bytes | None] = []
    for second in range(200):
        draw = rng.random()
        if draw < 0.1:
            values.append(bad[int(rng.integers(len(bad)))])
        values.append(at(second if draw < 0.8 else max(second - int(rng.integers(5)), 0)))
    played = play(values, max_record_bytes=2000)
    read = played.metric("records") - played.metric("dead_lettered")
    assert played.metric("readings") == read
    assert read == sum(
        played.metric(name) for name in ("scored", "warming_up", "late", "duplicate")
    )
    stages = ("decode", "schema", "channels", "size", "content-type", "clock", "scoring")
    assert played.metric("dead_lettered") == sum(
        played.metric("bad_records", stage=stage) for stage in stages
    )
