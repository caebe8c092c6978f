"""What looks wrong with files, seen before their rows are sorted and put together. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from workers.data.errors import listed
from workers.data.file.rows import FileRows, Reason
from workers.data.finding import Finding, Kind, joined
from workers.data.findings.clock_back import clock_back_findings
from workers.data.findings.labels import label_findings
from workers.data.findings.sensor_columns import sensor_column_findings
from workers.data.history import History
from workers.data.layout import Layout

_MIN_REPEATS = 0.02
_DATED = re.compile(r"\d{4}([-_.]?\d{2}){0,2}|\d{1,2}")


def file_findings(
    files: Sequence[FileRows], history: History, layout: Layout
) -> tuple[Finding, ...]:
    """What looks wrong with files.

    Args:
        files: their rows, in their order.
        history: what was made of them.
        layout: how they were read.
    """
    return (
        *(_suspects(files, history, layout) if not layout.is_long else ()),
        *_merged(files, layout),
        *clock_back_findings(files, history, layout),
        *label_findings(files, layout),
        *_words(files),
    )


def _suspects(files: Sequence[FileRows], history: History, layout: Layout) -> tuple[Finding, ...]:
    """Columns that look like the sensor; certain only where the files agree on one."""
    repeated = history.by_reason[Reason.REPEATED] > _MIN_REPEATS * history.read
    found = joined(
        finding
        for one in files
        for finding in sensor_column_findings(one, history, layout, repeated=repeated)
    )
    sure = len(found) == 1
    return tuple(replace(one, certain=one.certain and sure) for one in found)


def _merged(files: Sequence[FileRows], layout: Layout) -> Iterator[Finding]:
    """Files of one name in several folders are one sensor, where their name is its id."""
    told = layout.sensor_from or layout.sensor_id or layout.channel_from
    if told is not None or len(files) <= 1:
        return
    folders: dict[str, set[str]] = {}
    for one in files:
        if not one.columns.sensor:
            folders.setdefault(one.columns.sensor_id, set()).add(one.path.resolve().parent.name)
    for sensor, names in folders.items():
        if len(names) > 1 and not all(_DATED.fullmatch(name) for name in names):
            yield Finding(
                kind=Kind.MERGED_SENSORS,
                text=f"files of {len(names):,} folders ({listed(sorted(names))}) are read as one "
                f"sensor, {sensor!r}, by their name. If each folder is a sensor of its own",
                keys={"sensor_from": "folder"},
            )


def _words(files: Sequence[FileRows]) -> tuple[Finding, ...]:
    """What each file says of its own; a word may be missing in one file that stands in another."""
    everywhere = {Kind.LABEL_WORD, Kind.QUALITY_WORD}
    found = [one for file in files for one in file.findings if one.kind not in everywhere]
    for kind in everywhere:
        of_kind = [[one for one in file.findings if one.kind is kind] for file in files]
        if all(of_kind):
            found += of_kind[0]
    return joined(found)
