"""`vigie status`: how a pipeline that was asked is shown."""

from __future__ import annotations

import io

from rich.console import Console

from workers.cli.commands.status import show_scaling


def test_the_status_shows_who_decides_on_the_workers_and_the_last_change():
    screen = io.StringIO()
    console = Console(width=120, file=screen)
    show_scaling(
        {
            "ingest": {"mode": "auto", "target": 3, "actual": 2, "least": 1, "most": 4},
            "scorers": {"mode": "fixed", "target": 0, "actual": 0, "least": 0, "most": 0},
            "replaced": [{"kind": "ingest", "reason": "silent", "count": 2}],
            "last_decision": {
                "at": "2026-11-22T10:00:00+00:00",
                "text": "lag 120,000 and rising, workers 97 % busy: 2 -> 3 ingest",
            },
        },
        console,
    )

    shown = screen.getvalue()
    assert "Ingest: 2 of 3 at work, following the load, 1 to 4" in shown
    assert "lag 120,000 and rising, workers 97 % busy: 2 -> 3 ingest" in shown
    assert "Replaced: 2 ingest silent" in shown
    assert "Scorers" not in shown
