"""The keys of `[input]`, how they are given, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from schemas.settings import InputSettings, InvalidSettingsError, load_settings


def loaded(tmp_path, text, environ=None, **overrides):
    path = tmp_path / "vigie.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, overrides, environ=environ or {}).input


def problem(tmp_path, text):
    with pytest.raises(InvalidSettingsError) as caught:
        loaded(tmp_path, text)
    (line,) = caught.value.problems
    return line


def test_nothing_said_is_vigies_own(tmp_path):
    assert loaded(tmp_path, "").is_vigies_own
    assert loaded(tmp_path, "[input]\n").is_vigies_own
    assert not loaded(tmp_path, '[input]\nnumbers = "text"\n').is_vigies_own


def test_one_key_overrides_the_preset(tmp_path):
    found = loaded(tmp_path, '[input]\npreset = "telegraf"\nsensor = "tags.id"\n')
    assert found.sensor_parts == ("tags.id",)
    assert (found.places.time, found.places.time_unit) == ("timestamp", "s")


def test_all_keys_come_from_file_environment_and_flags(tmp_path):
    text = """
    [input]
    sensor = ["record:key", "header:line"]
    missing_words = ["", "Bad"]
    [input.words]
    on = 1
    off = 0.0
    """
    found = loaded(tmp_path, text, {"VIGIE_INPUT__WORDS__open": "2"}, **{"input.time": "/t"})
    assert found.sensor_parts == ("record:key", "header:line")
    assert found.words == {"on": 1.0, "off": 0.0, "open": 2.0}
    assert found.missing_words == ["", "Bad"]
    assert found.places.time == "/t"
    environ = {"VIGIE_INPUT__SENSOR": '["a", "b.c"]', "VIGIE_INPUT__TIMEZONE": "+01:00"}
    assert loaded(tmp_path, "", environ).sensor_parts == ("a", "b.c")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('preset = "kepware"', 'input.preset: must be "vigie" or "flat" or'),
        ('time_zone = "UTC"', "input.time_zone: no such setting; did you mean timezone?"),
        ('sensor = "a..b"', "'a..b' is no path"),
        ("sensor = []", "sensor: names no place"),
        ('sensor = "header:"', "'header:' cannot be here: sensor may be"),
        ('time = "record:key"', "'record:key' cannot be here"),
        ('sensor = ["a", "record:keys"]', "'record:keys' cannot be here"),
        ('timezone = "Europe/Atlantis"', "no time zone 'Europe/Atlantis' on this machine"),
        ('timezone = "Europe"', "no time zone 'Europe' on this machine"),
        ('timezone = "../etc/passwd"', "no time zone '../etc/passwd' on this machine"),
        ('timezone = "+25:00"', "no time zone '+25:00'"),
        ('time_format = "%c"', "%c depends on the machine"),
        ('time_format = "%Y-%m-%d %Z"', "%Z depends on the machine"),
        ('time_format = "%H:%M"', "leaves year, month, day"),
        ('time_format = "%Y-%m-%d %I:%M"', "leaves year, month, day or the half of the day open"),
        ('time_format = "%Q"', "is no form that Python's strptime reads"),
        ('time_format = "%Y-%m-%d"', "time_format without %z needs timezone"),
        ('time_format = "%Y-%m-%d%z"\ntime = "record:timestamp"', "is a number, not a text"),
        ('sensor_pattern = "("', "is no regular expression"),
        ('sensor_pattern = "a"', "needs a group"),
        ('sensor_separator = ""', "input.sensor_separator: must be a string that matches"),
        ('name_field = "n"', "name_field needs value_field"),
        ('missing_words = ["on"]\nwords = {on = 1}', "on: both in words and in missing_words"),
        ("words = {on = nan}", "input.words.on: must be a number"),
        ('words = "on"', "input.words: must be a table"),
    ],
)
def test_a_wrong_key_says_what_is_allowed(tmp_path, text, words):
    assert words in problem(tmp_path, f"[input]\n{text}\n")


def test_two_defaults_for_records_without_a_header_are_one_too_many(tmp_path):
    text = '[input]\npreset = "flat"\n[stream]\ncontent_type = "application/json"\n'
    assert "stream.content_type and [input] both say how records" in problem(tmp_path, text)


def test_settings_say_who_reads_the_formats():
    assert InputSettings(format="avro").is_vigies_own is False
