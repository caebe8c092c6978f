"""Names are data in whatever is printed."""

from __future__ import annotations

from workers.cli.views.report import print_facts


def test_a_name_with_brackets_is_printed_as_it_is(capsys):
    print_facts([("channels", "Speed [/min], [red]Druck[/red]")])

    assert "Speed [/min], [red]Druck[/red]" in capsys.readouterr().out
