"""Maps and made windows as pages, pictures and files: whatever names hold, it runs nothing."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.models import SECOND_NS, START_NS, quick_detector
from workers.latent.making import Made, Source
from workers.latent.map_page import write_page
from workers.latent.mapping import Map, Way
from workers.latent.pictures import draw_map, draw_windows
from workers.latent.window_file import write_map, write_windows

pytest.importorskip("plotly", reason="needs plotly: uv sync --all-extras")
pytest.importorskip("matplotlib", reason="needs matplotlib: uv sync --all-extras")

NASTY = "<script>alert(1)</script>"
PNG = b"\x89PNG"


def make_map(*, sensor="s0", kinds=("0", "drift"), ways=True, score=None):
    points = np.random.default_rng(0).standard_normal((40, 2))
    ts_ns = START_NS + np.arange(40, dtype=np.int64) * SECOND_NS
    way = Way(sensor=sensor, points=points[::8], ts_ns=ts_ns[::8])
    return Map(
        title=f"40 windows of {sensor}",
        points=points,
        axes=("first", "second"),
        sensors=(sensor,) * 20 + ("s1",) * 20,
        ts_ns=ts_ns,
        score=np.geomspace(0.05, 80, 40) if score is None else np.full(40, score),
        kinds=None if kinds is None else tuple(kinds[n % len(kinds)] for n in range(40)),
        ways=[way] if ways else [],
    )


class Outside(HTMLParser):
    """What a page would fetch, and the scripts that it holds."""

    def __init__(self):
        super().__init__()
        self.fetched, self.scripts, self.title = [], [], ""
        self.tag = ""

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        if tag in {"script", "link", "img", "iframe"}:
            self.fetched += [value for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data):
        if self.tag == "script":
            self.scripts.append(data)
        if self.tag == "title":
            self.title += data

    def handle_endtag(self, tag):
        self.tag = ""


def figure_of(path):
    """The traces and the layout that a page draws."""
    parser = Outside()
    parser.feed(path.read_text("utf-8"))
    (call,) = [one for one in parser.scripts if "Plotly.newPlot(" in one and len(one) < 200_000]
    decoder, at = json.JSONDecoder(), call.index("[", call.index("Plotly.newPlot("))
    traces, end = decoder.raw_decode(call, at)
    layout, _ = decoder.raw_decode(call, call.index("{", end))
    return parser, traces, layout


def test_a_page_needs_nothing_from_elsewhere_and_shows_one_colour_at_a_time(tmp_path):
    path = write_page(make_map(), tmp_path / "sub" / "map.html")

    page, traces, layout = figure_of(path)
    assert page.fetched == []
    buttons = layout["updatemenus"][0]["buttons"]
    assert [one["label"] for one in buttons] == [
        "colour by sensor", "colour by label", "colour by time", "colour by score",
    ]  # fmt: skip
    for button in buttons:
        (visible,) = button["args"][1:]
        assert len(visible) == len(traces)
        assert visible[-1], "the way is always there"
        shown = [one for one, seen in zip(traces, visible, strict=True) if seen][:-1]
        assert sum(len(one["x"]) for one in shown) == 40


def test_what_a_map_does_not_know_is_no_colour_to_choose(tmp_path):
    path = write_page(make_map(kinds=None, score=np.nan, ways=False), tmp_path / "map.html")

    _, _, layout = figure_of(path)

    labels = [one["label"] for one in layout["updatemenus"][0]["buttons"]]
    assert labels == ["colour by sensor", "colour by time"]


def test_a_name_is_text_on_the_page(tmp_path):
    path = write_page(make_map(sensor=NASTY, kinds=(NASTY, "0")), tmp_path / "map.html")

    page, traces, _ = figure_of(path)
    assert page.title == f"40 windows of {NASTY}"
    assert not any("alert(1)" in one and len(one) < 100 for one in page.scripts)
    texts = [text for trace in traces for text in trace["text"]]
    assert all(NASTY not in text for text in texts)
    assert any("&lt;script&gt;" in text for text in texts)


@pytest.mark.parametrize("colour", ["sensor", "time", "score", "label"])
def test_a_map_is_drawn_in_every_colour(tmp_path, colour):
    path = draw_map(make_map(ways=False, sensor="a$b$"), tmp_path / "map.png", colour=colour)

    assert path.read_bytes()[:4] == PNG


def test_a_way_is_drawn_with_the_name_of_its_machine_as_it_is(tmp_path):
    path = draw_map(make_map(sensor="a$b$"), tmp_path / "way.svg")

    assert "<!-- a$b$ from 2023-11-14 22:13:20 -->" in path.read_text()


def make_made(operation="near", *, n=5, **changes):
    windows = np.random.default_rng(1).standard_normal((n, 8, 3))
    source = Source(name="near: s0@now", values=windows[0])
    made = Made(operation=operation, windows=windows, sensor="s0", sources=[source])
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("operation", "n"), [("near", 90), ("arithmetic", 1), ("interpolation", 9)]
)
def test_made_windows_are_drawn_over_what_they_were_made_of(tmp_path, operation, n):
    made = make_made(operation, n=n, numbers=np.full(n, 0.5), parameter="radius")

    path = draw_windows(
        made, ("flow", "p$", "T"), ("m3/h", "", "degC"), np.arange(-7, 1), tmp_path / "made.png"
    )

    assert path.read_bytes()[:4] == PNG


def test_a_picture_says_how_many_sources_it_leaves_out(tmp_path):
    made = make_made("average", n=1)
    sources = [replace(made.sources[0], name=f"of: {n}") for n in range(6)]

    path = draw_windows(
        replace(made, sources=sources),
        ("a", "b", "c"),
        [""] * 3,
        np.arange(-7, 1),
        tmp_path / "made.svg",
    )

    words = re.findall("<!-- (.*?) -->", path.read_text())
    assert [one for one in words if one.startswith(("of:", "and"))] == [
        "of: 0", "of: 1", "of: 2", "of: 3", "and 2 more that are not drawn",
    ]  # fmt: skip


def test_of_many_channels_those_that_differ_most_are_drawn(tmp_path):
    windows = np.ones((4, 8, 12))
    windows[:, :, 10] += np.arange(4)[:, None]
    source = Source(name="of: s0", values=windows[0])
    made = Made(operation="average", windows=windows, sensor="s0", sources=[source])

    path = draw_windows(
        made, [f"c{n}" for n in range(12)], [""] * 12, np.arange(-7, 1), tmp_path / "made.svg"
    )

    assert len(re.findall("<!-- c[0-9]+ -->", path.read_text())) == 9
    assert "<!-- c10 -->" in path.read_text()


def test_a_file_of_made_windows_says_where_each_row_comes_from(tmp_path):
    made = make_made(numbers=np.full(5, 0.5), parameter="radius", seed=3)

    write_windows(made, quick_detector(), tmp_path / "made.parquet")

    table = pq.read_table(tmp_path / "made.parquet").to_pydict()
    assert list(table) == [
        "window", "seconds", "sensor_id", "operation", "sources", "radius", "seed", "model",
        "flow", "pressure", "temperature",
    ]  # fmt: skip
    assert table["window"] == [window for window in range(1, 6) for _ in range(8)]
    assert table["seconds"][:8] == [-7, -6, -5, -4, -3, -2, -1, 0]
    assert set(table["sources"]) == {"near: s0@now"}
    assert set(table["model"]) == {"vigie@1"}
    assert table["pressure"] == made.windows[:, :, 1].ravel().tolist()


def test_a_path_s_file_has_the_share_of_the_way(tmp_path):
    made = make_made("interpolation", numbers=np.linspace(0, 1, 5), parameter="share")

    write_windows(made, quick_detector(), tmp_path / "path.csv")

    with (tmp_path / "path.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["share"]) for row in rows[::8]] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert "radius" not in rows[0]
    assert "seed" not in rows[0]


def test_a_map_s_table_has_a_row_for_each_window(tmp_path):
    write_map(make_map(), tmp_path / "map.csv")

    with (tmp_path / "map.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert rows[1]["ts"] == "2023-11-14T22:13:21.000000000Z"
    assert (rows[1]["sensor_id"], rows[1]["kind"]) == ("s0", "drift")
    assert float(rows[1]["x"]) == make_map().points[1, 0]
