"""When the worker stops rather than drain a topic into dead letters."""

from __future__ import annotations

import pickle
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.columns import Failure
from schemas.settings import StreamSettings
from schemas.wire.errors import Stage
from tests.support.fakes import make_stream
from tests.support.models import encoded, reading_records
from workers.errors import DeadLetterLimitError, RunEndedError
from workers.stream.dead_letter_limit import DeadLetterLimit


def make_limit(*, share: float = 0.0, window: int = 10, in_row: int = 0) -> DeadLetterLimit:
    return DeadLetterLimit(
        7,
        StreamSettings(
            max_dead_letter_share=share, dead_letter_window=window, max_dead_letters_in_row=in_row
        ),
    )


def failure(position: int, exception: str = "MalformedRecordError") -> Failure:
    return Failure(position=position, stage=Stage.DECODE, exception=exception, message="not JSON")


def feed(limit: DeadLetterLimit, records: str, *, start: int = 0, live_from: int = 0) -> None:
    """Records as text: "." is good, "x" is bad."""
    offsets = np.arange(start, start + len(records), dtype=np.int64)
    failures = [failure(position) for position, kind in enumerate(records) if kind == "x"]
    limit.check(offsets, failures, live_from=live_from)


def test_as_many_in_a_row_as_allowed_pass_and_one_more_does_not():
    feed(make_limit(in_row=3), "xxx.xxx.")
    with pytest.raises(DeadLetterLimitError, match=r"4 records in a row.*offsets 4 to 7"):
        feed(make_limit(in_row=3), "xxx.xxxx.")


def test_a_row_goes_on_in_the_next_batch_and_ends_with_a_good_record():
    limit = make_limit(in_row=3)
    feed(limit, "..xx")
    feed(limit, ".x", start=4)
    feed(limit, "xx", start=6)
    with pytest.raises(DeadLetterLimitError, match="offsets 5 to 8"):
        feed(limit, "x", start=8)


def test_the_first_bad_records_of_a_start_are_no_share():
    """Nine of nine are 100 %, of a window that is not full yet."""
    feed(make_limit(share=0.5, window=10), "xxxxxxxxx")


def test_the_share_is_judged_as_soon_as_the_window_is_full():
    """Even when the record that fills it is a good one."""
    limit = make_limit(share=0.5, window=10)
    feed(limit, "xxxxxx...")
    with pytest.raises(DeadLetterLimitError, match=r"6 of 10 records .*offsets 0 to 5"):
        feed(limit, ".", start=9)


def test_the_share_itself_is_allowed_and_slides():
    limit = make_limit(share=0.5, window=10)
    feed(limit, "x." * 50)
    feed(limit, "....xxxxx", start=100)
    with pytest.raises(DeadLetterLimitError, match="6 of 10"):
        feed(limit, "x", start=109)


def test_a_bad_stretch_inside_one_large_batch_is_found():
    with pytest.raises(DeadLetterLimitError, match="offsets 100 to 105"):
        feed(make_limit(share=0.5, window=10), "." * 100 + "xxxxxx" + "." * 1000)


def test_a_few_broken_sensors_run_for_ever():
    """A fifth of the records is bad, with the defaults: a million of them trip nothing."""
    limit = DeadLetterLimit(7, StreamSettings())
    rng = np.random.default_rng(0)
    for start in range(0, 1_000_000, 5000):
        bad = np.flatnonzero(rng.random(5000) < 0.2)
        limit.check(np.arange(start, start + 5000), [failure(int(p)) for p in bad])


def test_a_bad_deploy_ends_the_run_soon_with_the_defaults():
    limit = DeadLetterLimit(7, StreamSettings())
    for start in range(0, 100_000, 1000):
        feed(limit, "." * 1000, start=start)
    for start in range(100_000, 105_000, 1000):
        feed(limit, "x" * 1000, start=start)
    with pytest.raises(DeadLetterLimitError, match="offsets 100000 to 105000"):
        feed(limit, "x", start=105_000)


def test_a_replay_was_judged_before_its_commit():
    """A frozen bad stretch that somebody let pass trips no later start."""
    limit = make_limit(share=0.5, in_row=3, window=10)
    feed(limit, "x" * 50 + "x.", live_from=50)
    feed(limit, "xx.", start=52, live_from=52)


def test_records_met_again_after_a_rewind_count_once():
    limit = make_limit(in_row=3)
    for _ in range(5):
        feed(limit, "xx")
    feed(limit, "xxx", start=0)
    with pytest.raises(DeadLetterLimitError, match="offsets 0 to 3"):
        feed(limit, "xxxx")


def test_what_was_counted_as_good_and_was_not_is_forgotten():
    limit = make_limit(in_row=3)
    feed(limit, "xxx")
    limit.forget()
    feed(limit, "xxx", start=500)


def test_it_can_be_turned_off():
    feed(make_limit(), "x" * 10_000)
    feed(make_limit(share=1.0), "x" * 10_000)


