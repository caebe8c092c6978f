"""Which subscriptions want an event, and the index that finds them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.alert_specs import GLOBS, SENSORS, alert, alerts, examples, spec_of, specs
from tests.support.notifications import gateway_event
from workers.alerts.event import AlertEvent
from workers.alerts.interest import Interest, InterestIndex
from workers.alerts.labels import RANKS


def wants(event, **spec):
    return Interest.of(spec_of(**spec)).wants(event)


def test_a_subscription_is_told_of_openings_and_ends_unless_it_says_otherwise():
    assert wants(alert("opened"))
    assert wants(alert("resolved"))
    assert not wants(alert("updated"))
    assert wants(alert("updated"), types=["incident.updated"])


@pytest.mark.parametrize(
    ("least", "expected"), [("low", True), ("medium", True), ("high", False), (None, True)]
)
def test_the_least_severity_is_wanted_too(least, expected):
    assert wants(alert(severity="medium"), min_severity=least) is expected


@pytest.mark.parametrize(("least", "expected"), [(0, True), (3.2, True), (3.3, False)])
def test_the_least_score_is_wanted_too(least, expected):
    assert wants(alert(peak=3.2), min_score=least) is expected


def test_an_incident_whose_severity_is_not_known_has_less_than_any():
    assert not wants(alert(severity="dire"), min_severity="low")
    assert not wants(alert(peak=None), min_score=0.0)


@pytest.mark.parametrize(
    ("sensors", "expected"),
    [
        (["pump-7"], True),
        (["pump-*"], True),
        (["valve-*", "*-7"], True),
        (["Pump-7"], False),
        (["pump"], False),
        (["ump-7"], False),
        ([], True),
    ],
)
def test_sensors_are_names_or_patterns(sensors, expected):
    assert wants(alert(sensor="pump-7"), sensors=sensors) is expected


def test_a_name_that_reads_like_a_pattern_is_itself():
    assert wants(alert(sensor="valve-[1]"), sensors=["valve-[1]"])


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(["vibration"], True), (["bear*"], True), (["flow", "vib*"], True), (["flow"], False)],
)
def test_one_of_the_channels_is_enough(channels, expected):
    assert wants(alert(), channels=channels) is expected


def test_filters_and_matchers_both_have_to_pass():
    filters = [{"prefix": {"subject": "pump"}}]
    matchers = [{"name": "site", "value": "Lyon"}]

    assert wants(alert(sensor="pump-7"), filters=filters, matchers=matchers)
    assert not wants(alert(sensor="valve-7"), filters=filters, matchers=matchers)
    assert not wants(alert(labels={"site": "Paris"}), filters=filters, matchers=matchers)


def test_who_names_the_type_hears_of_vigies_health_whatever_sensors_it_watches():
    event = AlertEvent.of({**alert(kind="detector").document, "type": "detector.unhealthy"})
    narrow = {"sensors": ["a"], "channels": ["b"], "min_severity": "high", "min_score": 99}

    assert wants(event, types=["detector.unhealthy"], **narrow)
    assert not wants(event, **narrow)
    assert not wants(event, types=["detector.unhealthy"], matchers=[{"name": "site", "value": "x"}])


def test_an_expression_that_is_wrong_is_found_when_a_subscription_is_made():
    with pytest.raises(ValueError, match="no regular expression"):
        Interest.of(spec_of(matchers=[{"name": "a", "value": "(", "isRegex": True}]))


def naive(spec, event):
    """A subscription without sensors, filters and matchers, condition by condition."""
    if event.type not in [kind.value for kind in spec.types]:
        return False
    if not event.is_of_sensor:
        return True
    return all(
        [
            spec.min_severity is None
            or (event.severity is not None and RANKS[event.severity] >= RANKS[spec.min_severity]),
            spec.min_score is None or (event.peak or 0.0) >= spec.min_score,
            not spec.sensors
            or any(event.subject == one or fnmatchcase(event.subject, one) for one in spec.sensors),
            not spec.channels
            or any(fnmatchcase(name, one) for name in event.channels for one in spec.channels),
        ]
    )


@examples(80)
@given(specs(), alerts())
def test_a_subscription_wants_what_its_conditions_say_one_by_one(spec, event):
    plain = spec.model_copy(update={"filters": (), "matchers": ()})

    assert Interest.of(plain).wants(event) is naive(plain, event)


@examples(40)
@given(st.lists(specs(), min_size=3, max_size=14), st.lists(alerts(), min_size=1, max_size=8))
def test_the_index_finds_what_asking_each_would(some, events):
    interests = {f"s{place}": Interest.of(spec) for place, spec in enumerate(some)}
    index = InterestIndex.of(interests)

    for event in events:
        each = [id_ for id_, interest in interests.items() if interest.wants(event)]
        assert index.wanting(event) == each


@examples(20)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.none() | specs()), min_size=4, max_size=8),
    st.lists(alerts(), min_size=1, max_size=4),
)
def test_an_index_that_was_changed_equals_a_new_one(changes, events):
    index = InterestIndex.of({})
    interests: dict[str, Interest] = {}

    for number, spec in changes:
        if spec is None:
            index.remove(f"s{number}")
            interests.pop(f"s{number}", None)
        else:
            index.put(f"s{number}", Interest.of(spec))
            interests[f"s{number}"] = Interest.of(spec)

    fresh = InterestIndex.of(interests)
    for event in events:
        assert index.wanting(event) == fresh.wanting(event)


@examples(60)
@given(
    st.lists(st.text(alphabet="ab-[]!*?", min_size=1, max_size=5), min_size=1, max_size=6),
    st.text(alphabet="ab-[]!*?", min_size=1, max_size=5),
)
@example(["[ab]b", "a[!]b]", "[*]a", "*[*"], "ab")
def test_the_index_knows_every_pattern(globs, sensor):
    interests = {glob: Interest.of(spec_of(sensors=[glob])) for glob in globs}

    found = InterestIndex.of(interests).wanting(alert(sensor=sensor))

    assert found == [g for g in interests if g == sensor or fnmatchcase(sensor, g)]


def test_every_way_into_the_index_is_one_that_events_take():
    """Or the comparison above would compare little."""
    ways: list[dict[str, Any]] = [
        *({"sensors": [name]} for name in (*SENSORS, *GLOBS)),
        {"matchers": [{"name": "site", "value": "Lyon"}, {"name": "kind", "value": "anomaly"}]},
        {"filters": [{"all": [{"exact": {"subject": "pump-1"}}]}]},
        {"min_score": 1},
    ]
    index = InterestIndex.of({str(n): Interest.of(spec_of(**way)) for n, way in enumerate(ways)})

    found = {int(id_) for name in SENSORS for id_ in index.wanting(alert(sensor=name))}

    assert found == set(range(len(ways)))


def test_an_event_about_no_incident_reaches_who_named_its_type():
    index = InterestIndex.of(
        {
            "a": Interest.of(spec_of(types=["subscription.disabled"], sensors=["pump-1"])),
            "b": Interest.of(spec_of()),
        }
    )

    assert index.wanting(AlertEvent.of(gateway_event("subscription.disabled"))) == ["a"]


def test_those_who_want_an_event_come_in_the_order_in_which_they_were_taken_in():
    wide, narrow = Interest.of(spec_of()), Interest.of(spec_of(sensors=["other"]))
    index = InterestIndex.of({str(n): wide if n in {1, 8, 40} else narrow for n in range(41)})

    assert index.wanting(alert()) == ["1", "8", "40"]

    index.put("1", Interest.of(spec_of(min_score=1)))
    index.put("3", wide)
    assert index.wanting(alert()) == ["1", "3", "8", "40"]

    index.remove("1")
    index.put("1", wide)
    assert index.wanting(alert()) == ["3", "8", "40", "1"]


def test_few_of_many_subscriptions_are_asked():
    site = "site"
    kind = {"name": "kind", "value": "anomaly"}
    some = {}
    for n in range(200):
        some[f"sensor {n}"] = spec_of(sensors=[f"pump-{n}", f"valve-{n}"])
        some[f"pattern {n}"] = spec_of(sensors=[f"line{n}-*", f"*.{n}"])
        some[f"label {n}"] = spec_of(matchers=[kind, {"name": site, "value": f"s{n}"}])
        some[f"either {n}"] = spec_of(
            matchers=[kind, {"name": site, "value": f"s{n}|t{n}", "isRegex": True}]
        )
        some[f"filter {n}"] = spec_of(filters=[{"any": [{"prefix": {"subject": f"hall{n}/"}}]}])
    index = InterestIndex.of({id_: Interest.of(spec) for id_, spec in some.items()})
    event = alert(sensor="pump-7", labels={"site": "s3"})

    assert index.wanting(event) == ["label 3", "either 3", "sensor 7"]
    assert len(index._candidates(event)) == 3
