"""docs/scaling.md shows what `vigie size` answers."""

from __future__ import annotations

import re

from tests.docs.scaling import PAGE, current
from tests.docs.walkthrough import steps


def test_the_answers_of_the_page_are_what_the_command_says():
    page = PAGE.read_text(encoding="utf-8")
    shown = [step for step in steps(page) if step.output is not None]
    assert len(shown) >= 3

    assert current(page) == page, "run `python -m tests.docs.scaling`"


def test_the_page_answers_for_a_thousand_a_hundred_thousand_and_ten_million_sensors():
    asked = re.findall(r"vigie size --sensors (\d+)", PAGE.read_text(encoding="utf-8"))

    assert {"1000", "100000", "10000000"} <= set(asked)
