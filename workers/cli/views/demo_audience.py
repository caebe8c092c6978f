"""The demo as it is watched: on a terminal, or in a log file; a script wants the result only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.style import Style
from rich.text import Text

from workers.cli.views.training_bar import training_bar
from workers.demo.play import Audience
from workers.demo.screen import View, draw, one_line

if TYPE_CHECKING:
    from detector.training.train import Progress

_LINE_EVERY_S = 10.0
_REFRESHES_PER_S = 5
_STREAMING = "streaming"


class _Lines(Audience):
    """A file or a pipe: a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_s = -_LINE_EVERY_S

    def step(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)
        self._console.file.flush()

    def fetching(self, done: int, total: int) -> None:
        self._now_and_then(f"fetched {done / 1e6:.0f} of {total / 1e6:.0f} MB")

    def training(self, progress: Progress) -> None:
        self._now_and_then(
            f"step {progress.step:,}, validation loss {progress.validation_loss:.4f}"
        )

    def page_is_at(self, url: str) -> None:
        # In one piece, so that it can be clicked and copied.
        text = f"the page, until the demo ends: {url}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()

    def watching(self, view: View) -> None:
        self._now_and_then(one_line(view))

    def _now_and_then(self, text: str) -> None:
        if time.monotonic() - self._last_s >= _LINE_EVERY_S:
            self._last_s = time.monotonic()
            self.step(text)


class _Terminal(Audience):
    """A person: what is happening now, redrawn in place."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console, self._live = console, live
        self._step = ""
        self._began_s = time.monotonic()

    def step(self, text: str) -> None:
        self.done()  # the step before stays as a line
        self._step, self._began_s = text, time.monotonic()
        self._show(None)

    def fetching(self, done: int, total: int) -> None:
        self._show(Text(f"  fetching Kafka, once: {done / 1e6:.0f} of {total / 1e6:.0f} MB"))

    def training(self, progress: Progress) -> None:
        self._show(training_bar(progress, began_s=self._began_s))

    def page_is_at(self, url: str) -> None:
        self.done()
        # In one piece, however narrow the terminal is.
        link = Text(url, style=Style(color="cyan", underline=True, link=url), no_wrap=True)
        self._console.print("[bold]The page[/bold], until the demo ends:")
        self._console.print(link, soft_wrap=True)

    def watching(self, view: View) -> None:
        if self._step != _STREAMING:
            self.step(_STREAMING)
        self._live.update(draw(view, width=self._console.width))

    def done(self) -> None:
        if self._step:
            took_s = time.monotonic() - self._began_s
            self._console.print(
                Text.assemble(("✓ ", "green"), self._step, (f"  {took_s:.0f} s", "dim"))
            )
        self._step = ""
        self._live.update("")

    def _show(self, below: RenderableType | None) -> None:
        spinner = Spinner("dots", Text(self._step))
        self._live.update(spinner if below is None else Group(spinner, below))


@contextmanager
def audience_for(console: Console, *, quiet: object) -> Iterator[Audience]:
    """Yield the audience that fits the console; true for `quiet` shows nothing at all."""
    if quiet:
        yield Audience()
    elif not console.is_terminal:
        yield _Lines(console)
    else:
        with Live(
            console=console,
            transient=True,
            refresh_per_second=_REFRESHES_PER_S,
            # Ray keeps whatever stands in sys.stdout while it is imported, beyond our end.
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live:
            terminal = _Terminal(console, live)
            yield terminal
            terminal.done()
