"""`vigie verdict` on a real broker: what is said is written, found and taken back."""

from __future__ import annotations

import getpass
import json
from uuid import UUID

import pytest

from schemas.wire.deed import Deed, format_deed, parse_deeds
from schemas.wire.sensor_state import encode_sensor_state
from tests.support.broker import produce
from tests.support.wishes import new_normal, off
from workers.cli import main as cli
from workers.cli.exits import ExitCode

pytestmark = pytest.mark.kafka

INCIDENT = UUID(int=77)


def incident_event(**more):
    data = {
        "id": str(INCIDENT),
        "sensor_id": "p1",
        "first": 10_000,
        "end": 12_000,
        "charge": 0.5,
        "channels": [{"channel": "flow", "share": 1.0}],
        "latent": [0.5],
    }
    return {"specversion": "1.0", "id": "e", "data": data | more}


@pytest.fixture
def topics(make_topic):
    return {
        "verdicts": make_topic(**{"cleanup.policy": "compact"}),
        "incidents": make_topic(partitions=2),
        "sensor_state": make_topic(partitions=2, **{"cleanup.policy": "compact"}),
    }


@pytest.fixture
def vigie(connection, topics, capsys):
    """The command on these topics: exit code, output and errors."""
    settings = [f"--set=topics.{name}={topic}" for name, topic in topics.items()]

    def run(*arguments):
        capsys.readouterr()
        where = ["--bootstrap", connection.bootstrap, *settings]
        code = cli.main(["verdict", *arguments, *where])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def incident(connection, topics):
    """One that has ended; it was open before."""
    events = [incident_event(end=None), incident_event()]
    records = [{"key": b"p1", "value": json.dumps(one).encode()} for one in events]
    produce(connection, topics["incidents"], records)


def standing(vigie, *sensor):
    code, out, _ = vigie("list", *sensor, "--json")
    assert code == ExitCode.OK
    return parse_deeds(out.splitlines())


def test_a_fault_takes_over_what_the_incident_says(vigie, incident):
    code, out, err = vigie("fault", str(INCIDENT), "--note", "bearing", "--by", "ada", "--json")
    assert (code, err) == (ExitCode.OK, "")
    (deed,) = standing(vigie)
    assert [deed] == parse_deeds(out.splitlines())
    assert (deed.sensor, deed.wish.by, deed.wish.note) == ("p1", "ada", "bearing")
    assert deed.wish.kind == "fault"
    assert (deed.wish.incident, deed.wish.charge) == (INCIDENT, 0.5)
    assert (deed.wish.start_ns, deed.wish.end_ns) == (10_000_000_000, 12_000_000_000)


def test_a_false_alarm_keeps_its_profile_and_replaces_an_earlier_verdict(vigie, incident):
    assert vigie("fault", str(INCIDENT))[0] == ExitCode.OK
    code, _, err = vigie("false-alarm", str(INCIDENT))
    assert code == ExitCode.OK
    assert "takes the place of fault" in err
    (deed,) = standing(vigie)
    assert deed.wish.kind == "false_alarm"
    assert (deed.wish.profile, deed.wish.latent) == ({"flow": 1.0}, (0.5,))
    assert deed.wish.by == getpass.getuser()


def test_the_fault_of_an_open_incident_says_how_far_it_reaches(vigie, connection, topics):
    value = json.dumps(incident_event(end=None, last=11_000)).encode()
    produce(connection, topics["incidents"], [{"key": b"p1", "value": value}])
    code, _, err = vigie("fault", str(INCIDENT))
    assert code == ExitCode.OK
    assert "still open" in err
    assert "1970-01-01T00:00:11Z" in err


def test_an_incident_that_is_not_there_is_an_error_and_writes_nothing(vigie, incident):
    code, _, err = vigie("fault", str(UUID(int=5)))
    assert code == ExitCode.FAILURE
    assert "No incident 00000000-0000-0000-0000-000000000005" in err
    assert standing(vigie) == []


def test_an_incident_of_another_form_says_what_is_missing(vigie, connection, topics):
    value = json.dumps(incident_event(charge=None)).encode()
    produce(connection, topics["incidents"], [{"key": b"p1", "value": value}])
    code, _, err = vigie("false-alarm", str(INCIDENT))
    assert code == ExitCode.FAILURE
    assert "cannot be used: charge" in err


