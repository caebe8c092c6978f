"""The board of wishes says of every sensor what a look through all records would say."""

from __future__ import annotations

from fnmatch import fnmatchcase

import hypothesis.strategies as st
from hypothesis import given

from schemas.wire.verdict import Off, decode_wishes
from tests.support.wishes import document, false_alarm, fault, new_normal, off, wish_id
from workers.stream.state.wishes import Changes, Difference, WishBoard

SENSORS = ("a", "ab", "b", "b*", "B")
KEYS = (*SENSORS, "*", "a?", "[ab]")
WISHES = [fault(1), false_alarm(2), new_normal(3), off(4), off(5), off(6)]

records = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.one_of(
            st.none(),
            st.just("garbage"),
            st.lists(st.sampled_from(WISHES), unique_by=lambda wish: wish.id, max_size=4),
        ),
    ),
    max_size=12,
)


def written(key, wishes):
    if wishes is None or isinstance(wishes, str):
        return key.encode(), wishes and wishes.encode()
    return key.encode(), document(key, *wishes)


def slowly_standing(found, sensor):
    """By a look at every record from the first one on."""
    last = {}
    for key, value in found:
        if value != b"garbage":
            last[key.decode()] = decode_wishes(key, value).wishes if value else ()
    own = list(last.get(sensor, ()))
    for key in sorted(last):
        if key != sensor and any(sign in key for sign in "*?[") and fnmatchcase(sensor, key):
            own += [wish for wish in last[key] if isinstance(wish, Off)]
    return tuple(own)


def slowly_doubtful(found, sensor):
    last = {key.decode(): value for key, value in found}
    return any(
        value == b"garbage" and (key == sensor or fnmatchcase(sensor, key))
        for key, value in last.items()
    )


@given(records, st.integers(0, 12), st.sets(st.integers(1, 8)))
def test_it_says_what_a_look_through_all_records_says(found, seen, heeded):
    found = [written(*one) for one in found]
    board = WishBoard()
    for at, (key, value) in enumerate(found):
        assert board.revision == at
        board.take(key, value)
    changed = {key.decode() for key, _ in found[seen:]}
    changes = board.changed_since(seen)
    assert changes.sensors == changed
    assert set(changes.among(SENSORS)) == {
        sensor
        for sensor in SENSORS
        if any(
            sensor == key or (any(sign in key for sign in "*?[") and fnmatchcase(sensor, key))
            for key in changed
        )
    }
    for sensor in SENSORS:
        standing = slowly_standing(found, sensor)
        assert board.standing(sensor) == standing
        ids = [wish_id(n) for n in sorted(heeded)]
        gone = [one for one in ids if one not in {wish.id for wish in standing}]
        assert board.difference(sensor, ids) == Difference(
            new=tuple(wish for wish in standing if wish.id not in ids),
            withdrawn=() if slowly_doubtful(found, sensor) else tuple(gone),
        )


def test_the_records_that_compaction_leaves_say_the_same():
    found = [("a", [fault(1)]), ("*", [off(4)]), ("a", [new_normal(3)]), ("*", None)]
    whole, rest = WishBoard(), WishBoard()
    for one in found:
        whole.take(*written(*one))
    for one in found[2:]:
        rest.take(*written(*one))
    assert [whole.standing(sensor) for sensor in SENSORS] == [
        rest.standing(sensor) for sensor in SENSORS
    ]


def test_what_cannot_be_read_withdraws_nothing_and_is_said():
    board = WishBoard()
    board.take(b"a*", b'{"v":2}')
    assert board.difference("ab", [wish_id(1)]) == Difference()
    assert board.difference("b", [wish_id(1)]) == Difference(withdrawn=(wish_id(1),))
    assert "v: Input should be 1" in board.unreadable["a*"]
    board.take(b"a*", None)
    assert board.difference("ab", [wish_id(1)]) == Difference(withdrawn=(wish_id(1),))
    assert board.unreadable == {}


def test_a_key_that_is_no_name_is_left_out():
    board = WishBoard()
    for key in (None, b"", b"\xff"):
        board.take(key, document("a", off(1)))
    assert board.revision == 0
    assert board.changed_since(0) == Changes()


def test_without_a_pattern_only_the_changed_sensors_are_looked_up():
    class Many(dict[str, None]):
        def __iter__(self):
            raise AssertionError("all sensors were looked at")

    board = WishBoard()
    board.take(*written("a", [off(4)]))
    board.take(*written("z", [off(4)]))
    assert board.changed_since(0).among(Many(dict.fromkeys(SENSORS))) == ["a"]
