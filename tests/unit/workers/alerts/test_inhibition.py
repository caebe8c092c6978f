"""Which open incident mutes another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.settings.gateway import Inhibition
from tests.support.alert_specs import examples, label_sets, matcher, matchers, sensors
from workers.alerts.inhibition import MAX_ANCESTORS, OpenIncidents
from workers.alerts.matchers import LabelMatchers

HIGH = matcher("severity", "=", "high")
LOW = matcher("severity", "=", "low")


def table(source=(), target=(), equal=(), parent=""):
    return Inhibition(source=tuple(source), target=tuple(target), equal=equal, parent=parent)


def opened(tables, incidents, **options):
    found = OpenIncidents(tables, **options)
    for id_, labels in incidents.items():
        found.add(id_, labels)
    return found


def muting(some, id_, labels):
    found = some.inhibiting(id_, labels)
    return None if found is None else found.by


def test_an_open_incident_mutes_those_that_share_the_labels():
    some = opened(
        [table([HIGH], [LOW], equal=("site",))], {"a": {"severity": "high", "site": "lyon"}}
    )

    assert muting(some, "b", {"severity": "low", "site": "lyon"}) == "a"
    assert muting(some, "b", {"severity": "low", "site": "paris"}) is None
    assert muting(some, "b", {"severity": "medium", "site": "lyon"}) is None
    assert "shares site" in some.inhibiting("b", {"severity": "low", "site": "lyon"}).reason


def test_two_that_both_lack_a_label_share_it():
    some = opened([table([HIGH], [LOW], equal=("site",))], {"a": {"severity": "high"}})

    assert muting(some, "b", {"severity": "low"}) == "a"
    assert muting(some, "b", {"severity": "low", "site": ""}) == "a"
    assert muting(some, "b", {"severity": "low", "site": "lyon"}) is None


def test_an_incident_that_is_over_mutes_nobody():
    some = opened([table([HIGH], [LOW])], {"a": {"severity": "high"}, "c": {"severity": "high"}})

    some.remove("a")
    assert muting(some, "b", {"severity": "low"}) == "c"
    some.remove("c")
    some.remove("never there")
    assert muting(some, "b", {"severity": "low"}) is None
    assert len(some) == 0


def test_an_incident_whose_labels_change_mutes_by_the_new_ones():
    some = opened([table([HIGH], [LOW], equal=("site",))], {"a": {"severity": "high"}})

    some.add("a", {"severity": "high", "site": "lyon"})
    assert muting(some, "b", {"severity": "low"}) is None
    assert muting(some, "b", {"severity": "low", "site": "lyon"}) == "a"
    some.add("a", {"severity": "low", "site": "lyon"})
    assert muting(some, "b", {"severity": "low", "site": "lyon"}) is None


def test_no_incident_mutes_itself():
    both = {"severity": "high"}
    some = opened([table([HIGH], [matcher("site", "=", "")])], {"a": both})

    assert muting(some, "a", both) is None


def test_no_incident_mutes_what_it_has_become():
    some = opened([table([HIGH], [LOW])], {"a": {"severity": "high"}})

    assert muting(some, "a", {"severity": "low"}) is None
    assert muting(some, "b", {"severity": "low"}) == "a"


def test_two_that_match_both_sides_do_not_mute_each_other():
    some = opened([table([HIGH], [])], {"a": {"severity": "high"}, "b": {"severity": "high"}})

    assert muting(some, "a", {"severity": "high"}) is None
    assert muting(some, "b", {"severity": "high"}) is None
    assert muting(some, "c", {"severity": "low"}) == "a"


def test_the_detector_mutes_the_sensors_and_not_itself():
    some = opened([], {"d": {"kind": "detector"}, "e": {"kind": "detector"}})

    assert muting(some, "a", {"kind": "anomaly"}) == "d"
    assert muting(some, "d", {"kind": "detector"}) is None
    some.remove("d")
    assert muting(some, "a", {}) == "e"
    some.remove("e")
    assert muting(some, "a", {}) is None


ABOVE = table(parent="above")


def sensor(name, above="", **labels):
    return {"sensor_id": name, "above": above, **labels}


def test_an_incident_of_the_sensor_above_mutes():
    some = opened([ABOVE], {"p": sensor("line"), "q": sensor("other")})

    assert muting(some, "a", sensor("pump", "line")) == "p"
    assert muting(some, "a", sensor("pump", "hall")) is None
    assert muting(some, "a", sensor("pump")) is None
    assert muting(some, "p", sensor("line")) is None


def test_the_nearest_sensor_above_that_matches_mutes_over_several_levels():
    some = opened(
        [table([HIGH], parent="above")],
        {
            "line": sensor("line", "hall", severity="low"),
            "hall": sensor("hall", "site", severity="high"),
            "site": sensor("site", severity="high"),
        },
    )

    assert muting(some, "a", sensor("pump", "line")) == "hall"
    some.remove("hall")
    assert muting(some, "a", sensor("pump", "line")) is None


def test_the_way_up_passes_sensors_without_an_incident_where_it_is_known():
    known = {"line": "hall", "hall": "site"}
    some = opened(
        [ABOVE], {"s": sensor("site")}, parent_of=lambda name, _label: known.get(name, "")
    )

    assert muting(some, "a", sensor("pump", "line")) == "s"
    assert muting(some, "a", sensor("pump", "elsewhere")) is None


def test_sensors_above_themselves_mute_what_is_below_and_not_each_other():
    some = opened(
        [ABOVE],
        {
            "a": sensor("x", "y"),
            "b": sensor("y", "z"),
            "c": sensor("z", "x"),
            "s": sensor("s", "s"),
        },
    )

    assert muting(some, "a", sensor("x", "y")) is None
    assert muting(some, "b", sensor("y", "z")) is None
    assert muting(some, "s", sensor("s", "s")) is None
    assert muting(some, "below", sensor("pump", "x")) == "a"


def test_a_way_up_that_hardly_ends_mutes_nobody():
    many = {f"i{n}": sensor(f"s{n}", f"s{n + 1}") for n in range(1, MAX_ANCESTORS + 3)}
    some = opened([ABOVE], many)

    assert muting(some, "a", sensor("s0", "s1")) is None
    assert muting(some, "a", sensor("s3", "s4")) == "i4"


def test_a_parent_has_to_share_the_labels_too():
    some = opened([table(parent="above", equal=("shift",))], {"p": sensor("line", shift="1")})

    assert muting(some, "a", sensor("pump", "line", shift="1")) == "p"
    assert muting(some, "a", sensor("pump", "line", shift="2")) is None


def test_a_table_without_source_and_parent_is_rejected():
    with pytest.raises(ValueError, match="needs `source` or `parent`"):
        OpenIncidents([table(target=[LOW], equal=("site",))])


TABLES = st.builds(
    Inhibition,
    source=st.lists(matchers(), min_size=1, max_size=2).map(tuple),
    target=st.lists(matchers(), max_size=2).map(tuple),
    equal=st.sampled_from([(), ("site",), ("site", "line"), ("missing",)]),
)
LABELS = st.tuples(sensors, label_sets, st.sampled_from(["low", "high"])).map(
    lambda drawn: {**drawn[1], "sensor_id": drawn[0], "severity": drawn[2], "kind": "anomaly"}
)
INCIDENTS = st.dictionaries(st.sampled_from("abcdef"), LABELS, max_size=6)


def naive(tables, incidents, id_, labels):
    """Alertmanager's documentation, incident by incident."""
    for one in tables:
        source, target = LabelMatchers.of(one.source), LabelMatchers.of(one.target)
        if not target.match(labels):
            continue
        for other, own in incidents.items():
            is_other = other != id_ and source.match(own)
            is_equal = all(own.get(name, "") == labels.get(name, "") for name in one.equal)
            is_two_sided = source.match(labels) and target.match(own)
            if is_other and is_equal and not is_two_sided:
                return True
    return False


@examples(80)
@given(
    st.lists(TABLES, min_size=1, max_size=2),
    INCIDENTS,
    st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | LABELS), max_size=6),
    LABELS,
)
def test_what_mutes_equals_the_documentation_read_word_by_word(tables, incidents, changes, labels):
    some, now = opened(tables, incidents), dict(incidents)
    for id_, after in changes:
        some.remove(id_) if after is None else some.add(id_, after)
        now.pop(id_, None)
        now |= {} if after is None else {id_: after}

    for id_, own in [*now.items(), ("new", labels)]:
        assert (some.inhibiting(id_, own) is not None) is naive(tables, now, id_, own)


@examples(80)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("abcdefghx"), min_size=1))
def test_of_all_that_is_open_somebody_is_told_whatever_is_above_what(above):
    some = opened([ABOVE], {name: sensor(name, parent) for name, parent in above.items()})

    told = [n for n, parent in above.items() if some.inhibiting(n, sensor(n, parent)) is None]

    assert told
    for name in above:
        # Whoever is muted has somebody above who is told.
        way = [name]
        while (up := above.get(way[-1])) in above and up not in way:
            way.append(up)
        assert set(way) & set(told)
