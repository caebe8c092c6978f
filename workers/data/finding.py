"""What looks wrong with readings, and the options that mend it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from workers.data.layout import Layout, make_layout

_LISTS = {"ignore", "missing", "rate"}
"""Keys that may name many."""
_MOST_OF_A_KIND, _MOST_NAMES = 3, 8
_WAYS_TO_NAME_A_SENSOR = ("sensor", "sensor_id", "sensor_from")


class Kind(StrEnum):
    """The kinds of what may look wrong; their names are keys of `vigie inspect --json`."""

    SENSOR_COLUMN = "sensor-column"
    """A channel whose few whole values tell rows of one time apart."""
    CLOCK_COLUMN = "clock-column"
    """A channel that is a part of the time: milliseconds, hours."""
    MERGED_SENSORS = "merged-sensors"
    """Files of several folders that are read as one sensor."""
    REPEATED_TIMES = "repeated-times"
    """Several rows at one time."""
    CLOCK_BACK = "clock-back"
    """An hour of local time that comes twice."""
    LEFT_OUT = "left-out"
    """Rows that cannot be used, for another reason than their times."""
    OUT_OF_ORDER = "out-of-order"
    """Rows that came after later ones."""
    EARLY_TIMES = "early-times"
    """Times before 2000."""
    FUTURE_TIMES = "future-times"
    """Times that are still to come."""
    IRREGULAR = "irregular"
    """Steps of very different lengths."""
    RATES = "rates"
    """A sensor whose steps are all gaps to a model of the others."""
    SPARSE = "sparse"
    """Channels whose values come at different times."""
    ROW_NUMBER = "row-number"
    """A channel that counts rows or time."""
    COUNTER = "counter"
    """A channel that only rises."""
    CONSTANT = "constant"
    """A channel that never changes."""
    EMPTY = "empty"
    """A channel without a value."""
    STARTS_LATE = "starts-late"
    """A channel without a value for a long first part."""
    ENDS_EARLY = "ends-early"
    """A channel without a value for a long last part."""
    SENTINEL = "sentinel"
    """A value far outside everything else that repeats."""
    HUGE = "huge"
    """Values beyond 1e15."""
    THOUSANDS = "thousands"
    """Points that are thousands marks."""
    LABEL_WORD = "label-word"
    """A word of `--label` that no row holds."""
    FEW_ROWS = "few-rows"
    """Sensors that are too short to be learned from."""
    LABEL_RANGES = "label-ranges"
    """Anomalous stretches that hold no row."""
    LABEL_COLUMN = "label-column"
    """A channel that looks like a label."""
    MOSTLY_LABELLED = "mostly-labelled"
    """A label of more than half of the rows."""
    QUALITY_WORD = "quality-word"
    """A word of `--quality` that no row holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that looks wrong.

    Attributes:
        text: what it is, a sentence without a full stop.
        keys: of a layout, with the values that mend it; none where there is nothing to mend.
        certain: whether `keys` may be taken without asking.
        channel: which it concerns, "" for all.
    """

    kind: Kind
    text: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    certain: bool = False
    channel: str = ""

    @property
    def option(self) -> str:
        """The options of the command line that mend it, ready to paste."""
        return as_options(self.keys)


def as_options(keys: Mapping[str, Any]) -> str:
    """Keys and values of a layout as options of the command line."""
    said = []
    for key, value in keys.items():
        name = "--channel" if key == "channels" else f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            said.append(name if value else name.replace("--", "--no-", 1))
        elif isinstance(value, Mapping):
            said += [
                f"{name} {shlex.quote(one if one == column else f'{one}={column}')}"
                for one, column in value.items()
            ]
        else:
            many = value if isinstance(value, tuple | list) else (value,)
            said += [f"{name} {shlex.quote(_typed(str(one)))}" for one in many]
    return " ".join(said)


def _typed(value: str) -> str:
    """A value as one types it: a mark that is not seen by its name."""
    return {"\t": r"\t", " ": "space", "\u00a0": "space", "\u202f": "space"}.get(value, value)


def with_keys(layout: Layout, keys: Mapping[str, Any]) -> Layout:
    """A layout with further keys: lists are made longer, all else is replaced.

    Raises:
        ValueError: they contradict each other.
    """
    told = {name: getattr(layout, name) for name in layout.model_fields_set}
    if any(key in keys for key in _WAYS_TO_NAME_A_SENSOR):
        told = {name: value for name, value in told.items() if name not in _WAYS_TO_NAME_A_SENSOR}
    for key, value in keys.items():
        before = told.get(key)
        if isinstance(value, tuple | list) and before:
            told[key] = tuple(dict.fromkeys((*before, *value)))
        else:
            told[key] = value
    return make_layout(told)


def joined(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings of several files: what is of the same kind and channel once."""
    return tuple({(one.kind, one.channel, one.option): one for one in findings}.values())


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """The same, with what many channels have in common said once."""
    by_kind: dict[Kind, list[Finding]] = {}
    for one in findings:
        by_kind.setdefault(one.kind, []).append(one)
    return [one for of_kind in by_kind.values() for one in _as_one(of_kind)]


def _as_one(findings: list[Finding]) -> list[Finding]:
    if len(findings) <= _MOST_OF_A_KIND:
        return findings
    names = [repr(one.channel) for one in findings[1:]]
    more = len(names) - _MOST_NAMES
    lists: dict[str, list[str]] = {}
    for one in findings:
        for key, value in one.keys.items():
            lists.setdefault(key, []).extend(value if isinstance(value, tuple) else (value,))
    listed = ", ".join(names[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
    together = Finding(
        kind=findings[0].kind,
        text=f"{findings[0].text}; likewise {len(names):,} others: {listed}",
        keys={key: tuple(dict.fromkeys(values)) for key, values in lists.items()},
        certain=all(one.certain for one in findings),
    )
    return [together] if lists.keys() <= _LISTS else findings
