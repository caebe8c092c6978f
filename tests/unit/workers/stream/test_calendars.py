"""Calendars of `[[off]]`: read at the start, or an error that says where."""

from __future__ import annotations

import pytest

from schemas.settings.off import OffSettings
from workers.errors import SettingsError
from workers.stream import calendars
from workers.stream.calendars import read_calendars

TEXT = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{}END:VCALENDAR\n"


def entry(path, **more):
    return OffSettings(name="shutdown", calendar=path, **more)


def test_the_texts_are_by_the_name_of_their_entry(tmp_path):
    (tmp_path / "a.ics").write_text("\ufeff" + TEXT.format(""), encoding="utf-8")
    stopped = OffSettings(name="stopped", when="speed < 5")

    assert read_calendars([stopped, entry(tmp_path / "a.ics")]) == {"shutdown": TEXT.format("")}
    assert read_calendars([stopped]) == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read (No such file or directory): correct the path, or remove the entry"),
        (b"BEGIN:VCALENDAR\n\xe9", "line 2 is not UTF-8: save the file as UTF-8"),
        (TEXT.format("BEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT\n").encode(), "line 4: VEVENT 'x': has"),
        (b"hello", "line 1: is no calendar"),
        (b" " * 2001, "is larger than 2,000 bytes"),
    ],
)
def test_a_calendar_that_cannot_be_read_names_entry_file_and_line(
    tmp_path, monkeypatch, content, says
):
    monkeypatch.setattr(calendars, "MAX_FILE_BYTES", 2000)
    path = tmp_path / "plant.ics"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        read_calendars([entry(path)])

    assert str(caught.value).startswith(f"[[off]] 'shutdown': calendar: {path}")
    assert says in str(caught.value)
