"""The table at the end of a run."""

from __future__ import annotations

import pytest

from schemas.wire.errors import Stage
from schemas.wire.incident import EndReason
from workers.cli.views.report import counts_table
from workers.stream.health import Health
from workers.stream.state.counts import Counts


def test_the_table_counts_incidents_by_the_reason_of_their_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = Counts(
        records=1_234,
        incidents_opened=3,
        bad={Stage.DECODE: 2},
        resolved={EndReason.RECOVERED: 2, EndReason.NEW_NORMAL: 1},
    )
    counts_table([Health(slot=0, counts={0: counts})])
    words = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    text = "\n".join(words)
    assert "records │ 1,234" in text
    assert "bad, decode │ 2" in text
    assert "resolved, new normal │ 1" in text
    assert "resolved, recovered │ 2" in text


def test_a_run_without_incidents_has_a_table_too(capsys: pytest.CaptureFixture[str]) -> None:
    counts_table([])
    assert "resolved" not in capsys.readouterr().out
