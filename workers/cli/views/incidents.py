"""Incidents and drift of a backtest, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from schemas.wire.timestamp import short_ns
from workers.cli.views.accounts import many
from workers.cli.views.plain import PlainConsole
from workers.cli.views.report import print_facts
from workers.printable import printable

if TYPE_CHECKING:
    from detector.scoring import Detector
    from schemas.wire.incident import Incident, IncidentChannel
    from workers.backtest.account import Account
    from workers.cli.views.accounts import Facts

MOST_SHOWN = 20
_LABEL_WORDS = {True: "false", False: "event", None: "-"}
_SECONDS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def budget_words(detector: Detector) -> str:
    """The budget that a model was made for, in words."""
    return str(detector.identity.training.get("budget_words", "unknown"))


def duration(seconds: float) -> str:
    """A time span in the unit that reads best."""
    unit_s, unit = next(((s, u) for s, u in _SECONDS if seconds >= 2 * s), (1.0, "s"))
    return f"{seconds / unit_s:.3g} {unit}"


def channel_words(one: IncidentChannel) -> str:
    """What a channel did: `flow high: 41.2 instead of 38.1 ± 0.6 l/min`."""
    unit = f" {one.unit}" if one.unit else ""
    seen = "no value" if one.observed is None else f"{one.observed:.4g}"
    usual = f"{one.expected:.4g} ± {one.band:.2g}{unit}"
    return f"{one.channel} {one.direction}: {seen} instead of {usual}"


def ending(one: Incident) -> str:
    """How an incident ended."""
    return "still open" if one.end_reason is None else one.end_reason.replace("_", " ")


def show_incidents(found: Account, detector: Detector) -> None:
    """The incidents in order of time, their counts, and where normal operation has changed."""
    console = PlainConsole()
    if not found.has_rule:
        print_facts([("incidents", "the model is older than the alarm rule: train it anew")])
        return
    if found.incidents:
        for line in _listed(found):
            console.print(printable(line), markup=False, highlight=False)
        if len(found.incidents) > MOST_SHOWN:
            more = many(len(found.incidents) - MOST_SHOWN, "more incident")
            console.print(f"and {more} (--json, or vigie report)")
    print_facts([*_counts(found, detector), *_drifts(found)])


def _listed(found: Account) -> Iterator[str]:
    """Two lines an incident: when and how bad, then what; a narrow terminal cuts neither."""
    head = ("opened", "sensor", "lasted", "severity", "ended", *(["label"] * found.labelled))
    shown = found.incidents[:MOST_SHOWN]
    rows = [head]
    for one in shown:
        told = one.incident.told
        rows.append(
            (
                short_ns(told.opened_ns),
                told.sensor_id,
                duration(told.duration_s),
                told.severity,
                ending(told),
                *([_LABEL_WORDS[one.is_false]] * found.labelled),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    yield next(lines)
    for one, line in zip(shown, lines, strict=True):
        yield line
        yield f"    {channel_words(one.incident.told.channels[0])}{_beside(one.incident.told)}"


def _beside(told: Incident) -> str:
    """What else decided on an incident than the model."""
    words = [f"raised by {', '.join(told.raised_by)}"] if told.raised_by else []
    words += [f"held back by {', '.join(told.held_back_by)}"] if told.held_back_by else []
    words += [f"suppressed, {told.suppressed.reason}"] if told.suppressed is not None else []
    return "".join(f"; {each}" for each in words)


def _counts(found: Account, detector: Detector) -> Facts:
    judged = found.judged
    facts = [("incidents", f"{judged.incidents:,}")]
    if found.labelled:
        delay = judged.median_delay_s
        late = "" if delay is None else f", {duration(delay)} after its start in the median"
        opened = (
            f"{judged.opened:,} with an incident of {'its' if judged.opened == 1 else 'their'} own"
        )
        facts = [
            (
                "incidents",
                (
                    f"{judged.incidents:,}, {judged.false:,} of them false; {judged.found:,} of "
                    f"{many(judged.events, 'event')} found, {judged.events - judged.found:,} "
                    f"missed, {opened}{late}"
                ),
            )
        ]
    hours = judged.normal_rows * detector.interval_s
    facts.append(
        (
            "budget",
            f"{budget_words(detector)}: {found.asked:.2g} false incidents in {duration(hours)} of "
            f"{'normal operation' if found.labelled else 'readings'}, {judged.false:,} observed"
            + ("" if found.labelled else " if all was normal"),
        )
    )
    share = f"{judged.normal_alarm_share:.1%} of {'normal ' if found.labelled else ''}rows"
    facts.append(("in alarm", share))
    return facts


def _drifts(found: Account) -> Facts:
    facts = []
    drifting = [one for one in found.drifts if one.given_ns is not None]
    for one in drifting[:MOST_SHOWN]:
        since = duration(one.epochs * one.epoch_s)
        facts.append(
            (
                "drift",
                (
                    f"sensor {one.sensor} has left its calibration: said "
                    f"{short_ns(one.given_ns or 0)} "
                    f"after {since} of it{'' if one.drifting else ', and is back since'}"
                ),
            )
        )
    if len(drifting) > MOST_SHOWN:
        facts.append(("drift", f"and {many(len(drifting) - MOST_SHOWN, 'more sensor')}"))
    silent = sum(one.judged is None for one in found.drifts)
    if silent:
        facts.append(
            ("drift", f"the history is too short for a verdict on {many(silent, 'sensor')}")
        )
    return facts
