"""The page's files: what comes from elsewhere is what its maker sent, and all of it is there."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.support.api import served
from workers.api.static_files import static_file

STATIC = Path(__file__).resolve().parents[4] / "workers" / "api" / "static"
VENDORED = {
    # uplot 1.6.32, dist/
    "uPlot.esm.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    # htm 3.1.1, preact/standalone.module.js, which holds preact
    "htm-preact.js": "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7",
    "htm.LICENSE": "740725f7252e750af735d0028cc534970772f513331e9f68150fede8fb3ce00f",
    "preact.LICENSE": "1fe6958409c8c257a70c587a18b6f7f412b179b456630790d30b2ec9a8e4b7d4",
}
OURS = sorted(STATIC.glob("js/*.js"))


def test_what_is_vendored_is_what_its_maker_published():
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").iterdir()
    }

    assert found == VENDORED


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_every_module_imports_files_that_are_there(path):
    for name in re.findall(r'from "([^"]+)"', path.read_text(encoding="utf-8")):
        assert (path.parent / name).is_file(), name


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_text_of_ours_becomes_markup_or_code(path):
    wrong = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerously|eval\(|Function\("

    assert re.findall(wrong, path.read_text(encoding="utf-8")) == []


def test_the_page_has_no_script_or_style_in_it_and_nothing_from_elsewhere():
    page = (STATIC / "index.html").read_text(encoding="utf-8")

    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page) == []
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page)) == {
        "/static/icon.svg",
        "/static/vendor/uPlot.min.css",
        "/static/tokens.css",
        "/static/page.css",
        "/static/js/main.js",
    }


@pytest.mark.parametrize("name", ["../app.py", "js/../../app.py", "", ".", "/etc/passwd", "js"])
def test_no_other_file_can_be_had(name):
    assert static_file(name) is None


def test_a_browser_that_has_a_file_is_not_sent_it_again(tmp_path):
    with served(tmp_path) as api:
        first = api.client.get("/static/js/main.js")
        again = api.client.get(
            "/static/js/main.js", headers={"If-None-Match": first.headers["etag"]}
        )

    assert first.headers["content-type"].startswith("text/javascript")
    assert "script-src 'self'" in first.headers["content-security-policy"]
    assert (again.status_code, again.content) == (304, b"")
