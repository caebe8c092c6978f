"""The alarm budget as people write it."""

from __future__ import annotations

import pytest
import typer

from workers.cli.budget import parse_budget

DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("text", "false_alarms", "per_s"),
    [
        ("1 per week", 1.0, 7 * DAY_S),
        ("2 per 3 days", 2.0, 3 * DAY_S),
        ("0.5/day", 0.5, DAY_S),
        (" 3 a month ", 3.0, 30.4375 * DAY_S),
        ("1 an hour", 1.0, 3_600.0),
        ("10 in 2 Weeks", 10.0, 14 * DAY_S),
    ],
)
def test_a_budget_reads_as_it_is_said(text, false_alarms, per_s):
    budget = parse_budget(text)

    assert (budget.false_alarms, budget.per_s) == (false_alarms, per_s)


@pytest.mark.parametrize(
    "text",
    ["", "week", "1 per fortnight", "one per week", "0 per week", "1 per 0 days", "-1 a day"],
)
def test_what_is_no_budget_is_refused_with_the_form_that_is(text):
    with pytest.raises(typer.BadParameter, match=r"per week|greater than zero"):
        parse_budget(text)
