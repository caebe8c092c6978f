"""The views themselves: what they show, who can use them, and that nothing in them runs."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from urllib.parse import quote

import numpy as np
from playwright.sync_api import expect

from tests.support.page import CHANNELS, SECOND_NS, Plant, incident_document

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
AXE_SHA256 = "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    '"><script>alert(1)</script>',
    "\u202egnp.exe\u2066",
    "../../session",
    "a/b c?d#e%2e%2e",
    "${7*7}{{7*7}}<!--",
)


def now_ns() -> int:
    return time.time_ns() // SECOND_NS * SECOND_NS


def fed(served, sensors, *, seconds=600, every=1, **plant):
    """A plant that has run for a while; goes on with `feed`."""
    made = Plant(sensors, **plant)
    made.feed(served.live, now_ns() - np.arange(seconds, 0, -every) * SECOND_NS)
    return made


def test_the_fleet_is_worst_first_and_moves_on_by_itself(served, open_page):
    sensors = [f"pump-{i}" for i in range(5)]
    plant = fed(served, sensors, labels={"pump-3": {"site": "Lyon"}})
    at = open_page(served.url).page
    expect(at.locator(".strip-list a")).to_have_count(5)
    expect(at.locator(".lead")).to_contain_text("5 sensors, none above the threshold now")

    plant.faults.append(("pump-3", now_ns() - SECOND_NS, now_ns() + 600 * SECOND_NS, 40.0))
    plant.feed(served.live, now_ns() + np.arange(2) * SECOND_NS)

    expect(at.locator(".lead")).to_contain_text("1 above the threshold now")
    at.mouse.move(5, 5)
    expect(at.locator(".strip-list a").first).to_contain_text("pump-3", timeout=8000)
    at.get_by_role("button", name="Day").click()
    expect(at.locator(".lead")).to_contain_text("24 hours")
    at.get_by_label("Find a sensor").fill("pump-4")
    expect(at.locator(".strip-list a")).to_have_count(1)


def test_a_thousand_sensors_are_drawn_a_screen_at_a_time(served, open_page):
    fed(served, [f"sensor-{i:04d}" for i in range(1000)], seconds=600, every=60)
    at = open_page(served.url).page
    expect(at.locator(".lead")).to_contain_text("1,000 sensors")
    assert at.locator(".strip-list a").count() < 80

    spent_ms = at.evaluate(
        """async () => {
          const box = document.querySelector(".strip-scroll");
          const frames = [];
          for (let i = 0; i < 30; i += 1) {
            const began = performance.now();
            box.scrollTop = i * 600;
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            frames.push(performance.now() - began);
          }
          return frames.sort((a, b) => a - b)[15];
        }"""
    )
    assert spent_ms < 200, "two frames, on whatever machine this is"
    at.locator(".strip-list a").first.focus()
    at.keyboard.press("End")
    expect(at.locator(".strip-list a[data-row='999']")).to_be_focused()


def test_one_sensor_is_followed_live_and_shows_its_day(served, open_page):
    start = now_ns()
    plant = fed(
        served,
        ["pump-0", "pump-1"],
        faults=[("pump-1", start - 120 * SECOND_NS, start + 600 * SECOND_NS, 3.0)],
    )
    at = open_page(served.url, "/sensors/pump-1").page
    expect(at.locator(".chart canvas")).to_have_count(1 + len(CHANNELS))
    expect(at.locator(".bars li").first).to_contain_text("bearing_temperature")
    expect(at.locator(".lead")).to_contain_text("above the threshold")
    shown = at.locator(".chart-title .value").first
    before = shown.inner_text()

    plant.feed(served.live, now_ns() + np.arange(3) * SECOND_NS)
    expect(shown).not_to_have_text(before)
    at.get_by_role("button", name="Last day").click()
    expect(shown).to_have_text("each 5 minutes")
    at.get_by_text("The same as a table").click()
    expect(at.locator("details[open] tbody tr").first).to_be_visible()


def test_an_hour_of_readings_takes_no_more_memory_than_ten_minutes(served, open_page):
    """The page follows a sensor while an hour comes in at once, five readings a second."""
    plant = Plant([f"pump-{i}" for i in range(5)])
    begin, step = now_ns() - 3600 * SECOND_NS, 300
    plant.feed(served.live, begin + np.arange(-step, 0) * SECOND_NS)
    watched = open_page(served.url, "/sensors/pump-3")
    at, heaps = watched.page, []
    tools = watched.context.new_cdp_session(at)

    for minute in range(0, 60, step // 60):
        times = begin + minute * 60 * SECOND_NS + np.arange(step * 5) * (SECOND_NS // 5)
        plant.feed(served.live, times)
        last_ms = int(times[-1]) // 10**6
        at.wait_for_function(
            "(ms) => Date.parse(document.querySelector('time')?.dateTime) >= ms",
            arg=last_ms,
            polling=50,
        )
        if minute in {20, 55}:
            tools.send("HeapProfiler.collectGarbage")
            heaps.append(tools.send("Runtime.getHeapUsage")["usedSize"])

    assert heaps[1] < heaps[0] + 2**20, heaps
    assert at.locator("*").count() < 3000


def test_reduced_motion_holds_still_until_it_is_asked(served, open_page):
    plant = fed(served, ["pump-0"])
    at = open_page(served.url, "/sensors/pump-0", reduced_motion="reduce").page
    expect(at.locator(".chart canvas").first).to_be_visible()
    shown = at.locator(".chart-title .value").first
    before = shown.inner_text()
    plant.feed(served.live, now_ns() + np.arange(3) * SECOND_NS)
    at.wait_for_timeout(900)
    assert shown.inner_text() == before

    at.get_by_role("button", name="Go on live").click()
    expect(shown).not_to_have_text(before)


def test_all_of_it_works_with_the_keyboard_alone(served, open_page):
    fed(served, ["pump-0", "pump-1", "pump-2"])
    served.tell("opened", incident_document("pump-1", now_ns()))
    at = open_page(served.url).page
    expect(at.locator(".strip-list a")).to_have_count(3)

    def focused():
        return at.evaluate("document.querySelector(':focus')?.textContent.trim() ?? ''")

    def tab_to(text):
        for _ in range(30):
            at.keyboard.press("Tab")
            if text in focused():
                return
        raise AssertionError(f"{text!r} cannot be reached; the focus is on {focused()!r}")

    at.keyboard.press("Tab")
    assert focused() == "Skip to the content"
    at.keyboard.press("Enter")
    expect(at.locator("#main")).to_be_focused()
    tab_to("pump-")
    at.keyboard.press("ArrowDown")
    second = at.locator(".strip-list a[data-row='1']")
    expect(second).to_be_focused()  # a frame after the key
    name = second.locator("bdi").first.inner_text()
    at.keyboard.press("Enter")
    expect(at.locator("h1")).to_have_text(name)
    at.keyboard.press("Home")
    at.locator(".brand").focus()
    tab_to("Incidents")
    at.keyboard.press("Enter")
    expect(at.locator("tr[data-incident]")).to_have_count(1)
    tab_to("Silence")
    at.keyboard.press("Enter")
    expect(at.get_by_role("dialog")).to_be_visible()
    at.keyboard.press("Escape")
    expect(at.locator("dialog")).to_have_count(0)
    expect(at.get_by_role("button", name="Silence").first).to_be_focused()  # back where it was
    at.keyboard.press("Enter")
    expect(at.get_by_role("dialog")).to_be_visible()
    tab_to("Cancel")
    at.keyboard.press("Enter")
    expect(at.locator("dialog")).to_have_count(0)
    expect(at.get_by_role("button", name="Silence").first).to_be_focused()
    at.keyboard.press("Shift+Tab")
    assert focused() == "Acknowledge"
    assert at.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    at.keyboard.press("Space")
    expect(at.locator("tr[data-incident] .badge").first).to_have_text("Acknowledged")


def test_axe_finds_nothing_serious_in_light_and_in_dark(served, open_page):
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256
    start = now_ns()
    faults = [
        (f"pump-{i}", start - 300 * SECOND_NS, start + 60 * SECOND_NS, i * 1.4) for i in range(4)
    ]
    fed(served, [f"pump-{i}" for i in range(4)], faults=faults, labels={"pump-1": {"site": "Lyon"}})
    found = [
        incident_document(f"pump-{i}", start, severity=level, labels={"site": "Lyon"})
        for i, level in enumerate(("low", "medium", "high"))
    ]
    for document in found:
        served.tell("opened", document)
    served.tell("resolved", {**found[0], "end": start // 10**6, "end_reason": "recovered"}, 2)
    watched = open_page(served.url, color_scheme="light")
    at, serious = watched.page, []
    taken = watched.context.request.post(
        f"{served.url}/v1/incidents/{found[1]['id']}:acknowledge", data={}
    )
    assert taken.ok

    views = {
        "/": ".strip-list a",
        "/map/pump-3": ".way .newest",
        "/incidents": "tr[data-incident]",
        f"/incidents/{found[1]['id']}": ".chart canvas",
        "/sensors/pump-3": ".bars li",
        "/account": ".meter",
    }
    for path, there in views.items():
        at.goto(served.url + path)
        at.wait_for_selector(there)
        if path.startswith("/sensors"):
            at.get_by_role("button", name="Before and after").click()
        for summary in at.locator("summary").all():
            summary.click()
        at.evaluate(AXE.read_text(encoding="utf-8"))
        results = [at.evaluate("axe.run(document, {resultTypes: ['violations']})")]
        at.emulate_media(color_scheme="dark")
        results.append(at.evaluate("axe.run(document, {runOnly: ['color-contrast']})"))
        at.emulate_media(color_scheme="light")
        serious += [
            (path, one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
            for result in results
            for one in result["violations"]
            if one["impact"] in {"serious", "critical"}
        ]
    assert serious == []


def test_names_from_outside_are_text_and_nothing_else(served, open_page):
    labels = {name: {"site": HOSTILE[0], HOSTILE[2]: HOSTILE[1]} for name in HOSTILE}
    fed(served, HOSTILE, labels=labels, seconds=60)
    found = []
    for number, name in enumerate(HOSTILE):
        document = incident_document(name, now_ns() + number, labels=labels[name])
        for channel in document["channels"]:
            channel["channel"] = channel["unit"] = HOSTILE[0]
        document["excerpt"]["channel"] = HOSTILE[2]
        document["model"] = {"name": HOSTILE[0], "version": HOSTILE[2]}
        document["raised_by"] = [HOSTILE[2]]
        found.append(document)
        served.tell("opened", document)
    at = open_page(served.url).page
    expect(at.locator(".strip-list a")).to_have_count(len(HOSTILE))
    assert set(at.locator(".strip-list .name > bdi").all_inner_texts()) >= {HOSTILE[0], HOSTILE[1]}
    hrefs = {
        at.evaluate("(link) => decodeURIComponent(new URL(link.href).pathname.slice(9))", link)
        for link in at.locator(".strip-list a").element_handles()
    }
    assert hrefs == set(HOSTILE)
    at.goto(f"{served.url}/map/{quote(HOSTILE[0], safe='')}")
    expect(at.locator(".way .newest")).to_be_attached()
    assert set(at.locator(".farthest bdi").all_inner_texts()) == set(HOSTILE)
    for name in HOSTILE[2:]:
        at.goto(f"{served.url}/sensors/{quote(name, safe='')}")
        expect(at.locator("h1 bdi")).to_have_text(name)
        expect(at.locator(".bars, .chart canvas").first).to_be_visible()
    comment = f"{HOSTILE[0]} {HOSTILE[2]}"
    for document in found[:2]:
        at.goto(f"{served.url}/incidents/{document['id']}")
        at.get_by_label("Note for those who read it later").fill(comment)
        at.get_by_role("button", name="Comment").click()
        expect(at.locator(".comments p")).to_have_text(comment)
    at.goto(f"{served.url}/incidents")
    expect(at.locator("tr[data-incident]")).to_have_count(len(HOSTILE))
    at.get_by_role("button", name="Verdict").first.click()
    expect(at.get_by_role("dialog")).to_be_visible()
    at.keyboard.press("Escape")
    expect(at.get_by_role("dialog")).to_have_count(0)
    at.get_by_role("button", name="Silence").first.click()
    expect(at.get_by_role("dialog")).to_contain_text("Nobody is notified")
    at.goto(f"{served.url}/account")
    expect(at.locator(".meter")).to_be_visible()
    assert at.locator("img:not([src='/static/icon.svg']), script:not([src])").count() == 0


def test_a_token_logs_in_and_changes_need_more_than_the_cookie(guarded, open_page):
    guarded.tell("opened", incident_document("pump-7", now_ns()))
    watched = open_page(guarded.url, "/incidents")
    watched.expected.append("401")
    at = watched.page
    at.get_by_label("Token").fill("vigie_wrong")
    at.get_by_role("button", name="Log in").click()
    expect(at.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
    at.get_by_label("Token").fill(guarded.token())
    at.get_by_role("button", name="Log in").click()
    expect(at.locator("tr[data-incident]")).to_have_count(1)
    assert at.evaluate("document.cookie") == ""
    id_ = at.locator("tr[data-incident]").get_attribute("data-incident")
    path = f"/v1/incidents/{id_}:acknowledge"
    watched.expected.append("403")
    assert (
        at.evaluate("(path) => fetch(path, {method: 'POST'}).then((answer) => answer.status)", path)
        == 403
    )
    at.get_by_role("button", name="Acknowledge").click()
    expect(at.locator("tr[data-incident]")).to_contain_text("anna")
    at.get_by_role("button", name="Log out").click()
    expect(at.get_by_label("Token")).to_be_visible()

    again = open_page(guarded.url, f"/incidents#token={guarded.token()}").page
    expect(again.locator("tr[data-incident]")).to_have_count(1)
    assert again.url == f"{guarded.url}/incidents", "the token is not in the address any more"


def test_every_view_is_json_at_the_same_address(served, open_page):
    fed(served, ["pump-0"])
    found = incident_document("pump-0", now_ns())
    served.tell("opened", found)
    watched = open_page(served.url)
    asked = watched.context.request
    views = {
        "/": "sensors",
        "/map": "normal",
        "/map/pump-0": "way",
        "/incidents": "items",
        f"/incidents/{found['id']}": "state",
        "/sensors/pump-0": "measured",
        "/account": "budget",
    }
    for path, key in views.items():
        answer = asked.get(served.url + path, headers={"Accept": "application/json"})
        assert key in json.loads(answer.body()), path
        assert (
            "text/html"
            in asked.get(served.url + path, headers={"Accept": "text/html"}).headers["content-type"]
        )
