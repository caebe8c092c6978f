"""A dead letter as an operator sees it. Pure; nothing here prints a control character.

What is in a dead letter was written by whoever sent it: escape sequences in it would run in the
terminal of the one who looks.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from schemas.wire.dead_letter import (
    DeadLetter,
    Place,
    Replay,
    read_dead_letter,
    read_replay,
    truncated_bytes,
)
from schemas.wire.errors import InvalidRecordError
from workers.kafka.client import Record

FOREIGN: Final = "?"
"""Stage of a record that is no dead letter of Vigie's."""

_HEX_COLUMNS: Final = 16
_MAX_KINDS: Final = 1000
_QUOTED: Final = re.compile(r"""b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*\"""")
_NUMBER: Final = re.compile(r"\d[\d_,.]*")
_NAMES_MATTER: Final = frozenset({"channels", "content-type"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """One record of the dead-letter topic.

    Attributes:
        place: where it lies.
        stamp_ms: its timestamp, when it was given up; below 0 for none.
        key, value, headers: the record.
        size: bytes of the value.
        reasons: why; None when it is no dead letter of Vigie's.
        problem: what is wrong with its headers, empty when nothing is.
        story: of its last replay; None if it was never sent back.
        truncated: bytes that the record had, if only the first of them are here.
    """

    place: Place
    stamp_ms: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    size: int
    reasons: DeadLetter | None
    problem: str
    story: Replay | None
    truncated: int | None

    @classmethod
    def of(cls, record: Record) -> Letter:
        """Read a record; never fails."""
        headers = tuple((name, value or b"") for name, value in record.headers)
        reasons, problem = None, ""
        try:
            reasons = read_dead_letter(headers)
        except InvalidRecordError as error:
            problem = str(error).splitlines()[0]
        value = record.value or b""
        return cls(
            place=Place(record.topic, record.partition, record.offset),
            stamp_ms=record.timestamp,
            key=record.key,
            value=value,
            headers=headers,
            size=len(value),
            reasons=reasons,
            problem=problem,
            story=read_replay(headers),
            truncated=truncated_bytes(headers),
        )

    @property
    def attempts(self) -> int:
        """How often the record was tried: once, and once a replay."""
        return 1 + (self.story.attempt if self.story else 0)

    @property
    def reason(self) -> str:
        """What was wrong, as it stands in the headers: not safe to print."""
        return self.reasons.message if self.reasons else self.problem

    def without_value(self) -> Letter:
        """The same, small enough to keep many of."""
        return replace(self, value=b"", headers=())


def short_place(place: Place) -> str:
    """As the commands take it: partition:offset."""
    return f"{place.partition}:{place.offset}"


def printable(text: str) -> str:
    """Text that is safe on a terminal: what is not printable is escaped as Python writes it."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def printable_bytes(value: bytes | None) -> str:
    """A key or a header's value; what is no UTF-8 becomes an escape."""
    return "-" if value is None else printable(value.decode(errors="backslashreplace"))


def when(stamp_ms: int) -> str:
    """A timestamp, RFC 3339 to the millisecond."""
    if stamp_ms < 0:
        return "-"
    try:
        time = datetime.fromtimestamp(stamp_ms / 1e3, UTC)
    except (OverflowError, ValueError):
        return f"{stamp_ms} ms"
    return f"{time:%Y-%m-%dT%H:%M:%S}.{stamp_ms % 1000:03d}Z"


def value_lines(value: bytes, *, most_bytes: int) -> tuple[str, list[str]]:
    """What the value is ("JSON", "text", "binary", "nothing"), and its lines, safe to print.

    Args:
        value: of the dead letter.
        most_bytes: shown; JSON beyond it is shown as the text that it is.
    """
    shown = value[:most_bytes]
    if not value:
        return "nothing", []
    text = _text_of(shown, whole=len(shown) == len(value))
    if text is None:
        return "binary", _hex_lines(shown)
    if len(shown) == len(value):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            lines = json.dumps(document, indent=2, ensure_ascii=False).splitlines()
            return "JSON", [printable(line) for line in lines]
    return "text", [printable(line) for line in text.split("\n")]


def _text_of(shown: bytes, *, whole: bool) -> str | None:
    """The bytes as text if they are UTF-8 without control characters, but for the usual ones."""
    for cut in range(1 if whole else 4):  # a cut may go through a character
        try:
            text = shown[: len(shown) - cut].decode()
        except UnicodeDecodeError:
            continue
        return None if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text) else text
    return None


def _hex_lines(shown: bytes) -> list[str]:
    lines = []
    for at in range(0, len(shown), _HEX_COLUMNS):
        part = shown[at : at + _HEX_COLUMNS]
        text = "".join(chr(b) if 0x20 <= b < 0x7F else "." for b in part)  # noqa: PLR2004 - ASCII
        lines.append(f"{at:08x}  {part.hex(' '):<{_HEX_COLUMNS * 3 - 1}}  {text}")
    return lines


def as_document(letter: Letter, *, whole: bool = False) -> dict[str, Any]:
    """What `--json` prints of a dead letter.

    Args:
        letter: the dead letter.
        whole: with headers, story and value.
    """
    reasons, story = letter.reasons, letter.story
    document: dict[str, Any] = {
        "place": short_place(letter.place),
        "topic": letter.place.topic,
        "time": when(letter.stamp_ms),
        "source": None
        if reasons is None
        else {
            "topic": reasons.topic,
            "partition": reasons.partition,
            "offset": reasons.offset,
        },
        "stage": reasons.stage if reasons else FOREIGN,
        "exception": reasons.exception if reasons else None,
        "reason": letter.reason,
        "bytes": letter.size,
        "truncated_bytes": letter.truncated,
        "attempts": letter.attempts,
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
    }
    if not whole:
        return document
    text = _text_of(letter.value, whole=True)
    return document | {
        "app_version": reasons.app_version if reasons else None,
        "replay": None if story is None else story.model_dump(by_alias=False),
        "headers": [
            [name, value.decode(errors="backslashreplace")] for name, value in letter.headers
        ],
        "value": text,
        "value_base64": base64.b64encode(letter.value).decode() if text is None else None,
    }


@dataclass(slots=True)
class Kind:
    """Dead letters that failed alike: how many, and the newest of them."""

    stage: str
    count: int
    example: Letter


@dataclass(slots=True)
class Summary:
    """Dead letters by what was wrong with them; of bounded size."""

    total: int = 0
    kinds: dict[tuple[str, str, str], Kind] = field(default_factory=dict)
    others: int = 0

    def add(self, letter: Letter) -> None:
        """Count one more."""
        self.total += 1
        key = _kind_of(letter)
        kind = self.kinds.get(key)
        if kind is not None:
            kind.count += 1
            if letter.stamp_ms >= kind.example.stamp_ms:
                kind.example = letter.without_value()
        elif len(self.kinds) < _MAX_KINDS:
            self.kinds[key] = Kind(key[0], 1, letter.without_value())
        else:
            self.others += 1

    def ranked(self) -> Sequence[Kind]:
        """The most frequent first."""
        return sorted(self.kinds.values(), key=lambda kind: (-kind.count, kind.stage))


def _kind_of(letter: Letter) -> tuple[str, str, str]:
    """What letters of one kind share: stage, exception, and the message without what differs.

    Quoted values and numbers differ from record to record; names of channels do not.
    """
    if letter.reasons is None:
        return FOREIGN, "", letter.problem
    stage, message = letter.reasons.stage, letter.reasons.message
    if stage not in _NAMES_MATTER:
        message = _QUOTED.sub("'...'", message)
    return stage, letter.reasons.exception, _NUMBER.sub("#", message)


def kind_documents(summary: Summary) -> Iterable[Mapping[str, Any]]:
    """What `--summary --json` prints."""
    for kind in summary.ranked():
        reasons = kind.example.reasons
        yield {
            "count": kind.count,
            "stage": kind.stage,
            "exception": reasons.exception if reasons else None,
            "reason": kind.example.reason,
            "newest": when(kind.example.stamp_ms),
            "place": short_place(kind.example.place),
        }
    if summary.others:
        yield {"count": summary.others, "stage": None, "reason": "of other kinds"}
