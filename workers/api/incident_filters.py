"""Parameters of the list of incidents that take several values in one text."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import Query

from schemas.api.base import Text
from schemas.api.incidents import IncidentState
from workers.api.problems import ProblemError

__all__ = ["Labels", "States", "labels_of", "states_of"]

States = Annotated[
    str, Query(alias="state", max_length=100, description="open,acknowledged,resolved: of these.")
]
Labels = Annotated[
    list[Text], Query(alias="label", max_length=16, description="A label as name=value; repeat it.")
]


def states_of(text: str) -> tuple[str, ...]:
    """The states of the parameter.

    Raises:
        ProblemError: one is none (422).
    """
    found = tuple(one for one in text.split(",") if one)
    known = {one.value for one in IncidentState}
    if set(found) - known:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"state is one of {', '.join(sorted(known))}."
        )
    return found


def labels_of(found: Sequence[str]) -> dict[str, str]:
    """The labels of the parameter.

    Raises:
        ProblemError: one is none, or is there twice (422).
    """
    pairs = dict(one.partition("=")[::2] for one in found if "=" in one)
    if len(pairs) < len(found):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "label is name=value, each name once.")
    return pairs
