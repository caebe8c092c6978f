"""What somebody on call does: sees an incident come, takes it, silences it, comments on it."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from playwright.sync_api import expect
from sqlalchemy import insert, select

from tests.support.page import incident_document
from workers.gateway.store import tables

WITHIN_MS = 4000
CUT = ["CONNECTION_REFUSED", "INCOMPLETE_CHUNKED_ENCODING", "CONNECTION_RESET", "EMPTY_RESPONSE"]
"""What a browser says of a connection that is cut."""


def incident(sensor: str, **changes):
    return incident_document(sensor, time.time_ns(), **changes)


def test_an_incident_appears_without_a_reload_and_is_acknowledged_by_a_click(served, open_page):
    at = open_page(served.url, "/incidents").page
    expect(at.get_by_text("No incident yet.")).to_be_visible()
    expect(at.locator(".link-state")).to_have_text("live")

    served.tell("opened", incident("pump-7"))

    row = at.locator("tr[data-incident]")
    expect(row).to_have_count(1, timeout=WITHIN_MS)
    expect(row).to_contain_text("pump-7")
    expect(row).to_contain_text("bearing_temperature")
    expect(at.locator("[aria-live]")).to_contain_text("New incident: pump-7.")
    row.get_by_role("button", name="Acknowledge").click()
    expect(row).to_contain_text("Acknowledged")
    expect(row).to_contain_text("anyone")
    with served.gateway.database.read() as connection:
        states = connection.exec_driver_sql("SELECT state FROM incidents").scalars().all()
    assert states == ["acknowledged"]


def test_what_others_do_is_seen_as_well(served, open_page):
    found = incident("pump-7")
    served.tell("opened", found)
    one, two = (open_page(served.url, "/incidents").page for _ in range(2))
    expect(two.locator("tr[data-incident]")).to_have_count(1)

    one.get_by_role("button", name="Acknowledge").click()
    expect(two.locator("tr[data-incident] .badge").first).to_have_text("Acknowledged")
    served.tell("resolved", {**found, "end": time.time_ns() // 10**6, "end_reason": "recovered"}, 2)
    for page in (one, two):
        expect(page.locator("tr[data-incident] .badge").first).to_have_text("Over")


def test_a_cut_stream_goes_on_without_a_hole(served, open_page):
    served.tell("opened", incident("pump-0"))
    watched = open_page(served.url, "/incidents")
    watched.expected += CUT
    at = watched.page
    expect(at.locator("tr[data-incident]")).to_have_count(1)
    served.tell("opened", incident("pump-1"))  # from now on the page knows a place to go on from
    expect(at.locator("tr[data-incident]")).to_have_count(2)
    asked: list[str] = []
    places: list[str | None] = []

    def note(request):
        asked.append(request.url.removeprefix(served.url))
        if "/v1/stream" in request.url:
            places.append(request.headers.get("last-event-id"))

    at.on("request", note)
    served.stop()
    expect(at.locator(".link-state")).to_have_text("connecting again…")
    late = [incident(f"late-{number}") for number in range(3)]
    for document in late:
        served.tell("opened", document)
    served.tell(
        "resolved", {**late[0], "end": time.time_ns() // 10**6, "end_reason": "recovered"}, 2
    )
    served.start()

    expect(at.locator("tr[data-incident]")).to_have_count(5, timeout=10_000)
    expect(at.locator(".link-state")).to_have_text("live")
    assert [
        at.locator(f"tr[data-incident='{one['id']}'] .badge").first.inner_text() for one in late
    ] == ["Over", "Open", "Open"]
    assert places[-1] == "2", "it went on behind the last event that it had seen"
    assert not any(path.startswith("/v1/incidents?") for path in asked), "the stream told it all"


def test_a_place_that_is_kept_no_more_has_the_list_read_again(served, open_page):
    watched = open_page(served.url, "/incidents")
    watched.expected += CUT
    at = watched.page
    served.tell("opened", incident("pump-1"))
    expect(at.locator("tr[data-incident]")).to_have_count(1)
    served.stop()
    served.tell("opened", incident("pump-2"))
    served.tell("opened", incident("pump-3"))
    with served.gateway.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM events WHERE seq < 3")
    served.start()

    expect(at.locator("tr[data-incident]")).to_have_count(3, timeout=10_000)


def test_one_that_waits_is_counted_and_first_however_many_newer_ones_are_over(served, open_page):
    served.tell("opened", incident("pump-0"))
    with served.gateway.database.begin() as connection:
        row = connection.execute(select(tables.incidents)).mappings().one()
        newer = [
            dict(row) | {
                "id": str(uuid4()), "sensor_id": "fan", "state": "resolved",
                "opened_event_ns": row["opened_event_ns"] + number * 10**9,
                "resolved_ns": row["opened_event_ns"] + number * 10**9,
            }
            for number in range(1, 251)
        ]  # fmt: skip
        connection.execute(insert(tables.incidents), newer)
    at = open_page(served.url, "/incidents").page
    rows = at.locator("tr[data-incident]")

    expect(at.locator(".lead")).to_contain_text("1 waits for somebody")
    expect(at.locator(".nav .count")).to_contain_text("1")
    expect(rows).to_have_count(101)
    expect(rows.first).to_contain_text("pump-0")
    at.get_by_role("button", name="Show older").click()
    expect(rows).to_have_count(201)
    at.get_by_role("button", name="Show older").click()
    expect(rows).to_have_count(251)
    expect(at.get_by_role("button", name="Show older")).to_have_count(0)
    at.get_by_role("button", name="Over", exact=True).click()
    expect(rows).to_have_count(100)
    expect(at.locator(".lead")).to_contain_text("1 waits for somebody")


def test_what_is_not_answered_is_asked_for_again(served, open_page):
    found = incident("pump-7")
    served.tell("opened", found)
    watched = open_page(served.url, "/incidents")
    watched.expected += ["503"]
    at = watched.page
    expect(at.locator("tr[data-incident]")).to_have_count(1)
    failed: list[str] = []

    def fail_once(route):
        if failed:
            route.continue_()
        else:
            failed.append(route.request.url)
            route.fulfill(status=503, json={"detail": "The database does not answer."})

    at.route(f"**/v1/incidents/{found['id']}", fail_once)
    served.tell("resolved", {**found, "end": time.time_ns() // 10**6, "end_reason": "recovered"}, 2)

    expect(at.locator("tr[data-incident] .badge").first).to_have_text("Over", timeout=8000)
    assert failed
    expect(at.get_by_text("The database does not answer.")).to_have_count(0)


def test_however_much_happens_the_page_asks_within_its_rate(served, open_page):
    at = open_page(served.url, "/incidents").page
    expect(at.locator(".link-state")).to_have_text("live")
    asked: list[float] = []

    def note(one: Any) -> None:
        if "/v1/incidents" in one.url:
            asked.append(time.monotonic())

    at.on("request", note)
    until = time.monotonic() + 4
    number = 0
    while time.monotonic() < until:
        served.tell("opened", incident(f"pump-{number}"))
        number += 1
        at.wait_for_timeout(60)

    assert number > 20
    assert len(asked) < 16, "four seconds of 600 a minute are 40, and a token has several pages"
    expect(at.locator("tr[data-incident]")).to_have_count(number, timeout=8000)


def test_that_the_detector_is_not_to_be_trusted_is_said_until_it_is(served, open_page):
    at = open_page(served.url, "/incidents").page
    expect(at.locator(".link-state")).to_have_text("live")
    found = incident("vigie/vigie", kind="detector", reason="nobody reads the readings")
    served.tell("opened", found)

    notice = at.get_by_text("Vigie itself is not healthy")
    expect(notice).to_contain_text("nobody reads the readings")
    at.get_by_role("link", name="Budget and account").click()
    expect(notice).to_be_visible()
    served.tell("resolved", {**found, "end": time.time_ns() // 10**6, "end_reason": "recovered"}, 2)
    expect(notice).to_have_count(0)


def test_a_silence_needs_a_reason_and_is_seen(served, open_page):
    served.tell("opened", incident("pump-7"))
    at = open_page(served.url, "/incidents").page
    at.get_by_role("button", name="Silence").click()
    box = at.get_by_role("dialog")
    box.get_by_role("button", name="8 hours").click()
    box.get_by_role("button", name="Silence", exact=True).click()
    expect(box).to_be_visible()
    box.get_by_label("Reason").fill("bearing is changed today")
    box.get_by_role("button", name="Silence", exact=True).click()

    expect(at.locator("tr[data-incident]")).to_contain_text("silenced")
    found = at.evaluate("fetch('/v1/silences').then((answer) => answer.json())")["items"]
    assert [(one["matchers"][0]["value"], one["comment"]) for one in found] == [
        ("pump-7", "bearing is changed today")
    ]


def test_one_incident_says_why_it_is_one_and_takes_comments(served, open_page):
    found = incident("pump-7")
    served.tell("opened", found)
    at = open_page(served.url, f"/incidents/{found['id']}").page

    expect(at.locator(".said")).to_contain_text("read 64.31 °C, expected 61.02 ± 0.76")
    expect(at.locator("canvas")).to_have_count(1)
    at.get_by_label("Note for those who read it later").fill("ordered a bearing")
    at.get_by_role("button", name="Comment").click()
    expect(at.locator(".comments")).to_contain_text("ordered a bearing")
    at.get_by_role("button", name="Close it").click()
    expect(at.locator(".lead")).to_contain_text("Over")


def test_the_search_asks_the_gateway(served, open_page):
    for sensor in ("pump-7", "fan-2"):
        served.tell("opened", incident(sensor))
    at = open_page(served.url, "/incidents").page
    expect(at.locator("tr[data-incident]")).to_have_count(2)

    at.get_by_label("Search").fill("fan")
    expect(at.locator("tr[data-incident]")).to_have_count(1)
    served.tell("opened", incident("fan-3"))
    expect(at.locator("tr[data-incident]")).to_have_count(2)
