"""A report as a page: whatever names hold, it runs nothing, fetches nothing, and is bounded."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

from detector.signal.series import true_runs
from tests.support.models import SECOND_NS, START_NS, plant_values, small_detector
from workers.backtest.account import account_of
from workers.backtest.backtest import score_history
from workers.data.history import History, SensorRows
from workers.report.content import Limits, Material, report_of
from workers.report.figures import Chart, Curve, Region
from workers.report.page import page

NASTY = ("<script>alert(1)</script>", "a\u202eb", '"><svg onload=x>', "{{ 7*7 }}", "pump & co")


class Tags(HTMLParser):
    """The tags of a page and their attributes; what is opened must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.void = {"meta", "br", "path", "line"}
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def make_report(names=("s0",), *, faults=((300, 340),), labelled=True, limits=None):
    detector = small_detector()
    sensors = []
    for number, name in enumerate(names):
        values = plant_values(600, seed=50 + number)
        labels = np.zeros(600, np.bool_)
        for start, end in faults:
            values[start:end, 1] += 6.0
            labels[start:end] = True
        sensors.append(
            SensorRows(
                sensor=name,
                ts_ns=START_NS + np.arange(600, dtype=np.int64) * SECOND_NS,
                values=values,
                labels=labels if labelled else None,
            )
        )
    history = History(
        channels=detector.channels,
        sensors=tuple(sensors),
        read=600 * len(names),
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )
    scored, counts = score_history(history, detector)
    return report_of(
        Material(
            detector=detector,
            history=history,
            files=["<b>.csv"],
            findings=(),
            sensors=scored,
            counts=counts,
            found=account_of(scored, detector),
        ),
        limits,
    )


def test_names_are_data_whatever_they_hold():
    text = page(make_report(NASTY))

    tags = {tag for tag, _ in parse(text).seen}
    assert not tags & {"script", "iframe", "img", "link"}
    assert all(not name.startswith("on") for _, attrs in parse(text).seen for name in attrs)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7*7 }}" in text
    assert "\u202e" not in text


def test_the_page_fetches_nothing():
    text = page(make_report())

    assert re.findall(r'(?:src|href)="(?!#)', text) == []
    assert re.findall(r"url\(|@import|https?://", text) == []


def test_an_incident_is_told_with_its_channel_its_picture_and_its_place_on_the_timeline():
    report = make_report()
    text = page(report)

    assert len(report.incidents) >= 1
    assert "<b>pressure</b> high" in text
    targets = set(re.findall(r'href="#(incident-\d+)"', text))
    assert targets == {f"incident-{one.number}" for one in report.incidents}
    assert all(f'id="{target}"' in text for target in targets)
    assert 'class="truth"' in text
    assert "by the labels an event" in text
    assert "from the start of an event" in " ".join(text.split())
    assert f"{report.incidents[0].told['flagged']} readings flagged" in text


def test_what_a_page_leaves_out_is_counted():
    limits = Limits(timelines=1, sensors=2, pictured=1, listed=2)

    report = make_report([f"s{i}" for i in range(4)], limits=limits)

    assert (len(report.timelines), len(report.document["sensors"])) == (1, 2)
    assert sum(one.picture is not None for one in report.incidents) == 1
    assert len(report.incidents) == 2
    text = page(report)
    assert "Not shown on this page" in text
    for said in report.left_out:
        assert said in text


def test_the_document_is_plain_values_and_counts_as_the_page_does():
    report = make_report()
    document = json.loads(json.dumps(report.document))

    assert document["incidents"]["count"] == len(report.incidents)
    assert document["incidents"]["found"] == 1
    assert document["budget"]["observed"] == document["incidents"]["false"]
    assert document["sensors"][0]["sensor"] == "s0"


def test_readings_without_labels_or_incidents_make_a_page_too():
    text = page(make_report(faults=(), labelled=False))

    assert "<p>None.</p>" in text
    assert "if all was normal" in text


@pytest.mark.parametrize("n_rows", [1, 2, 5_000])
def test_a_curve_is_drawn_within_its_picture_with_its_extremes_and_its_holes(n_rows):
    values = np.sin(np.arange(n_rows) / 3.0)
    if n_rows > 2:
        values[1_000], values[2_000:2_400] = 9.0, np.nan
    chart = Chart(curves=[Curve(values=values, style="score")], ticks=("a", "b"), label="x")

    (path,) = re.findall(r'd="([^"]*)"', str(chart.svg()))

    points = np.array(re.findall(r"([\d.]+),([\d.]+)", path), dtype=float)
    assert ((points >= 0) & (points <= [chart.width, chart.height])).all()
    assert path.count("M") == (2 if n_rows > 2 else 1)
    if n_rows > 2:
        assert len(points) < 2_200
        assert points[:, 1].min() == pytest.approx(points[np.argmin(points[:, 1]), 1])
        assert len(true_runs(points[:, 1] < 20)) == 1


def test_a_curve_without_a_value_draws_nothing_and_fails_nowhere():
    empty = Curve(values=np.full(9, np.nan), style="score")
    chart = Chart(
        curves=[empty], band=(empty.values, empty.values), ticks=("a",), label='"<x>"',
        regions=[Region(start=0, end=8, style="truth", title="<t>")],
    )  # fmt: skip

    text = str(chart.svg())

    parse(text)
    assert 'd=""' in text
    assert "<t>" not in text
