"""Local times that repeat an hour, as at the end of summer time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from workers.data.file.rows import FileRows, Reason
from workers.data.finding import Finding, Kind
from workers.data.history import History
from workers.data.layout import Layout

_HOUR_NS = 3_600 * 10**9
_DAY_NS = 24 * _HOUR_NS
_SLACK = 1.1


def clock_back_findings(
    files: Sequence[FileRows], history: History, layout: Layout
) -> Iterator[Finding]:
    """An hour that comes twice, where nothing else repeats and times name no zone."""
    repeated = history.by_reason[Reason.REPEATED]
    if layout.timezone != "UTC" or not repeated:
        return
    found = [_back(one) for one in files if "without a zone" in one.time_form]
    again = sum(rows for _, rows in found)
    if not again or repeated > _SLACK * again:
        return
    at = next(int(times[0]) for times, _ in found if len(times))
    yield Finding(
        kind=Kind.CLOCK_BACK,
        text=f"the clock goes back by an hour at {np.datetime64(at, 'ns').astype('datetime64[s]')}"
        f", as at the end of summer time, and {repeated:,} rows repeat a time. Say in which zone "
        "it was read, such as --timezone Europe/Berlin",
    )


def _back(one: FileRows) -> tuple[npt.NDArray[np.int64], float]:
    """The times to which the clock went back, and how many rows of an hour follow them."""
    series = one.codes.astype(np.int64)
    if one.tags is not None:
        series = series * len(one.channels) + one.tags
    order = np.argsort(series, kind="stable")
    ts_ns, steps = one.ts_ns[order], np.diff(one.ts_ns[order])
    within = np.diff(series[order]) == 0
    ahead = steps[within & (steps > 0)]
    if not len(ahead):
        return ts_ns[:0], 0.0
    typical = int(np.median(ahead))
    whole_hour = np.abs(typical - steps - _HOUR_NS) <= typical // 2
    # 1970-01-01 was a Thursday. One row that comes twice may be that, but on a Sunday's early hour.
    early = (ts_ns[1:] // _DAY_NS % 7 == 3) & (ts_ns[1:] % _DAY_NS < 4 * _HOUR_NS)  # noqa: PLR2004
    back = within & whole_hour & ((steps < 0) | ((steps == 0) & early))
    times = ts_ns[1:][back]
    return times, len(times) * max(_HOUR_NS / typical, 1.0)
