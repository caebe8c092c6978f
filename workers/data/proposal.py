"""The `layout.toml` that is proposed: what is certain, and as comments what is not. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from workers.data.finding import grouped, with_keys
from workers.data.inspection import Inspection
from workers.data.layout import Layout

_WIDTH = 78


class Choice(NamedTuple):
    """Something that only the user can decide: any of the ways, or none."""

    why: str
    ways: tuple[Mapping[str, Any], ...]


class Proposal(NamedTuple):
    """A layout, why each of its keys is in it, and what is left to decide."""

    layout: Layout
    reasons: Mapping[str, str]
    choices: tuple[Choice, ...]


def propose(inspection: Inspection) -> Proposal:
    """The layout that was told, what had to be assumed, and what findings say with certainty."""
    layout, reasons, choices = inspection.given, {}, []
    for one in inspection.assumptions:
        if one.others:
            choices.append(Choice(one.error, (one.keys, *one.others)))
            continue
        layout = with_keys(layout, one.keys)
        reasons.update(dict.fromkeys(one.keys, one.error))
    for finding in grouped(inspection.findings):
        if not finding.keys:
            continue
        certain = finding.certain
        try:
            further = with_keys(layout, finding.keys)
        except ValueError:
            certain = False
        if certain:
            layout = further
            for key in finding.keys:
                before = f"{reasons[key]}; " if key in reasons else ""
                reasons[key] = before + finding.text
        else:
            choices.append(Choice(finding.text, (finding.keys,)))
    return Proposal(layout, reasons, tuple(choices))


def as_toml(proposal: Proposal, *, title: str) -> str:
    """The text of the file; with comments that are read by people alone."""
    layout = proposal.layout
    if layout.label_ranges is not None:
        # In a file a path is relative to the file.
        layout = with_keys(layout, {"label_ranges": layout.label_ranges.resolve()})
    text, _, tables = layout.to_toml().partition("\n[")
    lines = [f"# {_plain(title)}", "# Give it with --layout; options of the command line win."]
    for line in filter(None, text.splitlines()):
        key = line.partition(" ")[0]
        if reason := proposal.reasons.get(key, ""):
            lines += ["", *_commented(reason)]
        lines.append(line)
    for choice in proposal.choices:
        lines += ["", *_choice(choice, layout)]
    if tables:
        lines += ["", f"[{tables.rstrip()}"]
    return "\n".join([*lines, ""])


def _choice(choice: Choice, layout: Layout) -> Iterator[str]:
    yield from _commented(f"To decide: {choice.why}")
    for way in choice.ways:
        try:
            text = with_keys(layout, way).to_toml()
        except ValueError:
            text = ""
        for key in way:
            found = [one for one in text.splitlines() if one.startswith(f"{key} = ")]
            told = key in layout.model_fields_set and getattr(layout, key) not in (None, ())
            yield from (f"# {one}" + ("  # for the line above" if told else "") for one in found)


def _commented(text: str) -> Iterator[str]:
    line = "#"
    for word in _plain(text).split(" "):
        if len(line) + len(word) > _WIDTH and line != "#":
            yield line
            line = "#"
        line += f" {word}"
    yield line


def _plain(text: str) -> str:
    """Text that cannot end a comment, nor hold what TOML forbids in one."""
    return "".join(one if one.isprintable() else " " for one in text)
