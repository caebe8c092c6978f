"""docs/input-policies.md names tests, settings and metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.settings import Settings
from schemas.wire.errors import Stage
from workers.stream.state.counts import NUMBERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "input-policies.md").read_text(encoding="utf-8")


def test_every_test_that_holds_a_policy_exists():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    defined = set(re.findall(r"^ *def (test_\w+)", "\n".join(sources), re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 30
    assert named <= defined, sorted(named - defined)


def test_every_setting_exists():
    stream = type(Settings().stream).model_fields
    named = set(re.findall(r"\bstream\.(\w+)", PAGE))
    assert named
    assert named <= set(stream), sorted(named - set(stream))


def test_every_metric_exists():
    known = {f"vigie_{name}_total" for name in NUMBERS} | {"vigie_bad_records_total"}
    known |= {"vigie_split_sensors"}
    named = set(re.findall(r"\bvigie_\w+", PAGE))
    assert named <= known, sorted(named - known)
    stages = set(re.findall(r'stage="([\w-]+)"', PAGE)) | {"schema", "content-type"}
    assert stages == set(Stage)


def test_every_count_is_explained():
    """Of what a reading or a record can become."""
    for name in {*NUMBERS} - {"anomalies", "restored", "clamped"}:
        assert f"vigie_{name}_total" in PAGE, name


def test_the_defaults_are_those_of_the_settings():
    stream = Settings().stream
    for words in (
        f"`stream.dead_letter_window` ({stream.dead_letter_window:,})",
        f"`stream.max_dead_letters_in_row` ({stream.max_dead_letters_in_row:,})",
        f"within {stream.max_dead_letters_in_row + 1:,} records",
    ):
        assert words in " ".join(PAGE.split())
    assert (stream.max_dead_letter_share, stream.max_ahead_s) == (0.5, 86_400)
