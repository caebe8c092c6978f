"""The demo as it is watched: the address of the page stays in one piece."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from workers.cli.views.demo_audience import audience_for

URL = f"http://127.0.0.1:40000/#token=vigie_{'0' * 12}_{'f' * 48}"


@pytest.mark.parametrize("kind", ["a pipe", "a terminal"])
def test_the_address_of_the_page_is_one_line_however_narrow_it_is(kind):
    file = io.StringIO()
    console = Console(file=file, width=40, color_system=None, force_terminal=kind == "a terminal")
    with audience_for(console, quiet=False) as audience:
        audience.step("before")
        audience.page_is_at(URL)

    assert URL in file.getvalue()
    assert f"{URL}\n" in file.getvalue()


def test_a_script_is_shown_nothing():
    file = io.StringIO()
    with audience_for(Console(file=file), quiet=True) as audience:
        audience.page_is_at(URL)

    assert not file.getvalue()
