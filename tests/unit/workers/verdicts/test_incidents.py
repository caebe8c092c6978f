"""What is found among the events of the incidents, and what is no such event."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from schemas.wire.deed import Deed, format_deed
from schemas.wire.verdict import MAX_LATENT, MAX_PROFILE
from tests.support.wishes import WHO, false_alarm, fault, new_normal, off, wish_id
from workers.verdicts.incidents import deeds_of, find_incident

ONE, OTHER = UUID(int=1), UUID(int=2)


def incident(**more):
    return {
        "id": str(ONE),
        "sensor_id": "p1",
        "first": 10_000,
        "last": 11_000,
        "end": None,
        "charge": 0.5,
        "channels": [{"channel": "heat", "share": 0.25}, {"channel": "flow", "share": 0.75}],
        "latent": [0.5, -1.0],
    } | more


def event(data):
    """In the structured mode."""
    return json.dumps({"specversion": "1.0", "id": "e", "data": data}).encode()


def test_the_last_event_of_an_incident_counts():
    found = find_incident(
        ONE,
        [
            event(incident()),
            None,
            b"x",
            event(incident(id=str(OTHER))),
            event(incident(end=12_000)),
        ],
    )
    assert found is not None
    assert (found.sensor_id, found.until_ns, found.is_open) == ("p1", 12_000_000_000, False)
    assert found.profile == {"flow": 0.75, "heat": 0.25}
    assert found.position == (0.5, -1.0)


def test_an_open_incident_lasts_to_what_is_known_of_it():
    found = find_incident(ONE, [event(incident())])
    assert found is not None
    assert found.is_open
    assert found.until_ns == 11_000_000_000


def test_an_event_in_the_binary_mode_is_its_data():
    assert find_incident(ONE, [json.dumps(incident()).encode()]) is not None


def test_what_only_names_an_incident_is_not_it():
    deed = {"sensor_id": "p1", "id": "d", "wish": {"incident": str(ONE)}}
    assert find_incident(ONE, [event(deed), str(ONE).encode(), b'["' + str(ONE).encode()]) is None


def test_an_event_that_lacks_what_a_verdict_needs_is_an_error():
    lacking = incident()
    del lacking["charge"]
    with pytest.raises(ValueError, match=r"incident .*1 cannot be used: charge: Field required"):
        find_incident(ONE, [event(lacking)])


def test_a_profile_is_of_the_largest_shares_and_a_latent_of_a_foreign_size_is_left_out():
    many = [{"channel": f"c{n:03}", "share": n / 1000} for n in range(100)]
    found = find_incident(ONE, [event(incident(channels=many, latent=[0.0] * (MAX_LATENT + 1)))])
    assert found is not None
    assert next(iter(found.profile)) == "c099"
    assert len(found.profile) == MAX_PROFILE
    assert found.position == ()


def test_deeds_are_given_in_order_each_once():
    deeds = [
        Deed(sensor="p1", wish=off(1), offset=4),
        Deed(sensor="p2", wish=new_normal(2), offset=5),
    ]
    values = [event(json.loads(format_deed(deed))) for deed in deeds]
    noise = [event(incident()), None, b'{"wish"', event({"wish": {"kind": "later"}}), b'"wish"']
    assert list(deeds_of([*noise, values[0], *values, *values])) == deeds


def test_a_verdict_takes_over_what_the_incident_says():
    judged = find_incident(ONE, [event(incident(end=12_000))])
    assert judged is not None
    assert judged.as_fault(id=wish_id(3), **WHO) == fault(3, end_ns=12_000_000_000)
    assert judged.as_false_alarm(id=wish_id(4), **WHO) == false_alarm(4, charge=0.5)
