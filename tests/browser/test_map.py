"""The map of the fleet, the way of one sensor, and a channel before and after its cleaning."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.test_views import fed, now_ns
from tests.support.page import CHANNELS, NOISE, SECOND_NS, cleaned_frame


def test_the_map_moves_on_by_itself_and_shows_the_way_of_one_sensor(served, open_page):
    served.live.add_frames([cleaned_frame("old", [now_ns()], [0.5], {"flow": [1.0]})])
    at = open_page(served.url, "/map").page
    expect(at.locator(".empty")).to_contain_text("Train it again")  # a model without a map

    plant = fed(served, [f"pump-{i}" for i in range(5)], frame_rows=20)
    expect(at.locator(".map a")).to_have_count(5)
    expect(at.locator(".lead")).to_contain_text("5 sensors")
    expect(at.locator(".map .mark.high")).to_have_count(0)

    start = now_ns()
    plant.faults.append(("pump-3", start - SECOND_NS, start + 600 * SECOND_NS, 40.0))
    for second in range(3):
        plant.feed(served.live, start + np.array([second]) * SECOND_NS)

    expect(at.locator(".map a[data-sensor='pump-3'] .mark.high")).to_be_visible()
    expect(at.locator(".farthest li").first).to_contain_text("pump-3")
    expect(at.locator(".map .mark-name")).to_have_text(["pump-3"])
    at.locator(".farthest button").first.click()
    expect(at).to_have_url(f"{served.url}/map/pump-3")
    expect(at.locator(".way line").nth(20)).to_be_attached()
    faintest, strongest = (
        float(at.locator(".way line").nth(n).get_attribute("stroke-opacity") or 0) for n in (0, -1)
    )
    assert faintest < 0.3
    assert strongest > 0.9
    at.get_by_role("combobox", name="Sensor", exact=True).select_option("")
    expect(at.locator(".way")).to_have_count(0)

    values: dict[str, list[float | None]] = {name: [1.0] for name in CHANNELS}
    newer = cleaned_frame("pump-0", [now_ns()], [0.1], values, latent=(1, 1), model="pumps@2")
    served.live.add_frames([newer])
    expect(at.locator(".map a")).to_have_count(1)  # places of two models are not on one map


def test_the_map_is_walked_by_keyboard_and_is_a_table_as_well(served, open_page):
    fed(served, [f"pump-{i}" for i in range(3)], seconds=60)
    at = open_page(served.url, "/map").page
    expect(at.locator(".map a[tabindex='0']")).to_have_count(1)

    at.locator(".map a[tabindex='0']").focus()
    first = at.evaluate("document.activeElement.dataset.sensor")
    at.keyboard.press("ArrowDown")
    second = at.evaluate("document.activeElement.dataset.sensor")
    said = at.evaluate("document.activeElement.getAttribute('aria-label')")

    assert first != second
    assert said.startswith(f"{second}: score 0.")
    expect(at.locator(".strip-foot").last).to_contain_text(second)
    at.get_by_text("The same as a table").click()
    rows = at.locator("details tbody tr")
    expect(rows).to_have_count(3)
    assert rows.locator("td:first-child").all_inner_texts()[:2] == [first, second]
    at.locator(f".map a[data-sensor='{second}']").focus()
    at.keyboard.press("Enter")
    expect(at.locator("h1")).to_have_text(second)
    at.get_by_role("link", name="its way on the map").click()
    expect(at.locator(".way .newest")).to_be_attached()


def test_a_channel_is_compared_before_and_after_in_pictures_and_figures(served, open_page):
    fed(served, ["pump-0"])
    at = open_page(served.url, "/sensors/pump-0").page
    at.get_by_role("button", name="Before and after").click()

    expect(at.locator(".compare .chart canvas")).to_have_count(3 * len(CHANNELS))
    figures = at.locator(".cleaned dd").all_inner_texts()
    found = [float(n) for text in figures for n in re.findall(r"^noise ±([\d.]+), then ", text)]
    assert found == pytest.approx(NOISE, rel=0.25)
    at.get_by_role("button", name="Together").click()
    expect(at.locator(".chart canvas")).to_have_count(1 + len(CHANNELS))

    # What is left is estimated without the truth: here it is known by how the channel was made.
    rng, rows = np.random.default_rng(5), 1500
    truth = 3 * np.sin(np.arange(rows) / 60)
    gain = 0.25 / 1.25

    def cleaning(of_measured, of_cleaned):
        table = np.stack([of_measured, of_cleaned, np.full(rows, 0.3)], axis=1)
        code = "async (rows) => (await import('/static/js/cleaning.js')).cleaningOf(rows)"
        return at.evaluate(code, table.tolist())

    made = []
    for _ in range(4):
        measured, predicted = truth + rng.normal(size=rows), truth + 0.5 * rng.normal(size=rows)
        measured[::90] += 40
        made.append(cleaning(measured, predicted + gain * (measured - predicted)))

    assert np.mean([one["noise"] for one in made]) == pytest.approx(1, rel=0.04)
    assert np.mean([one["left"] ** 2 for one in made]) == pytest.approx(0.25 / 1.25, rel=0.2)
    nothing = cleaning(measured, measured)
    assert (nothing["db"], nothing["taken"]) == (pytest.approx(0), 0)
    assert cleaning(measured, truth)["atLeast"]
    assert cleaning(measured, truth + 5)["isMore"]
    assert cleaning(np.zeros(rows), np.zeros(rows))["noise"] == 0
