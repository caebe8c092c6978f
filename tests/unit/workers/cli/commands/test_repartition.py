"""What `vigie repartition` says of itself at the end."""

from __future__ import annotations

from workers.cli.commands.repartition import _told
from workers.stream.health import Health
from workers.stream.state.counts import Counts


def test_what_an_earlier_run_has_read_is_written_and_held_is_not_negative() -> None:
    """A run begins with what the one before held: it writes more than it reads."""
    health = Health(slot=0, counts={0: Counts(records=10, written=25)}, held={0: 4, 1: 2})

    assert _told([health])["held"] == 6


def test_of_a_partition_that_moved_the_word_of_its_last_owner_counts() -> None:
    before = Health(slot=0, held={0: 900}, next_offsets={0: 1_000})
    after = Health(slot=1, held={0: 3}, next_offsets={0: 5_000})

    assert _told([before, after])["held"] == _told([after, before])["held"] == 3
