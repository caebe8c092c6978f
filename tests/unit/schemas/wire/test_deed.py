"""Files of deeds: a line each, and a wrong one is named by its number."""

from __future__ import annotations

import pytest

from schemas.wire.deed import Deed, format_deed, parse_deeds, standing_at_the_end
from tests.support.wishes import false_alarm, fault, forget, new_normal, off

DEEDS = [
    Deed(sensor="p1", wish=fault(1), after_ns=25_000_000_000, offset=7),
    Deed(sensor="p1", wish=false_alarm(2)),
    Deed(sensor="p-*", wish=off(3)),
    Deed(sensor="p1", wish=fault(1), after_ns=26_000_000_001, withdrawn=True),
]


def test_a_file_is_read_as_it_was_written():
    lines = [format_deed(deed) for deed in DEEDS]
    assert parse_deeds(lines) == DEEDS
    assert parse_deeds("\n\n".join(lines).encode().splitlines()) == DEEDS


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nothing", "line 3 is no deed: Invalid JSON"),
        ('{"sensor":"p1"}', "line 3 is no deed: Value error, a deed needs its wish"),
        (format_deed(DEEDS[0]).replace('"fault"', '"luck"'), "line 3 is no deed: wish: "),
        (format_deed(DEEDS[0]).replace('"p1"', "1"), "line 3 is no deed: sensor: "),
        (format_deed(DEEDS[0]).replace("25000", "2.5"), "line 3 is no deed: after: "),
    ],
)
def test_a_line_that_is_no_deed_is_named(line, said):
    with pytest.raises(ValueError, match="line 3") as caught:
        parse_deeds([format_deed(DEEDS[0]), "", line])
    assert str(caught.value).startswith(said)


def test_a_withdrawn_wish_does_not_stand_at_the_end_unless_it_comes_back():
    assert standing_at_the_end(DEEDS) == [DEEDS[1], DEEDS[2]]
    assert standing_at_the_end([*DEEDS, DEEDS[0]]) == [DEEDS[1], DEEDS[2], DEEDS[0]]


def test_a_withdrawal_is_of_one_sensor():
    others = [Deed(sensor=name, wish=new_normal(1)) for name in ("p1", "p2")]
    gone = Deed(sensor="p1", wish=new_normal(1), withdrawn=True)
    assert standing_at_the_end([*others, gone]) == [others[1]]


def test_a_pattern_names_sensors_for_off_alone():
    assert Deed(sensor="p-*", wish=off(1)).concerns("p-1")
    assert not Deed(sensor="p-*", wish=off(1)).concerns("P-1")
    assert not Deed(sensor="p-*", wish=forget(1)).concerns("p-1")
    assert Deed(sensor="p[1]", wish=forget(1)).concerns("p[1]")
