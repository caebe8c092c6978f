"""A browser for the tests of the page, and somebody who watches what it does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Error,
    Page,
    Request,
    sync_playwright,
)

from tests.support.page import ServedPage, served_page

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium of this machine; no longer, as nobody else can run a loop beside its driver."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium ({', '.join(NAMES)}): the page is not tested; install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=arguments)
        yield chromium
        chromium.close()


@dataclass
class Watched:
    """A page, and everything about it that must not happen."""

    page: Page
    context: BrowserContext
    wrong: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def assert_quiet(self) -> None:
        """Nothing ran that should not, and nothing was complained of."""
        wrong = [one for one in self.wrong if not any(text in one for text in self.expected)]
        assert wrong == []


def _watch(watched: Watched, url: str) -> None:
    """Note what must not happen: dialogs, errors, complaints, requests to others than `url`."""

    def dialog(box: Dialog) -> None:
        watched.wrong.append(f"dialog: {box.message}")
        box.dismiss()

    def console(said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            watched.wrong.append(f"console: {said.text}")

    def request(asked: Request) -> None:
        if not asked.url.startswith((url, "data:")):
            watched.wrong.append(f"request elsewhere: {asked.url}")

    def error(found: Error) -> None:
        watched.wrong.append(f"error: {found}")

    watched.page.on("dialog", dialog)
    watched.page.on("console", console)
    watched.page.on("request", request)
    watched.page.on("pageerror", error)


Opens = Callable[..., Watched]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opens]:
    """Opens pages; at the end none of them may have had an error."""
    opened: list[Watched] = []

    def open_(url: str, path: str = "/", **options: Any) -> Watched:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(8000)
        page = context.new_page()
        watched = Watched(page, context)
        opened.append(watched)
        _watch(watched, url)
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " (event) => console.error('CSP ' + event.violatedDirective + ' ' + event.blockedURI))"
        )
        page.goto(url + path)
        return watched

    yield open_
    for watched in opened:
        watched.context.close()
    for watched in opened:
        watched.assert_quiet()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedPage]:
    """A page that needs no login."""
    with served_page(tmp_path) as page:
        yield page


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[ServedPage]:
    """A page that needs a token."""
    with served_page(tmp_path, open_access=False) as page:
        yield page
