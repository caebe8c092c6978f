"""What every process of ours sets up: its logs, and what SIGTERM and Ctrl-C do.

Logs: structlog over the standard library, one renderer for both.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

from schemas.settings import LogSettings
from workers.printable import printable_lines


def configure_logging(settings: LogSettings) -> None:
    """Send every log of this process to standard error, as lines of JSON or in colours."""
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _escape,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    # The client tells of every reconnect; the seam says it once an outage.
    logging.getLogger("kafka").setLevel(logging.CRITICAL + 1)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _escape(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """No name in a log is a command to the terminal that shows it."""
    return {k: printable_lines(v) if isinstance(v, str) else v for k, v in event.items()}


@contextmanager
def stop_signals(on_stop: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Yield `should_stop`: true once SIGINT or SIGTERM has come.

    The first signal asks for a drain; a second one interrupts at once. The handlers of before are
    put back at the end. Only the main thread may use it.

    Args:
        on_stop: called with the first signal, in the main thread.
    """
    stopping = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()
        on_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
