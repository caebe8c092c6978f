"""Where the rows of a history went, as facts for people and as plain values for scripts."""

from __future__ import annotations

import csv
import io
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from detector.signal.scorable import Obstacle, Unscorable
from schemas.wire.timestamp import short_ns
from workers.data.file.rows import Reason

if TYPE_CHECKING:
    from detector.training.fitted_scores import Stretch
    from workers.data.history import History

Facts = list[tuple[str, str]]

_MOST_NAMED: Final = 5
_TELLING_FACTOR: Final = 1.15


def many(count: int, noun: str) -> str:
    """A number and its noun, in the plural if need be."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def account(history: History) -> dict[str, Any]:
    """Rows read and left out, by reason and then by sensor, the most first; for scripts."""
    by_reason: dict[str, dict[str, int]] = {}
    for (reason, sensor), count in history.left_out.most_common():
        by_reason.setdefault(reason, {})[sensor] = count
    return {
        "rows_read": history.read,
        "left_out": by_reason,
        "told_missing": dict(history.told_missing),
        "poor_values": dict(history.poor_values),
        "rows_out_of_order": dict(history.unordered),
        "notes": list(history.notes),
    }


def history_facts(history: History) -> Facts:
    """The same for people: the sensors that lost most are named."""
    facts = [("read", many(history.read, "row"))]
    for reason, count in history.by_reason.most_common():
        sensors = Counter(
            {name: n for (why, name), n in history.left_out.items() if why == reason and name}
        )
        where = "" if len(history.sensors) < 2 else _worst(sensors)  # noqa: PLR2004 - one needs no name
        facts.append(("left out", f"{count:,} of {history.read:,} rows: {_words(reason)}{where}"))
    if history.told_missing:
        facts.append(("missing", f"values that --missing took{_worst(history.told_missing)}"))
    if history.poor_values:
        facts.append(("missing", f"values of poor quality{_worst(history.poor_values)}"))
    if history.unordered:
        late = history.unordered
        came = many(late.total(), "row")
        facts.append(("sorted", f"{came} came after a later one of the sensor{_worst(late)}"))
    facts += [("note", note) for note in history.notes]
    return facts


def _words(reason: str) -> str:
    return "labelled anomalous, not learned from" if reason == Reason.LABELLED else reason


def _worst(counts: Counter[str]) -> str:
    named = [f"{name} {count:,}" for name, count in counts.most_common(_MOST_NAMED)]
    more = len(counts) - len(named)
    if more > 0:
        named.append(f"{more:,} more")
    return f" ({', '.join(named)})" if named else ""


def unscorable_facts(found: Sequence[Unscorable], *, title: str) -> Facts:
    """The first sensors without a window, why, and the ways out."""
    facts = [(title, f"sensor {one.sensor}: {one}") for one in found[:_MOST_NAMED]]
    if len(found) > _MOST_NAMED:
        facts.append((title, f"and {many(len(found) - _MOST_NAMED, 'more sensor')} (--json)"))
    alike: dict[Obstacle, list[Unscorable]] = {}
    for one in found:
        alike.setdefault(one.obstacle, []).append(one)
    return facts + [("way out", _way_out(ones)) for ones in alike.values()]


def _way_out(alike: Sequence[Unscorable]) -> str:
    """For sensors that one obstacle keeps from having a window."""
    step = f"{max(one.step_s for one in alike):g}"
    match alike[0].obstacle:
        case Obstacle.LONG_STEPS:
            names = " ".join(f"--only {shlex.quote(one.sensor)}" for one in alike[:_MOST_NAMED])
            more = " ..." if len(alike) > _MOST_NAMED else ""
            return (
                "a model of their own for sensors of another rate: vigie train FILE... "
                f"{names}{more} -o FOLDER, and backtest with the same --only. Or bring all to one "
                f"rate, --resample {step}s, or let longer steps pass, --max-gap {step} (in a "
                "running stream: stream.max_gap_s)"
            )
        case Obstacle.FEW_READINGS:
            return "a longer history, or a smaller --receptive-field in training"
        case Obstacle.GAPS:
            return (
                "let longer gaps pass, --max-gap SECONDS, or bring the rows to one interval, "
                f"--resample {step}s"
            )


def standing_out_facts(found: Sequence[Stretch]) -> Facts:
    """Stretches of the history that would have opened incidents, or that alone set a threshold."""
    facts = [("stands out", _standing_out(one)) for one in found[:_MOST_NAMED]]
    if len(found) > _MOST_NAMED:
        facts.append(("stands out", f"and {many(len(found) - _MOST_NAMED, 'more stretch')}"))
    return facts


def _standing_out(one: Stretch) -> str:
    did = (
        f"the threshold is {one.factor:.1f} times what it would be without them, so faults like "
        "this one are not flagged"
        if one.factor >= _TELLING_FACTOR
        else "the threshold is the same without them: they are no harm, but look at what happened"
    )
    return (
        f"sensor {one.sensor}, {short_ns(one.start_ns)} to {short_ns(one.end_ns)} "
        f"({many(one.readings, 'reading')} of those that set the threshold): {did}"
    )


def gross_facts(found: Sequence[Mapping[str, Any]], channels: Sequence[str]) -> Facts:
    """Values that are no measurements, and were taken as missing."""
    facts = [
        (
            "no values",
            (
                f"sensor {one['sensor']}: {many(one['values'], 'value')} of "
                f"{channels[one['channel']]} far outside of all others (such as "
                f"{one['largest']:g}) taken as missing"
            ),
        )
        for one in found[:_MOST_NAMED]
    ]
    if len(found) > _MOST_NAMED:
        facts.append(("no values", f"and {many(len(found) - _MOST_NAMED, 'more channel')}"))
    return facts


def trimmed_facts(training: Mapping[str, Any]) -> Facts:
    """Rows that the views of the full detector did not learn from."""
    left = sum(view.get("rows_not_learned", 0) for view in training.get("further_views", ()))
    why = "they stand out from the rest of the history"
    return [("not learned", f"{many(left, 'reading')}: {why}")] if left else []


def label_ranges(found: Sequence[Stretch]) -> str:
    """The file of --label-ranges that leaves the stretches out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["start", "end", "sensor_id"])
    writer.writerows([short_ns(one.start_ns), short_ns(one.end_ns), one.sensor] for one in found)
    return text.getvalue()


def stretches_of(training: Mapping[str, Any]) -> list[Stretch]:
    """What stood out, from the summary of a training."""
    from detector.training.fitted_scores import Stretch

    return [Stretch(**one) for one in training["standing_out"]]


def unlearned_of(training: Mapping[str, Any]) -> list[Unscorable]:
    """The sensors that were not learned from, from the summary of a training."""
    return [Unscorable.of(one) for one in training["not_learned"]]
