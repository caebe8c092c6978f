"""What a running pipeline costs, read twice from its /metrics. No model of ours is as good."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from workers.errors import SettingsError, VigieError
from workers.sizing.model import Observed

_WITHIN_S: Final = 5.0
_MAX_BYTES: Final = 16 * 2**20
_NEEDED: Final = "vigie_worker_cpu_seconds_total"


@dataclass(frozen=True, kw_only=True)
class Scrape:
    """What the metrics said at one moment; sums over the ingest workers unless it says otherwise.

    Attributes:
        at_s: of a clock that never goes back.
        cpu_s, busy_s: since they started.
        readings: committed.
        restored: records read again to restore windows.
        workers: that are running.
        largest: memory in bytes, and sensors, of the one with most memory.
        scorers: actors that score.
    """

    at_s: float
    cpu_s: float
    busy_s: float
    readings: float
    restored: float
    workers: int
    largest: tuple[float, int]
    scorers: int


def scrape_of(text: str, *, at_s: float) -> Scrape:
    """Read the text of /metrics.

    Raises:
        ValueError: it is not that of a pipeline.
    """
    samples: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            label = sample.labels.get("worker") or sample.labels.get("kind") or ""
            by_label = samples.setdefault(sample.name, {})
            by_label[label] = by_label.get(label, 0.0) + sample.value
    if _NEEDED not in samples:
        raise ValueError(f"no {_NEEDED} in it")

    def total(name: str) -> float:
        return sum(samples.get(name, {}).values())

    memory, sensors = (
        samples.get("vigie_worker_resident_bytes", {}),
        samples.get("vigie_sensors", {}),
    )
    largest = max(
        ((size, int(sensors.get(who, 0))) for who, size in memory.items()), default=(0, 0)
    )
    return Scrape(
        at_s=at_s,
        cpu_s=total(_NEEDED),
        busy_s=total("vigie_worker_busy_seconds_total"),
        readings=total("vigie_readings_total"),
        restored=total("vigie_restored_total"),
        workers=int(total("vigie_worker_running")),
        largest=largest,
        scorers=int(samples.get("vigie_actual_workers", {}).get("scorers", 0)),
    )


def observed_between(first: Scrape, last: Scrape) -> Observed:
    """What the pipeline costs, by two looks.

    Raises:
        VigieError: it read nothing, restored, or changed its workers between them.
    """
    took_s, readings = last.at_s - first.at_s, last.readings - first.readings
    if first.workers != last.workers or last.cpu_s < first.cpu_s or not last.workers:
        raise VigieError(
            f"its ingest workers changed meanwhile ({first.workers}, then {last.workers}): ask "
            "again when they are at rest"
        )
    if last.restored > first.restored:
        raise VigieError("it restored windows meanwhile, which costs time of its own: ask again")
    if readings <= 0:
        raise VigieError(
            f"it committed no reading within {took_s:.0f} s: ask while its usual load flows, or "
            "look for longer (--over)"
        )
    return Observed(
        us_per_reading=(last.cpu_s - first.cpu_s) / readings * 1e6,
        busy=min((last.busy_s - first.busy_s) / (took_s * last.workers), 1.0),
        readings_per_s=readings / took_s,
        worker_mb=last.largest[0] / 1e6,
        sensors_per_worker=last.largest[1],
        scorers=last.scorers,
    )


def observe(
    url: str,
    *,
    over_s: float,
    monotonic_s: Callable[[], float],
    pause: Callable[[float], None],
) -> Observed:
    """Look at a running pipeline twice, `over_s` apart; `url` may be any page of its endpoint.

    Raises:
        SettingsError: not an http address.
        VigieError: nothing answers there, something else does, or there is nothing to measure.
    """
    scrapes = []
    for wait_s in (0.0, over_s):
        pause(wait_s)
        text = _fetched(url)
        try:
            scrapes.append(scrape_of(text, at_s=monotonic_s()))
        except ValueError as error:
            raise VigieError(
                f"{url} is not the endpoint of a pipeline ({error}): give the address of "
                "vigie run --metrics-port"
            ) from error
    return observed_between(*scrapes)


def _fetched(url: str) -> str:
    base = url.rstrip("/")
    for page in _PAGES:
        base = base.removesuffix(page)
    if not base.startswith(("http://", "https://")):
        raise SettingsError(f"the pipeline's address {url!r} does not begin with http://")
    try:
        with urllib.request.urlopen(f"{base}/metrics", timeout=_WITHIN_S) as answer:  # noqa: S310 - http, see above
            content: bytes = answer.read(_MAX_BYTES)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise VigieError(
            f"no pipeline answers at {base}/metrics ({error}): start it with vigie run "
            "--metrics-port PORT, or correct its address"
        ) from error
    return content.decode(errors="replace")


_PAGES: Final[Iterable[str]] = ("/metrics", "/status", "/scale", "/healthz", "/readyz")
