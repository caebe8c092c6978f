"""What a document becomes when a wish is added or withdrawn."""

from __future__ import annotations

import pytest

from schemas.wire.deed import Deed
from schemas.wire.verdict import MAX_WISHES
from tests.support.wishes import document, false_alarm, fault, forget, new_normal, off, wish_id
from workers.errors import VigieError
from workers.verdicts.standing import no_wishes, standing_in, with_wish, without_wish


def standing(*wishes):
    return no_wishes("p1").model_copy(update={"wishes": wishes})


def test_a_wish_stands_behind_those_that_were_there():
    assert with_wish(standing(off(1)), forget(2)).wishes == (off(1), forget(2))


def test_a_wish_written_twice_stands_once_as_it_was():
    assert with_wish(standing(off(1), forget(2)), off(1, note="again")).wishes == (
        off(1),
        forget(2),
    )


def test_a_verdict_replaces_the_one_on_the_same_incident():
    before = standing(false_alarm(1, incident=7), fault(2, incident=8), new_normal(3))
    assert with_wish(before, fault(4, incident=7)).wishes == (
        fault(2, incident=8),
        new_normal(3),
        fault(4, incident=7),
    )


def test_the_oldest_false_alarm_makes_room():
    others = [off(n) for n in range(MAX_WISHES - 2)]
    alarms = [false_alarm(n, incident=n) for n in (90, 91)]
    full = standing(*others, *alarms)
    assert with_wish(full, off(99)).wishes == (*others, alarms[1], off(99))
    assert with_wish(full, fault(99, incident=91)).wishes == (
        *others,
        alarms[0],
        fault(99, incident=91),
    )


def test_a_full_document_without_false_alarms_says_what_to_do():
    full = standing(*(fault(n, incident=n) for n in range(MAX_WISHES)))
    with pytest.raises(VigieError, match=r"16 wishes stand for p1.*vigie verdict withdraw"):
        with_wish(full, off(99))


def test_a_withdrawn_wish_stands_no_more():
    assert without_wish(standing(off(1), forget(2)), wish_id(1)).wishes == (forget(2),)
    with pytest.raises(VigieError, match=r"stands for p1: vigie verdict list"):
        without_wish(standing(off(1)), wish_id(2))


def test_a_whole_topic_is_told_as_lines_of_a_file_and_what_is_unreadable_by_its_key():
    found = {
        b"p2": document("p2", new_normal(2, after_ns=5)),
        b"p1": document("p1", off(1), forget(3)),
        b"p3": b'{"v":2}',
        b"p\xff": b"",
    }
    deeds, unreadable = standing_in(found)
    assert deeds == [
        Deed(sensor="p1", wish=off(1)),
        Deed(sensor="p1", wish=forget(3)),
        Deed(sensor="p2", after_ns=5, wish=new_normal(2, after_ns=5)),
    ]
    assert [said.partition(":")[0] for said in unreadable] == [
        "the wishes of b'p3'",
        "the wishes of b'p\\xff'",
    ]
