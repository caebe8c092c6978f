"""What came of the demo's gateway, in words and for scripts. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from workers.demo.screen import milliseconds, show_broken
from workers.demo.webhooks import Webhooks


@dataclass(frozen=True, kw_only=True)
class Told:
    """The page that there was, and the account of the webhooks; None when there was no gateway."""

    page: str | None
    webhooks: Webhooks | None
    problem: str = ""  # of the gateway; empty without one

    @property
    def balanced(self) -> bool:
        """Whether everything came that was due; nothing is due without a gateway."""
        return self.webhooks is None or self.webhooks.balanced

    def as_dict(self) -> dict[str, Any]:
        """Fields of the demo's JSON."""
        return {
            "page": self.page,
            "webhooks": None if self.webhooks is None else _document(self.webhooks),
            "gateway_note": self.problem,
        }

    def show(self, console: Console) -> None:
        """For people."""
        if self.problem:
            text = Text.assemble(
                ("The gateway failed: ", "bold yellow"), self.problem, " (the log says more)."
            )
            console.print(text)
        if self.webhooks is not None:
            console.print(". ".join(_sentences(self.webhooks)), ".", sep="")
            show_broken(self.webhooks.checks, console)


def _sentences(webhooks: Webhooks) -> Iterator[str]:
    again = "each once"
    if webhooks.repeats:
        again = f"{webhooks.repeats:,} of them again, under the id that they had"
    yield (
        f"[bold]Webhooks[/bold]: {webhooks.due:,} openings and ends of incidents were due, "
        f"{webhooks.came:,} came, {webhooks.valid:,} with a valid signature, {again}"
    )
    delay = webhooks.to_webhook_s
    if delay is not None:
        yield (
            f"From the event's record in Kafka to the receiver: p50 {_ms(delay.p50)}, "
            f"p99 {_ms(delay.p99)}"
        )
    if webhooks.first_to_page_s is not None:
        yield f"The first incident was on the page {_ms(webhooks.first_to_page_s)} after its record"
    if webhooks.left_out:
        yield (
            f"{webhooks.left_out:,} incidents that somebody silenced or resolved on the page do "
            "not count"
        )


def _ms(seconds: float) -> str:
    return milliseconds(seconds * 1e3)


def _document(webhooks: Webhooks) -> dict[str, Any]:
    delay = webhooks.to_webhook_s
    return {
        "due": webhooks.due,
        "came": webhooks.came,
        "valid_signatures": webhooks.valid,
        "repeats": webhooks.repeats,
        "incidents_left_out": webhooks.left_out,
        "balanced": webhooks.balanced,
        "to_webhook_s": None if delay is None else delay._asdict(),
        "to_page_s": {"first": webhooks.first_to_page_s, "worst": webhooks.worst_to_page_s},
        "checks": [check.as_dict() for check in webhooks.checks],
    }
