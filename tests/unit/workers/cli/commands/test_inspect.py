"""`vigie inspect`: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from workers.cli import main as cli
from workers.cli.views.braille import draw
from workers.data.finding import Kind

EVIL = "Speed [/min] <script>alert(1)</script>"


@pytest.fixture
def make_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*, channel="flow", sentinel=True, form="2025-10-20T00:{m:02}:{s:02}Z"):
        rng = np.random.default_rng(3)
        values = 50 + rng.normal(0, 2, 400)
        if sentinel:
            values[50:80] = -200
        lines = [f"time,{channel}"]
        lines += [f"{form.format(m=n // 60, s=n % 60)},{value:g}" for n, value in enumerate(values)]
        path = tmp_path / "pump.csv"
        path.write_text("\n".join([*lines, ""]))
        return str(path)

    return make


def run(capsys, *arguments):
    capsys.readouterr()
    code = cli.main(["inspect", *arguments])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_it_ends_well_and_names_the_option_that_mends(make_file, capsys):
    code, out, _ = run(capsys, make_file())

    assert code == 0
    assert "--missing -200" in out
    assert 'missing = ["-200"]' in out
    assert "2025-10-20T00:00:00Z to 2025-10-20T00:06:39Z" in " ".join(out.split())


def test_strict_makes_findings_an_error(make_file, capsys):
    assert run(capsys, make_file(), "--strict")[0] == 1
    assert run(capsys, make_file(), "--strict", "--missing", "-200")[0] == 0
    assert run(capsys, make_file(form="20.10.2025 00:{m:02}:{s:02}"), "--strict")[0] == 1


def test_what_cannot_be_read_ends_with_1_and_is_shown(make_file, tmp_path, capsys):
    path = tmp_path / "bare.csv"
    path.write_text("2025-10-20T00:00:00Z,[/red]1.5\n2025-10-20T00:00:01Z,1.5\n")

    code, out, err = run(capsys, str(path))

    assert code == 1
    assert "[/red]1.5" in out
    assert "the names of the columns" in " ".join(err.split())


def test_names_are_data_on_the_terminal_and_on_the_page(make_file, tmp_path, capsys):
    page = tmp_path / "page.html"

    code, out, _ = run(capsys, make_file(channel=EVIL), "--html", str(page))

    text = page.read_text()
    assert code == 0
    assert "[/min]" in out
    assert "<script" not in text
    assert "Speed [/min] &lt;script&gt;" in text


def test_the_page_needs_nothing_but_itself(make_file, tmp_path, capsys):
    run(capsys, make_file(), "--html", str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text()
    tags = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append((tag, dict(attrs)))

    parser = Tags()
    parser.feed(text)

    assert {"svg", "path"} <= {tag for tag, _ in tags}
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags}
    assert not any({"src", "href"} & attributes.keys() for _, attributes in tags)
    assert "url(" not in text
    assert "nan" not in "".join(attributes.get("d", "") or "" for _, attributes in tags)


def test_the_layout_that_it_writes_mends_what_it_found(make_file, tmp_path, capsys):
    path, layout = make_file(), tmp_path / "layout.toml"

    first, _, _ = run(capsys, path, "--write", str(layout))
    again, out, _ = run(capsys, path, "--layout", str(layout), "--strict")

    assert (first, again) == (0, 0)
    assert tomllib.loads(layout.read_text()) == {"missing": ["-200"]}
    assert "Nothing looks wrong" in out


def test_a_file_that_is_there_is_not_written_over_but_for_the_layout_itself(
    make_file, tmp_path, capsys
):
    path, layout = make_file(), tmp_path / "layout.toml"
    layout.write_text('timezone = "Europe/Berlin"\n')

    code, _, err = run(capsys, path, "--write", str(layout))
    kept = layout.read_text()
    again, _, _ = run(capsys, path, "--layout", str(layout), "--write", str(layout))

    assert code == 2
    assert "there already" in " ".join(err.replace("│", " ").split())
    assert kept == 'timezone = "Europe/Berlin"\n'
    assert again == 0
    assert tomllib.loads(layout.read_text()) == {"timezone": "Europe/Berlin", "missing": ["-200"]}


def test_scripts_get_every_figure(make_file, capsys):
    code, out, err = run(capsys, make_file(), "--json")
    result = json.loads(out)

    assert (code, err) == (0, "")
    assert result["readable"]
    assert result["rows"] == {
        "read": 400, "used": 400, "left_out": [], "told_missing": {}, "out_of_order": 0,
    }  # fmt: skip
    assert result["sensors"][0]["interval_s"] == 1
    assert result["channels"][0]["min"] == -200
    assert result["findings"][0]["kind"] == "sentinel"
    assert result["findings"][0]["option"] == "--missing -200"
    assert result["warnings"] == 1
    assert result["layout"] == {"missing": ["-200"]}


def test_scripts_learn_what_was_assumed_and_what_cannot_be_read(make_file, tmp_path, capsys):
    _, assumed, _ = run(capsys, make_file(form="20.10.2025 00:{m:02}:{s:02}"), "--json")
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n")
    code, bare, _ = run(capsys, str(tmp_path / "bare.csv"), "--json")

    assert json.loads(assumed)["assumed"][0]["option"] == "--time-format '%d.%m.%Y %H:%M:%S'"
    assert code == 1
    assert not json.loads(bare)["readable"]
    assert json.loads(bare)["head"] == ["1,2", "3,4"]


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_any_width_of_the_terminal_will_do(make_file, monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", width)

    code, out, _ = run(capsys, make_file())

    assert code == 0
    table = [line for line in out.splitlines() if "⣿" in line or "⠀" in line]
    assert all(len(line.rstrip()) <= int(width) for line in table)


def test_a_curve_in_characters_spans_its_lines():
    low = high = np.arange(8.0)

    assert draw(low, high, lines=2) == ["⠀⠀⡠⠊", "⡠⠊⠀⠀"]


def test_a_curve_of_a_constant_and_of_nothing_is_drawn():
    assert draw(np.ones(4), np.ones(4), lines=1) == ["⠒⠒"]
    assert draw(np.full(4, np.nan), np.full(4, np.nan), lines=1) == ["⠀⠀"]


PAGE = Path(__file__).resolve().parents[5] / "docs" / "inspect.md"


def test_the_page_names_every_kind_and_no_other():
    table = PAGE.read_text().partition("## What may look wrong")[2].partition("\n## ")[0]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]

    assert {name for first in firsts for name in re.findall(r"`([a-z-]+)`", first)} == set(Kind)


def test_the_page_names_every_key_for_scripts(make_file, tmp_path, capsys):
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n")
    _, whole, _ = run(capsys, make_file(), "--json")
    _, bare, _ = run(capsys, str(tmp_path / "bare.csv"), "--json")
    table = PAGE.read_text().partition("## For scripts")[2]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]

    named = {name for first in firsts for name in re.findall(r"`(\w+)`", first)}
    assert named == json.loads(whole).keys() | json.loads(bare).keys()
