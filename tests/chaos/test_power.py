"""What a power cut takes of a broker's files: the tails that were not flushed, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.power import flushed_offsets, lose_power
from tests.chaos.replicas import alike
from tests.chaos.segments import _BATCH, batches

BATCH_BYTES = _BATCH.size + 10
FLUSHED = 12
"""Records 0 to 11 are on the disk: six batches of two, which end within the second segment."""


def batch(first: int) -> bytes:
    numbers = (first, BATCH_BYTES - 12, 0, 2, 0, 0, 1, 0, 0, -1, -1, -1, 2)
    return _BATCH.pack(*numbers) + b"\0" * 10


def write_log(log: Path) -> Path:
    """A partition of three segments of four batches each, and the controllers' log."""
    partition = log / "a-0"
    for name in (partition, log / "__cluster_metadata-0"):
        name.mkdir(parents=True)
        for base in (0, 8, 16):
            content = b"".join(batch(first) for first in range(base, base + 8, 2))
            (name / f"{base:020}.log").write_bytes(content)
            (name / f"{base:020}.index").touch()
    (log / "recovery-point-offset-checkpoint").write_text(f"0\n1\na 0 {FLUSHED}\n")
    return partition


def offsets(partition: Path) -> list[int]:
    segments = sorted(partition.glob("*.log"))
    return [one.first for segment in segments for one in batches(segment.read_bytes())]


@pytest.mark.parametrize("seed", range(25))
def test_what_was_flushed_stays_and_the_rest_ends_somewhere(tmp_path, seed):
    partition = write_log(tmp_path)

    gone = lose_power(tmp_path, random.Random(seed))

    left = offsets(partition)
    assert left == list(range(0, 2 * len(left), 2))
    assert len(left) >= FLUSHED / 2
    size = sum(file.stat().st_size for file in partition.glob("*.log"))
    assert size + gone == 12 * BATCH_BYTES
    indexes, segments = (
        {file.stem for file in partition.glob(f"*.{kind}")} for kind in ("index", "log")
    )
    assert indexes == segments
    assert offsets(tmp_path / "__cluster_metadata-0") == list(range(0, 24, 2))


def test_sooner_or_later_all_of_it_goes_none_of_it_and_half_a_batch(tmp_path):
    gone = set()
    for seed in range(40):
        log = tmp_path / str(seed)
        write_log(log)
        gone.add(lose_power(log, random.Random(seed)))

    assert {0, 6 * BATCH_BYTES} <= gone
    assert any(count % BATCH_BYTES for count in gone)


def test_without_a_note_nothing_was_flushed(tmp_path):
    assert flushed_offsets(tmp_path) == {}


def test_copies_that_differ_by_a_byte_or_are_missing_are_found(tmp_path):
    logs = [tmp_path / name for name in ("one", "two")]
    for log in logs:
        write_log(log)
    assert alike(logs, ["a"], within_s=0) == []

    segment = logs[1] / "a-0" / f"{16:020}.log"
    segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    (logs[1] / "a-1").mkdir()

    (violation,) = alike(logs, ["a"], within_s=0)
    assert violation.examples == ("a-0", "a-1")


def test_segments_that_begin_elsewhere_are_no_difference(tmp_path):
    logs = [tmp_path / name for name in ("one", "two")]
    for log in logs:
        write_log(log)
    partition = logs[1] / "a-0"
    last, before = partition / f"{16:020}.log", partition / f"{8:020}.log"
    before.write_bytes(before.read_bytes() + last.read_bytes())
    last.unlink()

    assert alike(logs, ["a"], within_s=0) == []
