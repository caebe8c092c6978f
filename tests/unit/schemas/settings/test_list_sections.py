"""Lists of tables (`[[rules]]`): where they may stand, and what an error says."""

from __future__ import annotations

import pytest

from schemas.settings import InvalidSettingsError, load_settings
from schemas.settings.rules import RuleSettings


@pytest.fixture
def load(tmp_path):
    def load(text, **given):
        path = tmp_path / "vigie.toml"
        path.write_text(text, encoding="utf-8")
        return load_settings(path, **({"environ": {}} | given))

    return load


def test_a_file_gives_rules_in_order(load):
    settings = load(
        """
        [[rules]]
        name = "small drift"
        sensors = "pump-*"
        channels = ["temp_*"]
        least_deviation = 2

        [[rules]]
        name = "too hot"
        channels = "temp_out"
        above = 95.0
        """
    )

    assert settings.rules == (
        RuleSettings(
            name="small drift", sensors="pump-*", channels=["temp_*"], least_deviation=2.0
        ),
        RuleSettings(name="too hot", channels="temp_out", above=95.0),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[rules]]\nnever_alone = true", "[[rules]] number 1: name: is missing: must be a string"),
        (
            '[[rules]]\nname = "a"\nabove = 1\n[[rules]]\nname = "b"\nabove = "hot"',
            "[[rules]] number 2, 'b': above: must be a number, got 'hot'",
        ),
        (
            '[[rules]]\nname = "a"\nlest_share = 1',
            "number 1, 'a': lest_share: no such key; did you mean least_share? [[rules]] has: name",
        ),
        ('[[rules]]\nname = "a"\nzzz = 1', "zzz: no such key. [[rules]] has: name, "),
        ('[[rules]]\nname = "a"\nnever_alone = 1', "never_alone: must be true or false, got 1"),
        ('[[rules]]\nname = "a"\nchannels = []', "channels: must be a string of 1..249 characters"),
        ('[[rules]]\nname = "a"\ndirection = "up"', 'must be "high" or "low" or "any", got \'up\''),
        ('[[rules]]\nname = "a"', "number 1, 'a': says nothing: give it least_deviation, "),
        ('[[rules]]\nname = "a"\nnever_alone = false', "says nothing"),
        (
            '[[rules]]\nname = "a"\nnever_alone = true\nleast_share = 0.1',
            "never_alone already holds back what least_share would: make two rules of it",
        ),
        ('[[rules]]\nname = "a"\nabove = 3\nbelow = 3', "every value is below 3 or above 3"),
        (
            '[[rules]]\nname = "a"\nabove = 1\n[[rules]]\nname = "a"\nabove = 2',
            "[[rules]]: two entries are called a: give each a name of its own",
        ),
        ("rules = 3", "[[rules]]: must be a list of at most 63, each a table"),
        ("[rules]\nabove = 3", "[[rules]]: must be a list of at most 63, each a table"),
        ("rules = [3]", "[[rules]] number 1: must be a table, got 3"),
    ],
)
def test_a_wrong_entry_is_named_with_what_is_allowed(load, text, says):
    with pytest.raises(InvalidSettingsError) as caught:
        load(text)

    (problem,) = caught.value.problems
    assert "vigie.toml: " in problem
    assert says in problem


def test_every_wrong_entry_is_told_at_once(load):
    with pytest.raises(InvalidSettingsError) as caught:
        load('[[rules]]\nname = "a"\n[[rules]]\nabove = "x"\n[topics]\npartitions = 0')

    assert len(caught.value.problems) == 4


def test_more_rules_than_bits_are_refused(load):
    text = "".join(f'[[rules]]\nname = "{i}"\nabove = 1\n' for i in range(64))
    with pytest.raises(InvalidSettingsError, match="must be a list of at most 63"):
        load(text)


@pytest.mark.parametrize(
    "given",
    [
        {"environ": {"VIGIE_RULES__0__NAME": "x"}},
        {"overrides": {"rules": "[]"}},
        {"overrides": {"rules.0.name": "x"}},
    ],
)
def test_variables_and_flags_cannot_reach_into_a_list(load, given):
    with pytest.raises(InvalidSettingsError, match=r"give its entries in the file, under \[\[rul"):
        load("", **given)
