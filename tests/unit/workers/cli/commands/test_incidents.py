"""`vigie incidents` and `vigie silences`: what people see and do at a terminal."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

from tests.support.asked import Asked, Ended, whole_event
from workers.cli.exits import ExitCode

FIRST, SECOND = str(UUID(int=1)), str(UUID(int=2))


def opened(id_: str, sensor: str, **data: object) -> dict[str, object]:
    return whole_event("opened", id_=id_, sensor=sensor, **data)


def two(gateway: Asked) -> None:
    gateway.happens(
        opened(FIRST, "pump-1", severity="low"), opened(SECOND, "pump-2", labels={"site": "Paris"})
    )


def listed(gateway: Asked, *options: str) -> list[str]:
    return [one["id"] for one in gateway.vigie("incidents", "list", *options, "--json").json]


def failed(ended: Ended, words: str, code: ExitCode = ExitCode.FAILURE) -> None:
    assert ended.code == code, ended
    assert words in " ".join(ended.err.replace("│", " ").split())


def test_the_list_shows_what_goes_on_with_its_id(gateway: Asked) -> None:
    assert gateway.vigie("incidents", "list").out == "No incidents.\n"
    two(gateway)
    gateway.happens(whole_event("resolved", id_=SECOND, sensor="pump-2"))
    shown = gateway.vigie("incidents", "list").out.splitlines()
    assert len(shown) == 3
    assert shown[1].split()[2:] == ["open", "low", "3.2", "pump-1", FIRST]
    assert "bearing temperature high: 81.24 instead of 63 ± 2.1 °C" in shown[2]


def test_each_filter_of_the_list_filters(gateway: Asked) -> None:
    two(gateway)
    assert set(listed(gateway)) == {FIRST, SECOND}
    for options, ids in {
        ("--sensor", "pump-1"): [FIRST],
        ("--severity", "low"): [FIRST],
        ("--label", "site=Paris"): [SECOND],
        ("--search", "paris"): [SECOND],
        ("--kind", "drift"): [],
        ("--limit", "1", "--sensor", "pump-2"): [SECOND],
        ("--until", "2020-01-01T00:00:00Z"): [],
        ("--suppressed",): [],
        ("--state", "resolved"): [],
    }.items():
        assert listed(gateway, *options) == ids, options
    assert set(listed(gateway, "--since", "2020-01-01T00:00:00Z", "--all")) == {FIRST, SECOND}
    failed(gateway.vigie("incidents", "list", "--since", "noon"), "RFC 3339", ExitCode.USAGE)


def test_an_incident_is_acknowledged_commented_and_resolved(gateway: Asked) -> None:
    two(gateway)
    acknowledge = ("incidents", "acknowledge", FIRST, "--until", "8h", "--comment", "on my way")
    assert "acknowledged by tester until" in gateway.vigie(*acknowledge).out
    assert listed(gateway, "--state", "acknowledged") == [FIRST]
    assert set(listed(gateway)) == {FIRST, SECOND}
    gateway.vigie("incidents", "comment", FIRST, "part\nordered")
    notes = gateway.vigie("incidents", "comments", FIRST).out.splitlines()
    assert [line.split("  ")[1] for line in notes] == [
        "tester: on my way",
        "tester: part\\nordered",
    ]
    assert gateway.vigie("incidents", "unacknowledge", FIRST).code == ExitCode.OK
    failed(gateway.vigie("incidents", "unacknowledge", FIRST), "cannot be unacknowledged")
    assert gateway.vigie("incidents", "resolve", FIRST, "--comment", "shut").code == ExitCode.OK
    shown = gateway.vigie("incidents", "show", FIRST).out
    assert "by tester" in shown
    assert "site=Lyon" in shown
    failed(gateway.vigie("incidents", "resolve", FIRST), "cannot be resolved")


def test_several_are_acknowledged_by_ids_or_by_what_matches(gateway: Asked) -> None:
    two(gateway)
    ended = gateway.vigie("incidents", "acknowledge", "--match", 'site="Paris"')
    assert ended.out == "1 acknowledged\n"
    assert listed(gateway, "--state", "acknowledged") == [SECOND]
    nobody = str(uuid4())
    failed(gateway.vigie("incidents", "acknowledge", FIRST, nobody), nobody)
    assert set(listed(gateway, "--state", "acknowledged")) == {FIRST, SECOND}
    failed(gateway.vigie("incidents", "acknowledge"), "one of the two", ExitCode.USAGE)
    failed(
        gateway.vigie("incidents", "acknowledge", FIRST, "--match", "a=b"), "one of the two",
        ExitCode.USAGE,
    )  # fmt: skip


def test_what_happened_is_followed_from_a_number_on(gateway: Asked) -> None:
    two(gateway)
    gateway.vigie("incidents", "acknowledge", FIRST)
    ended = gateway.vigie("incidents", "follow", "--after", "0", "--count", "3")
    lines = [line.split("  ")[1:] for line in ended.out.splitlines()]
    assert lines[0] == ["incident.opened", "pump-1", "low", "3.2", FIRST]
    assert [line[0] for line in lines] == ["incident.opened"] * 2 + ["incident.acknowledged"]
    assert lines[2][-1] == "by tester"
    only = ("--type", "incident.acknowledged", "--after", "1", "--count", "1", "--json")
    (text,) = gateway.vigie("incidents", "follow", *only).out.splitlines()
    assert json.loads(text)["data"]["id"] == FIRST


def test_a_hostile_name_commands_no_terminal(gateway: Asked) -> None:
    gateway.happens(opened(FIRST, "pump\x1b[2J\n[bold]x"))
    for command in (("list",), ("show", FIRST), ("follow", "--after", "0", "--count", "1")):
        shown = gateway.vigie("incidents", *command).out
        assert "\x1b" not in shown
        assert "pump\\x1b[2J\\n[bold]x" in shown.replace(" ", "")


def test_silences_begin_are_listed_and_end(gateway: Asked) -> None:
    two(gateway)
    create = ("silences", "create", "--match", 'site="Paris"', "--match", "severity=~high|low")
    made = gateway.vigie(*create, "--until", "2h", "--comment", "overhaul", "--json").json
    shown = gateway.vigie("silences", "list").out
    assert f'{made["id"]}  active  site="Paris", severity=~"high|low"' in shown
    assert "by tester: overhaul" in shown
    assert f"silenced by {made['id']}" in gateway.vigie("incidents", "list").out
    assert gateway.vigie("silences", "end", made["id"]).code == ExitCode.OK
    assert gateway.vigie("silences", "list").out == "Nothing is silenced.\n"
    assert "expired" in gateway.vigie("silences", "list", "--expired").out
    later = gateway.vigie(
        *create, "--from", "1h", "--until", "2099-01-01T00:00:00Z", "--comment", "c"
    )
    assert "pending" in later.out
    failed(
        gateway.vigie("silences", "create", "--match", "a=~.*", "--until", "2h", "--comment", "c"),
        "fit everything",
        ExitCode.USAGE,
    )
