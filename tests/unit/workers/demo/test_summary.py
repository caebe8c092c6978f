"""The end of the demo, for people and for scripts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console

from tests.support.demo_records import PUMPS, make_fault, make_incident, make_ledger
from workers.demo.accounts import Accounts, Check
from workers.demo.ledger import Happened
from workers.demo.summary import Spoken, Summary, as_dict, show
from workers.demo.told import Told
from workers.demo.verdict import judge
from workers.demo.webhooks import reconcile


def make_summary(*incidents: Any, **changes: Any) -> Summary:
    ledger = make_ledger()
    for event in incidents or (make_incident("pump-1", 22, 30), make_incident("pump-2", 50, 60)):
        ledger.add_incident(event)
    faults = [make_fault(20, 30), make_fault(70, 80)]
    accounts = Accounts(
        sent=203, scored=192, warming_up=8, dead_lettered=1, duplicate=1, late=1, anomalies=9,
        incidents=2, repeats=0, checks=(Check("one = one", 1, 1),),
    )  # fmt: skip
    values: dict[str, Any] = {
        "seconds": 90.0,
        "accounts": accounts,
        "verdict": judge(ledger, faults, rows=100, warm_up=5, rate=0.01),
        "spoken": Spoken(faults=1, false_alarms=1, heeded=2),
        "told": Told(page=None, webhooks=None),
        "machines": PUMPS,
        "interval_s": 0.02,
        "gain_db": {"flow": 8.0, "motor_temperature": float("nan")},
        "latency_ms": {"p50": 25.0, "p99": None},
        "model": {"name": "m", "version": "1", "budget_is_certified": True},
        "picture": Path("demo/picture.png"),
        "picture_note": "",
        "folder": Path("demo"),
    }
    return Summary(**values | changes)


def shown(summary: Summary, *, width: int = 100) -> str:
    console = Console(width=width, file=None)
    with console.capture() as capture:
        show(summary, console)
    return " ".join(capture.get().split()) if width > 80 else capture.get()


def test_the_summary_puts_what_the_budget_allows_beside_what_was_seen():
    text = shown(make_summary())

    for words in (
        "Recall 50%: an incident opened for 1 of 2 faults",
        "Precision 50%: 1 of 2 incidents touch a fault",
        "Median delay 2 readings, 2 s of the plant's time",
        "asked for at most 1.64, saw 1, in 0.0 pump-hours without a fault",
        "1 per pump and day",
        "long enough to certify that",
        "called 1 of them faults and 1 false alarms",
        "heeded 2 of these verdicts",
        "9 of them flagged, in 2 incidents",
        "Every record is accounted for",
    ):
        assert words in text


def test_a_budget_that_no_history_speaks_for_is_said_to_be_one():
    model = {"name": "m", "version": "1", "budget_is_certified": False}

    assert "too short to certify that" in shown(make_summary(model=model))


def test_what_was_held_back_and_drifts_are_told():
    said = {"reason": "alike", "wish": "0" * 32, "incident": "1" * 32}
    text = shown(
        make_summary(
            make_incident("pump-1", 22, suppressed=said),
            make_incident("pump-1", 50, kind="drift", seen_by="drift"),
        )
    )

    assert "1 more held back" in text
    assert "1 more of kind drift" in text
    assert "Median delay" not in text


def test_what_does_not_add_up_is_said_with_both_numbers():
    wrong = make_summary().accounts
    wrong = replace(wrong, checks=(Check("sent = read", 5, 4),), note="restarted", repeats=3)

    text = shown(make_summary(accounts=wrong))

    assert "Does not add up: sent = read: 5 and 4" in text
    assert "restarted" in text
    assert "3 outputs came more than once" in text


def test_on_a_narrow_terminal_nothing_is_cut():
    lines = shown(make_summary(), width=80).splitlines()

    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_without_a_picture_the_reason_stands_there():
    assert "no matplotlib" in shown(make_summary(picture=None, picture_note="no matplotlib"))


def test_for_scripts_all_of_it_is_json_without_nan():
    document = json.loads(json.dumps(as_dict(make_summary()), allow_nan=False))

    detection = document["detection"]
    assert (detection["faults"], detection["found"], detection["incidents"]) == (2, 1, 2)
    assert detection["budget"] == {
        "words": "1 per pump and day of the plant's time",
        "certified": True,
        "allowed_false_incidents": 1.64,
        "seen_false_incidents": 1,
    }
    assert [one["delay_readings"] for one in detection["by_fault"]] == [2, None]
    assert [one["fault"] for one in detection["by_incident"]] == ["level shift of flow", None]
    assert detection["operator"] == {"faults": 1, "false_alarms": 1, "heeded": 2}


def test_what_nobody_was_told_of_does_not_balance_though_every_record_is_accounted_for():
    missing = reconcile({"a": Happened("incident.opened", UUID(int=1), 0)}, [], {}, held_back=())
    summary = make_summary(told=Told(page="http://127.0.0.1:1", webhooks=missing))

    assert summary.accounts.balanced
    assert not summary.balanced
    document = as_dict(summary)
    assert (document["balanced"], document["page"]) == (False, "http://127.0.0.1:1")
    assert document["webhooks"]["due"] == 1
    assert "Every record is accounted for" in (text := shown(summary))
    assert "Does not add up" in text
