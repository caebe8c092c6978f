"""What looks wrong with labels: one that is read as a channel, or that marks most rows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from workers.data.file.rows import FileRows
from workers.data.finding import Finding, Kind
from workers.data.layout import Layout

_NAMED = re.compile(
    r"label|anomal|attack|(?<!de)fault|ground_?truth|change.?point|is_?(normal|bad)|^(class|target)$",
    re.IGNORECASE,
)
_NO_LABEL = re.compile(r"change.?point|normal", re.IGNORECASE)
"""Of those, what marks no anomalous rows where it is 1."""
_TWO_VALUES = ({0.0, 1.0}, {-1.0, 1.0})
_MOST = 0.5


def label_findings(files: Sequence[FileRows], layout: Layout) -> Iterator[Finding]:
    """Channels that look like labels, and labels of more than half of the rows."""
    if not layout.channels and layout.long is None:
        yield from _channels(files, layout)
    yield from _most_rows(files, layout)


def _channels(files: Sequence[FileRows], layout: Layout) -> Iterator[Finding]:
    has_label = layout.label_ranges is not None or any(one.columns.label for one in files)
    for channel, name in files[0].columns.channels.items():
        if _NAMED.search(name) is None or _values(files, channel) not in _TWO_VALUES:
            continue
        ignored = has_label or _NO_LABEL.search(name) is not None
        keys: Mapping[str, Any] = {"ignore": (name,)} if ignored else {"label": name}
        yield Finding(
            kind=Kind.LABEL_COLUMN,
            text=f"{name!r} is called as a label would be and has two values: as a channel it is "
            "learned from"
            + ("" if ignored else f". If it is no label either, leave it out: --ignore {name}"),
            keys=keys,
            channel=channel,
        )


def _values(files: Sequence[FileRows], channel: str) -> set[float]:
    found = set[float]()
    for one in files:
        if channel in one.channels:
            column = one.values[:, one.channels.index(channel)]
            found |= set(np.unique(column[np.isfinite(column)])[:3].tolist())
    return found


def _most_rows(files: Sequence[FileRows], layout: Layout) -> Iterator[Finding]:
    labels = [one.labels for one in files if one.labels is not None]
    rows, marked = sum(map(len, labels)), sum(int(one.sum()) for one in labels)
    if marked <= _MOST * rows:
        return
    name = next(one.columns.label for one in files if one.columns.label is not None)
    words = () if layout.label is None else layout.label.words
    if not words:
        why = (
            "every value but 0 is anomalous. If it is 1 where all is well and -1 where it is not, "
            f"name the value of anomalous rows: --label {name}=-1"
        )
    else:
        why = f"is {' or '.join(map(repr, words))} the word of normal rows?"
    yield Finding(
        kind=Kind.MOSTLY_LABELLED,
        text=f"{marked:,} of {rows:,} rows are anomalous by the label {name!r}: {why}",
    )
