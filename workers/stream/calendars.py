"""Calendars of `[[off]]`, read once when a run starts; their texts travel to the workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from schemas.settings.off import OffSettings
from workers.errors import SettingsError

MAX_FILE_BYTES = 4 * 2**20


def read_calendars(settings: Sequence[OffSettings]) -> dict[str, str]:
    """The text of each calendar, by the name of its entry.

    Raises:
        SettingsError: a file is missing, too large or no calendar; says in which line and event.
    """
    return {own.name: _read(own, own.calendar) for own in settings if own.calendar is not None}


def _read(own: OffSettings, path: Path) -> str:
    where = f"[[off]] {own.name!r}: calendar: {path}"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"{where} cannot be read ({error.strerror}): correct the path, or remove the entry"
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError(f"{where} is larger than {MAX_FILE_BYTES:,} bytes")
    from workers.stream.state.maintenance import CalendarError, MaintenanceCalendar

    try:
        text = content.decode("utf-8-sig")
        MaintenanceCalendar(text, timezone=own.timezone)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{where}, line {line} is not UTF-8: save the file as UTF-8") from error
    except CalendarError as error:
        raise SettingsError(f"{where}, line {error.line}: {error.told}") from error
    return text
