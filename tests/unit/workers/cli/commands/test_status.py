"""`vigie status`: how a pipeline that was asked is shown."""

from __future__ import annotations

import io

from rich.console import Console

from workers.cli.commands.status import show_scaling, show_split_sensors


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


def shown(split: dict[str, object]) -> str:
    screen = io.StringIO()
    show_split_sensors(split, "unk", Console(width=1000, file=screen))
    return screen.getvalue()


def test_sensors_in_several_partitions_are_named_with_the_way_out():
    examples = {"[red]pump": [0, 1], "fan": [0, 1, 2, 3, 4, 5]}
    line = shown({"sensors": 1200, "share": 4, "examples": examples})

    assert "about 1,200 come in several partitions" in line
    assert "[red]pump in 0, 1; fan in 0, 1, 2, 3, ..." in line
    assert '[topics]\nreadings = "unk.by-sensor"\n\n[repartition]\nsource = "unk"' in line
    assert "about" not in shown({"sensors": 2, "share": 1, "examples": {}})


def test_nothing_is_said_of_whole_sensors_or_by_an_older_pipeline():
    assert shown({"sensors": 0, "share": 1, "examples": {}}) == ""
    assert shown({}) == ""
