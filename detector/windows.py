"""The windows of a call: which may be asked for, and whose rows they are made of."""

import numpy as np
from jaxtyping import Float64, Int32, Int64

Rows = Float64[np.ndarray, "rows channels"]
Ends = Int64[np.ndarray, " n"]
Times = Int64[np.ndarray, " rows"]
Groups = Int32[np.ndarray, " n"]


def check(
    rows: Rows,
    ends: Ends,
    groups: Groups,
    lengths: Ends,
    *,
    channels: tuple[str, ...],
    limits: tuple[int, int],
    n_groups: int,
) -> None:
    """Check windows before they are cut.

    Args:
        rows: of the call.
        ends: last row of each window.
        groups: calibration group of each.
        lengths: rows of each.
        channels: that the rows must have.
        limits: rows that a window has at least and at most.
        n_groups: calibration groups that there are.

    Raises:
        ValueError: they do not fit; the message says what does.
    """
    n_rows, (least, field) = len(rows), limits
    if rows.ndim != 2 or rows.shape[1] != len(channels):  # noqa: PLR2004
        raise ValueError(f"rows must be [T, {len(channels)}] for {channels}, got {rows.shape}")
    if ends.shape != groups.shape or ends.shape != lengths.shape:
        raise ValueError(
            f"one group and one length for each end: got {groups.shape}, {lengths.shape} and "
            f"{ends.shape}"
        )
    if len(ends) == 0:
        return
    if lengths.min() < least or lengths.max() > field:
        raise ValueError(
            f"lengths must lie in {least}..{field}, got {lengths.min()}..{lengths.max()}"
        )
    if (ends < lengths - 1).any() or ends.max() >= n_rows:
        first = int(lengths.min()) - 1
        raise ValueError(
            f"ends must lie in {first}..{n_rows - 1} (R = {field}, {n_rows} rows), "
            f"got {ends.min()}..{ends.max()}"
        )
    if groups.min() < 0 or groups.max() >= n_groups:
        raise ValueError(
            f"groups must lie in 0..{n_groups - 1}, got {groups.min()}..{groups.max()}"
        )


def row_groups(
    n_rows: int, ends: Ends, groups: Groups, lengths: Ends
) -> Int64[np.ndarray, " rows"]:
    """The group of each row: that of the first window that ends at it or behind it.

    Raises:
        ValueError: windows of two groups overlap.
    """
    if (np.diff(ends) < 0).any():
        order = np.argsort(ends, kind="stable")
        ends, groups, lengths = ends[order], groups[order], lengths[order]
    change = np.flatnonzero(np.diff(groups)) + 1
    before = np.minimum.reduceat(ends - lengths, np.concatenate([[0], change]))[1:]
    if (before < ends[change - 1]).any():
        raise ValueError("windows of two groups overlap: a row belongs to one sensor")
    spans = np.diff(ends, prepend=-1)
    spans[-1] += n_rows - 1 - ends[-1]
    return np.repeat(groups.astype(np.int64), spans)
