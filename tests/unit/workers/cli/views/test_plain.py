"""What is shown is what was given: names are never markup, emoji codes or commands."""

from __future__ import annotations

import pytest
from rich.table import Table
from rich.text import Text

from workers.api.sensors import RecordedSensor
from workers.cli.commands.status import _show, show_scaling
from workers.cli.views.plain import PlainConsole
from workers.cli.views.report import print_facts
from workers.cli.views.sensors import show_sensors

NASTY = ("Speed [/min]", "[bold]x", "[/]", "$a_{$", "a/../b", "{0}", "%s", ":warning:", "😀")


def shown(console_does) -> str:
    console = PlainConsole(width=300)
    with console.capture() as capture:
        console_does(console)
    return capture.get()


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_shown_letter_by_letter(name, capsys):
    table = Table(name, title=name)
    table.add_row(name)

    assert shown(lambda console: console.print(table)).count(name) == 3
    assert name in shown(lambda console: console.print(name, style="bold"))
    print_facts([(name, name)])
    assert capsys.readouterr().out.count(name) == 2


@pytest.mark.parametrize(
    ("name", "escaped"),
    [("a\x1b[31mb", r"a\x1b[31mb"), ("\u202eb", r"\u202eb"), ("a\rb", r"a\rb"), ("a\nb", r"a\nb")],
)
def test_what_a_terminal_would_obey_is_escaped(name, escaped, capsys):
    print_facts([("sensor", name)])

    assert escaped in capsys.readouterr().out


def test_what_is_meant_as_style_is_a_text():
    assert "bold\n" in shown(lambda console: console.print(Text("bold", style="bold")))


@pytest.mark.parametrize("name", [*NASTY, "a\nb"])
def test_the_sensors_of_a_status_are_shown_so(name):
    sensor = RecordedSensor(
        sensor=name, partition=0, scored=1, flagged=0, flagged_share=0.0, dropped=0, since=0,
        next_offset=1,
    )  # fmt: skip

    text = shown(lambda console: show_sensors([sensor], unknown=0, console=console))

    assert name.replace("\n", r"\n") in text


@pytest.mark.parametrize("name", NASTY)
def test_a_status_shows_topics_groups_and_answers_so(name):
    result = {
        "topics": [{"name": name, "partitions": 1, "records": 0, "advice": name}],
        "group": {"name": name, "state": name, "members": []},
        "lag_records": 0,
        "split_sensors": None,
        "pipeline": {"workers": [{"phase": name}], "scaling": {"last_decision": {"text": name}}},
    }

    assert shown(lambda console: _show(result, [], console)).count(name) == 6
    assert name in shown(lambda console: show_scaling({"last_decision": {"text": name}}, console))
