"""`[[off]]`: what may be said, and what a condition is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.settings import InvalidSettingsError, load_settings
from schemas.settings.off import Condition, OffSettings


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("speed < 5", ("speed", "<", 5.0)),
        (" speed<=5 ", ("speed", "<=", 5.0)),
        ("speed >= -.5e2", ("speed", ">=", -50.0)),
        ("oil temp>1.", ("oil temp", ">", 1.0)),
        ('"a<b" == 0', ("a<b", "==", 0.0)),
        ("x != +1e-3", ("x", "!=", 0.001)),
    ],
)
def test_a_condition_is_a_channel_a_comparison_and_a_number(text, parts):
    found = Condition.parse(text)

    assert (found.channel, found.comparison, found.number) == parts


@pytest.mark.parametrize(
    "text",
    [
        *("", "speed", "speed < ", "< 5", '"" < 5', "5 > speed", "a<b<5", "speed = 5"),
        *("speed =< 5", "speed < nan", "speed < inf", "speed < 1_0", "speed < 1e999"),
        "speed < 5 and flow < 2",
    ],
)
def test_anything_else_is_none_and_the_error_shows_one(text):
    with pytest.raises(ValidationError):
        OffSettings(name="a", when=text)
    with pytest.raises(ValueError, match='such as "speed < 5"'):
        Condition.parse(text)


def load(tmp_path, text):
    path = tmp_path / "vigie.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environ={})


def test_a_file_gives_entries_in_order(tmp_path):
    settings = load(
        tmp_path,
        """
        [[off]]
        name = "standstill"
        sensors = ["pump-*"]
        when = "speed < 5"
        settle_s = 120

        [[off]]
        name = "service"
        calendar = "maintenance.ics"
        timezone = "Europe/Berlin"
        """,
    )

    assert settings.off == (
        OffSettings(name="standstill", sensors=["pump-*"], when="speed < 5", settle_s=120.0),
        OffSettings(name="service", calendar=Path("maintenance.ics"), timezone="Europe/Berlin"),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "number 1, 'a': give either when, such as \"speed < 5\", or calendar"),
        ('when = "speed < 5"\ncalendar = "x.ics"', "for both make two entries"),
        ('when = "speed is 5"', "when: must be a string"),
        ('when = "speed is 5"', "got 'speed is 5' (is no condition: write a channel, one of"),
        ('when = "speed < 5"\ntimezone = "UTC"', "timezone is for a calendar"),
        ('calendar = "x.ics"\ntimezone = "Mars"', "no time zone 'Mars' on this machine"),
        ('calendar = "x.ics"\nsettle_s = -1', "settle_s: must be a number in 0..864000, got -1"),
        ("calendar = 3", "calendar: must be a path, got 3"),
        (
            'when = "a < 1"\n[[off]]\nname = "a"\nwhen = "a < 2"',
            "[[off]]: two entries are called a",
        ),
    ],
)
def test_a_wrong_entry_says_what_to_do(tmp_path, text, says):
    with pytest.raises(InvalidSettingsError) as caught:
        load(tmp_path, f'[[off]]\nname = "a"\n{text}')

    (problem,) = caught.value.problems
    assert says in problem