def test_wishes_are_listed_by_sensor_and_withdrawn(vigie):
    assert vigie("new-normal", "p1", "--after", "2026-11-01T06:00:00Z")[0] == ExitCode.OK
    period = ["--from", "2026-11-01T06:00:00Z", "--to", "2026-11-01T07:00:00Z"]
    assert vigie("forget", "p2", *period)[0] == ExitCode.OK
    assert vigie("off", "p*", "--until", "2026-11-02T06:00:00Z")[0] == ExitCode.OK
    assert [(deed.sensor, deed.wish.kind) for deed in standing(vigie)] == [
        ("p*", "off"),
        ("p1", "new_normal"),
        ("p2", "forget"),
    ]
    of_one = standing(vigie, "p1")
    assert [deed.wish.kind for deed in of_one] == ["off", "new_normal"]
    code, out, _ = vigie("list", "p2")
    assert code == ExitCode.OK
    assert f"p*  {of_one[0].wish.id}  off\n    until 2026-11-02T06:00:00Z, by " in out
    assert "forget\n    2026-11-01T06:00:00Z to 2026-11-01T07:00:00Z, by " in out

    code, out, _ = vigie("withdraw", "p*", str(of_one[0].wish.id))
    assert (code, "stands no more for p*" in out) == (ExitCode.OK, True)
    assert [deed.sensor for deed in standing(vigie)] == ["p1", "p2"]
    code, _, err = vigie("withdraw", "p*", str(of_one[0].wish.id))
    assert (code, "vigie verdict list" in err) == (ExitCode.FAILURE, True)
    assert vigie("list", "p9")[1] == "No wish stands.\n"


def test_a_sensor_that_nobody_has_seen_is_a_warning(vigie, connection, topics):
    state = {"value": encode_sensor_state(5, 1, 4, 0, 0), "partition": 1}
    produce(connection, topics["sensor_state"], [{"key": b"pump-1", **state}])
    for name, said in (("pump-1", ""), ("pump-*", ""), ("pmp-1", "is called pmp-1 so far")):
        code, _, err = vigie("off", name)
        assert code == ExitCode.OK
        assert said in err if said else not err
    assert len(standing(vigie)) == 3


def test_deeds_are_printed_as_the_lines_of_their_file(vigie, connection, topics, incident):
    deeds = [
        Deed(sensor="p1", wish=off(1), after_ns=5, offset=3),
        Deed(sensor="p2", wish=new_normal(2), offset=4),
        Deed(sensor="p1", wish=off(1), after_ns=9, offset=8, withdrawn=True),
    ]
    produce(
        connection,
        topics["incidents"],
        [
            {
                "key": deed.sensor.encode(),
                "partition": 0,
                "value": json.dumps(
                    {"specversion": "1.0", "data": json.loads(format_deed(deed))}
                ).encode(),
            }
            for deed in deeds
        ],
    )
    code, out, _ = vigie("deeds")
    assert code == ExitCode.OK
    assert parse_deeds(out.splitlines()) == deeds
    code, out, _ = vigie("deeds", "p1")
    assert parse_deeds(out.splitlines()) == [deeds[0], deeds[2]]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("verdicts", ["list"]), ("incidents", ["deeds"]), ("incidents", ["fault", str(INCIDENT)])],
)
def test_a_missing_topic_says_how_it_is_made(connection, topics, capsys, name, arguments):
    there = topics | {name: "not-there"}
    settings = [f"--set=topics.{name}={topic}" for name, topic in there.items()]
    code = cli.main(["verdict", *arguments, "--bootstrap", connection.bootstrap, *settings])
    assert code == ExitCode.USAGE
    assert "not-there does not exist" in (err := capsys.readouterr().err)
    assert "vigie topics create" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new-normal", "pump-*"], "only off takes a pattern"),
        (["forget", "pump-?", "--from", "x", "--to", "y"], "only off takes a pattern"),
        (["forget", "p", "--from", "yesterday", "--to", "y"], "is not RFC 3339"),
        (
            ["forget", "p", "--from", "2026-11-01T00:00:00Z", "--to", "2026-10-01T00:00:00Z"],
            "comes before --from",
        ),
        (["off", "p", "--until", "never"], "is not RFC 3339"),
        (["off", ""], "1 to 249 letters"),
        (["off", "p" * 250], "1 to 249 letters"),
        (["off", "p", "--note", "x" * 1001], "note: String should have at most 1000"),
        (["off", "p", "--after", "soon"], "is not RFC 3339"),
        (["fault", "17"], "a valid UUID"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(vigie, arguments, said):
    code, _, err = vigie(*arguments)
    assert code == ExitCode.USAGE
    assert said in " ".join(err.replace("│", " ").split())


def test_a_broker_that_is_away_is_said_at_once(free_port, capsys):
    code = cli.main(["verdict", "list", "--bootstrap", f"127.0.0.1:{free_port}"])
    assert code == ExitCode.BROKER_UNAVAILABLE