def test_offsets_with_holes_count_as_records():
    """Transaction markers and compaction leave holes; they are no good records."""
    limit = make_limit(in_row=3)
    with pytest.raises(DeadLetterLimitError, match="offsets 10 to 40"):
        limit.check(np.array([10, 20, 30, 40]), [failure(p) for p in range(4)])


def test_the_message_says_where_why_and_what_to_do():
    limit = make_limit(in_row=3)
    reasons = ["ChannelMismatchError", "MalformedRecordError", "ChannelMismatchError"]
    with pytest.raises(RunEndedError) as raised:
        limit.check(
            np.arange(40, 44),
            [failure(p, reason) for p, reason in enumerate([*reasons, "ChannelMismatchError"])],
        )
    told = str(raised.value)
    for words in (
        "partition 7",
        "offsets 40 to 43",
        "max_dead_letters_in_row is 3",
        "(3 of 4), stage decode, ChannelMismatchError: not JSON (offset 40)",
        "stream.content_type",
        "stream.channels",
        "raise the limit",
    ):
        assert words in told


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(DeadLetterLimitError("partition 1: why")))
    assert isinstance(error, RunEndedError)
    assert str(error) == "partition 1: why"


def test_memory_is_bounded_by_the_window():
    limit = make_limit(share=1.0, window=10)
    for start in range(0, 5000, 50):
        feed(limit, "x" * 50, start=start)
    assert len(limit._bad) == len(limit._ranks) == 10


def reference(records: Iterable[bool], *, share: float, window: int, in_row: int) -> int | None:
    """The offset at which one that looks at each record by itself would stop."""
    seen: list[bool] = []
    row = 0
    for offset, bad in enumerate(records):
        seen.append(bad)
        row = row + 1 if bad else 0
        if in_row and row > in_row:
            return offset
        if share and len(seen) >= window and sum(seen[-window:]) > share * window:
            return offset
    return None


@given(
    records=st.lists(st.booleans(), max_size=120),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    share=st.sampled_from([0.0, 0.2, 0.5, 0.9]),
    window=st.integers(10, 30),
    in_row=st.sampled_from([0, 1, 3, 12, 40]),
)
def test_the_verdict_is_that_of_a_plain_count_wherever_polls_cut_the_log(
    records, cuts, share, window, in_row
):
    limit = make_limit(share=share, window=window, in_row=in_row)
    expected = reference(records, share=share, window=window, in_row=in_row)
    start, turn = 0, 0
    while start < len(records):
        stop = start + cuts[turn % len(cuts)]
        part = "".join("x" if bad else "." for bad in records[start:stop])
        if expected is not None and start <= expected < stop:
            with pytest.raises(DeadLetterLimitError):
                feed(limit, part, start=start)
            return
        feed(limit, part, start=start)
        start, turn = stop, turn + 1
    assert expected is None


# -- in the loop -----------------------------------------------------------------------------------

GOOD = [record["value"] for record in encoded(reading_records(["a", "b"], 20))]


def loop_settings(in_row: int) -> dict[str, float]:
    return {"max_poll_records": 10, "max_dead_letters_in_row": in_row, "max_dead_letter_share": 0}


def test_the_loop_ends_and_commits_nothing_of_what_it_refused():
    """Each start meets the refused records again, until somebody raises the limit for them."""
    values = [*GOOD, *[b"bad"] * 60, *GOOD]
    stream = make_stream(values, stream=loop_settings(12))
    with pytest.raises(DeadLetterLimitError, match=r"partition 0: 13 records in a row.*40 to 52"):
        stream.run_to_the_end()
    committed = stream.source.committed_position
    assert committed is not None
    assert 40 < committed.next_offset <= 52
    again = make_stream(values, stream=loop_settings(12))
    again.source.committed_position = committed
    first = committed.next_offset
    with pytest.raises(DeadLetterLimitError, match=f"offsets {first} to {first + 12}"):
        again.run_to_the_end()
    past = make_stream(values, stream=loop_settings(0))
    past.source.committed_position = committed
    past.run_to_the_end()
    assert past.loop._counts[0].dead_lettered == 100 - first


def test_a_refused_commit_counts_no_record_twice():
    """The rewinds go back into the bad stretch, where no good record ends the row."""
    values = [*[b"bad"] * 30, *GOOD]
    stream = make_stream(values, stream=loop_settings(30))
    stream.sink.refusals = {1, 2, 3}
    stream.run_to_the_end()
    assert stream.loop.health.rewinds == 3
    assert stream.loop._counts[0].dead_lettered == 30


def test_a_partition_that_was_away_begins_anew_in_the_loop():
    """While another worker had it, good records may have passed."""
    values = [*GOOD[:10], *[b"bad"] * 14, *GOOD[10:]]
    stream = make_stream(values, stream=loop_settings(13))
    while (stream.source.position or 0) <= 20:
        stream.turn()
    committed = stream.source.committed_position
    assert committed is not None
    assert committed.next_offset > 10
    stream.source.take_away()
    stream.run_to_the_end()
    assert stream.loop._counts[0].records == len(values)
