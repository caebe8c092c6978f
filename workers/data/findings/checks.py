"""All that looks wrong with a history. Pure: the clock is an argument."""

from __future__ import annotations

from workers.data.finding import Finding, Kind
from workers.data.findings.channels import channel_findings
from workers.data.findings.times import time_findings
from workers.data.history import History
from workers.data.layout import Layout

NOTES = (Kind.OUT_OF_ORDER,)
"""Kinds that are said and are no warning: nothing is lost, and there is nothing to mend."""


def findings_of(history: History, layout: Layout, *, now_ns: int) -> tuple[Finding, ...]:
    """What looks wrong, each with the options that mend it.

    Args:
        history: as it was read, from files or a topic.
        layout: how.
        now_ns: what the clock says.
    """
    # What a suspected sensor column does as a channel is no news.
    sensors = {
        name
        for one in history.findings
        if one.kind in {Kind.SENSOR_COLUMN, Kind.CLOCK_COLUMN}
        for name in (one.channel, *_names(one.keys.get("sensor", ())))
    }
    return (
        *history.findings,
        *time_findings(history, layout, now_ns=now_ns),
        *(one for one in channel_findings(history, layout) if one.channel not in sensors),
    )


def _names(told: str | tuple[str, ...]) -> tuple[str, ...]:
    return (told,) if isinstance(told, str) else told


def warnings_of(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those that `--strict` makes errors."""
    return tuple(one for one in findings if one.kind not in NOTES)
