"""Reading a stretch of the topic of readings, for the commands that take it in place of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.cli.options import usage_errors
from workers.errors import VigieError

if TYPE_CHECKING:
    from schemas.settings import Settings
    from workers.data.history import History
    from workers.data.layout import Layout


def from_topic(settings: Settings, layout: Layout, start: str, end: str | None) -> History:
    """The readings between two times.

    Args:
        settings: of the broker and the topic.
        layout: channels to read, and how.
        start: RFC 3339, of `--topic-from`.
        end: of `--topic-to`; None: to the end of the topic.

    Raises:
        typer.BadParameter: a time cannot be read, or the layout is one that files alone have.
        VigieError: there is no reading of that time, or too much of it cannot be used.
    """
    from schemas.wire.timestamp import to_ns
    from workers.data.history import unusable_rows
    from workers.data.topic import read_topic

    with usage_errors("--long, --channel-from"):
        if layout.is_long:
            raise ValueError("each record of a topic names its channels: these are for files")
    with usage_errors("--topic-from, --topic-to"):
        start_ns, end_ns = to_ns(start), None if end is None else to_ns(end)
    history = read_topic(settings, layout, start_ns=start_ns, end_ns=end_ns)
    if not history.sensors:
        reasons = "; ".join(history.notes)
        raise VigieError(
            f"{settings.topics.readings} holds no reading of that time that can be used. "
            + (f"{reasons}. Correct [input], or " if reasons else "")
            + "check --topic-from, --topic-to and --channel"
        )
    if said := unusable_rows(history, layout.max_left_out):
        raise VigieError(
            f"{said} {'; '.join(history.notes)}. To go on without these records: --max-left-out 1"
        )
    return history
