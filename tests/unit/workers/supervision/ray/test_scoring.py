"""What can be said of scoring in actors without any actor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from workers.supervision.ray.scoring import PlacedScorer, RayScoring


@dataclass
class Line:
    """A scorer that is back at the third look; notes whether somebody is said to wait."""

    scoring: RayScoring
    looks: list[bool] = field(default_factory=list)

    def is_alive(self) -> bool:
        self.looks.append(self.scoring.is_waiting)
        if len(self.looks) > 3:
            raise RuntimeError("one look too many")
        return len(self.looks) == 3


def test_who_waits_for_a_scorer_says_so() -> None:
    scoring: Any = RayScoring([PlacedScorer(object(), "here")], node="here")
    line = Line(scoring)
    scoring._lines = [line]

    scoring.wait(10.0)

    assert line.looks == [True] * 3
    assert not scoring.is_waiting
    with pytest.raises(RuntimeError, match="too many"):
        scoring.wait(10.0)
    assert not scoring.is_waiting, "whatever ends the wait"
