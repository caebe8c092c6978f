"""Calls that fail: lost ones, ones too large, and readings that no scorer survives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detector.scoring import Detector, Scores
from schemas.wire.dead_letter import read_dead_letter
from schemas.wire.errors import Stage
from tests.support.fakes import FakeStream, make_stream, places
from tests.support.models import early_detector, encoded, reading_records, small_detector
from workers.errors import DeadLetterLimitError, TransactionAbortedError
from workers.stream.scoring.backend import LocalScoring, ScorerLostError, ScoringFuture, Work
from workers.stream.scoring.call import slice_scores

READINGS = reading_records(["a", "b"], 30)
VALUES = [record["value"] for record in encoded(READINGS)]
WARM_UP = 7
ALL = set(range(2 * WARM_UP, len(VALUES)))


class Spoiled:
    """Scores, unless `spoil` raises or changes the answer."""

    def __init__(
        self, spoil: Callable[[Any, int, Scores], Scores], detector: Detector | None = None
    ) -> None:
        self._inner = LocalScoring(detector or small_detector())
        self._spoil = spoil
        self.calls: list[int] = []

    def submit(self, work: Work) -> ScoringFuture:
        self.calls.append(len(work.ends))
        future = self._inner.submit(work)
        scores, number = future.scores, len(self.calls)
        future.scores = lambda: self._spoil(work.rows, number, scores())  # type: ignore[method-assign]
        return future


def run(spoil: Callable[[Any, int, Scores], Scores], **stream: Any) -> tuple[FakeStream, Spoiled]:
    scoring = Spoiled(spoil)
    made = make_stream(VALUES, scoring=scoring, stream={"max_poll_records": 20, **stream})
    made.run_to_the_end()
    return made, scoring


def undisturbed() -> dict[int, tuple[float | None, ...]]:
    stream = make_stream(VALUES)
    stream.run_to_the_end()
    return places(stream.sink, "vigie.denoised")


def test_a_lost_call_is_sent_again_without_going_back() -> None:
    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        if number % 2:
            raise ScorerLostError("gone")
        return scores

    stream, _ = run(spoil)
    assert places(stream.sink, "vigie.denoised") == undisturbed()
    assert stream.loop.health.rewinds == 0


def test_a_call_too_large_for_the_device_goes_through_in_pieces() -> None:
    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        if len(scores.score) > 3:
            raise MemoryError("out of memory")
        return scores

    stream, scoring = run(spoil)
    assert places(stream.sink, "vigie.denoised") == undisturbed()
    assert 20 in scoring.calls


def test_an_answer_of_the_wrong_size_is_no_answer() -> None:
    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        return slice_scores(scores, 1, len(scores.score)) if number % 3 == 1 else scores

    stream, _ = run(spoil)
    assert places(stream.sink, "vigie.denoised") == undisturbed()


@pytest.mark.parametrize("offsets", [{30}, {30, 31, 44}])
def test_a_reading_that_no_scorer_survives_is_a_dead_letter(offsets: set[int]) -> None:
    wicked = [READINGS[offset][2][0] for offset in offsets]

    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        if np.isin(rows[:, 0], wicked).any():
            raise ScorerLostError("died")
        return scores

    stream, _ = run(spoil)
    letters = [
        read_dead_letter(headers)
        for topic, _, headers in stream.sink.sent
        if topic == "vigie.dead-letters"
    ]
    assert {letter.offset for letter in letters} == offsets
    assert {letter.stage for letter in letters} == {Stage.SCORING}
    assert set(places(stream.sink, "vigie.denoised")) == ALL - offsets


def died_of(wicked: list[float]) -> Callable[[Any, int, Scores], Scores]:
    """Spoil every call that holds one of these values."""

    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        if np.isin(rows[:, 0], wicked).any():
            raise ScorerLostError("died")
        return scores

    return spoil


def letters_of(stream: FakeStream) -> list[tuple[int, str]]:
    letters = [
        read_dead_letter(headers)
        for topic, _, headers in stream.sink.sent
        if topic == "vigie.dead-letters"
    ]
    return [(letter.offset, letter.stage) for letter in letters]


@pytest.mark.parametrize("polled", [1, 5, 20])
@pytest.mark.parametrize("offsets", [{0}, {3}, {5, 8}, {4, 6, 7, 30}])
def test_poison_among_a_sensors_first_readings_is_found_by_a_detector_that_scores_early(
    offsets: set[int], polled: int
) -> None:
    """Some of them are probes, some the newest readings of short windows."""
    detector = early_detector()
    without = [reading for at, reading in enumerate(READINGS) if at not in offsets]
    healthy = make_stream([record["value"] for record in encoded(without)], detector=detector)
    healthy.run_to_the_end()
    wanted = places(healthy.sink, "vigie.denoised")
    kept = [at for at in range(len(VALUES)) if at not in offsets]

    spoiled = Spoiled(died_of([READINGS[at][2][0] for at in offsets]), detector)
    stream = make_stream(
        VALUES, scoring=spoiled, detector=detector, stream={"max_poll_records": polled}
    )
    stream.run_to_the_end()

    assert set(letters_of(stream)) == {(at, Stage.SCORING) for at in offsets}
    scored = places(stream.sink, "vigie.denoised")
    assert scored == {kept[offset]: row for offset, row in wanted.items()}


@pytest.mark.parametrize("polled", [1, 5, 20])
@pytest.mark.parametrize("offsets", [{0}, {6}, {13}, {4, 6, 7, 30}])
def test_poison_in_a_warm_up_is_the_only_dead_letter(offsets: set[int], polled: int) -> None:
    """Though the windows that it would spoil end with readings that came later."""
    without = [reading for at, reading in enumerate(READINGS) if at not in offsets]
    healthy = make_stream([record["value"] for record in encoded(without)])
    healthy.run_to_the_end()
    wanted = list(places(healthy.sink, "vigie.denoised").items())
    kept = [at for at in range(len(VALUES)) if at not in offsets]

    stream, _ = run(died_of([READINGS[at][2][0] for at in offsets]), max_poll_records=polled)

    assert set(letters_of(stream)) == {(at, Stage.SCORING) for at in offsets}
    scored = places(stream.sink, "vigie.denoised")
    assert scored == {kept[offset]: row for offset, row in wanted}


def test_readings_of_a_warm_up_that_only_fail_together_are_no_poison() -> None:
    """Probes mix sensors: a window that nobody asked for convicts no reading."""
    pair = [READINGS[0][2][0], READINGS[1][2][0]]  # of two sensors, so in no window of one

    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        if np.isin(pair, rows[:, 0]).all():
            raise ScorerLostError("died")
        return scores

    stream, _ = run(spoil)
    assert letters_of(stream) == []
    assert places(stream.sink, "vigie.denoised") == undisturbed()


def test_where_only_the_whole_window_fails_its_newest_reading_is_convicted() -> None:
    """Two readings that no scorer survives in one window, and well by themselves."""
    pair = [READINGS[28][2][0], READINGS[30][2][0]]  # of one sensor

    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        if np.isin(pair, rows[:, 0]).all():
            raise ScorerLostError("died")
        return scores

    stream, _ = run(spoil)
    assert letters_of(stream) == [(30, Stage.SCORING)]


def test_too_many_readings_that_no_scorer_survives_end_the_run() -> None:
    """A bad model may score the harmless window and nothing else: that is no poison."""
    wicked = [reading[2][0] for reading in READINGS[30:33]]

    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        if np.isin(rows[:, 0], wicked).any():
            raise ValueError("broken")
        return scores

    with pytest.raises(DeadLetterLimitError, match=r"3 records in a row.*stage scoring"):
        run(spoil, max_dead_letters_in_row=2)


def test_a_scorer_that_fails_on_everything_convicts_no_record() -> None:
    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        raise ValueError("broken")

    with pytest.raises(TransactionAbortedError, match="harmless window"):
        run(spoil)


def test_a_scorer_that_is_broken_for_a_while_convicts_no_record() -> None:
    def spoil(rows: Any, number: int, scores: Scores) -> Scores:
        if 2 < number < 40:
            raise ValueError("broken")
        return scores

    stream, _ = run(spoil)
    assert places(stream.sink, "vigie.denoised") == undisturbed()
    assert not [sent for sent in stream.sink.sent if sent[0] == "vigie.dead-letters"]
