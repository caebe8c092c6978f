"""Slow, obvious twins of the fast kernels of the detector: plain loops, a window at a time."""

import math
from collections.abc import Sequence

import numpy as np

from detector.signal.pyramid import Feature


def values_of(rows: np.ndarray, present: np.ndarray, end: int, span: int) -> list[float]:
    """What one channel said in the last `span` rows."""
    window = range(end - span + 1, end + 1)
    return [float(rows[row]) for row in window if present[row]]


def mean(rows: np.ndarray, present: np.ndarray, end: int, span: int, spans: Sequence[int]) -> float:
    """Over the span, or the next longer of the spans with a value, or 0."""
    for one in sorted(spans):
        values = values_of(rows, present, end, one)
        if one >= span and values:
            return math.fsum(values) / len(values)
    return 0.0


def feature(
    rows: np.ndarray, present: np.ndarray, end: int, one: Feature, spans: Sequence[int]
) -> float:
    """One feature of one channel."""
    values = values_of(rows, present, end, one.span)
    if one.kind == "mean":
        return mean(rows, present, end, one.span, spans)
    if one.kind == "step":
        return mean(rows, present, end, one.span, spans) - mean(
            rows, present, end, one.longer, spans
        )
    if not values:
        return 0.0
    if one.kind == "spread":
        middle = math.fsum(values) / len(values)
        return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / len(values))
    highest, lowest = max(values), min(values)
    return {"highest": highest, "lowest": lowest, "range": highest - lowest}[one.kind]


def pyramid(
    rows: np.ndarray, present: np.ndarray, ends: np.ndarray, features: Sequence[Feature]
) -> np.ndarray:
    """[n, features, channels]."""
    averages = [one for one in features if one.kind in {"mean", "step", "spread"}]
    spans = {span for one in averages for span in (one.span, one.longer) if span}
    out = np.empty((len(ends), len(features), rows.shape[1]))
    for n, end in enumerate(ends):
        for f, one in enumerate(features):
            for c in range(rows.shape[1]):
                out[n, f, c] = feature(rows[:, c], present[:, c], int(end), one, sorted(spans))
    return out


def scaled(
    rows: np.ndarray, groups: np.ndarray, center: np.ndarray, scale: np.ndarray, clip: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scaled rows, 0 where missing, and whether a value is there."""
    out, present = np.zeros(rows.shape, np.float32), np.zeros(rows.shape, bool)
    for row, values in enumerate(rows):
        for channel, value in enumerate(values.tolist()):
            if math.isfinite(value):
                group = groups[row]
                z = (value - center[group, channel]) / scale[group, channel]
                out[row, channel] = max(-clip, min(clip, z))
                present[row, channel] = True
    return out, present


def distances(q: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """Squared distance of each window to each example, [n, examples]."""
    out = np.empty((len(q), len(examples)))
    for n, window in enumerate(q.astype(np.float64)):
        for e, example in enumerate(examples.astype(np.float64)):
            out[n, e] = math.fsum(((window - example) ** 2).tolist())
    return out


def trailing_mean(values: Sequence[float], span: int) -> list[float]:
    """The mean of the last `span` values; the first ones have that of the first `span`."""
    found = []
    for n in range(len(values)):
        last = max(n, min(span, len(values)) - 1)
        window = values[max(last - span + 1, 0) : last + 1]
        found.append(math.fsum(window) / len(window))
    return found


def fused(
    distances: np.ndarray, median: np.ndarray, weight: np.ndarray, group: int, *, partial: bool
) -> tuple[float, list[float], list[float]]:
    """Raw score, levels and logs of one window."""
    logs = [
        math.log(float(d) / float(m) + 0.3)
        for d, m in zip(distances, median[:, group], strict=True)
    ]
    levels = [
        math.fsum(w * one for w, one in zip(weights, logs, strict=True)) for weights in weight
    ]
    place = 1 if partial else 0
    raw = math.exp(levels[place] / math.fsum(weight[place]))
    return raw, [math.nan if partial else levels[0], *levels[1:]], logs


def shares(parts: np.ndarray, logs: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Each channel's share of one window's score, from parts [distances, channels]."""
    above = [w * max(log - math.log(1.3), 0.0) for w, log in zip(weights, logs, strict=True)]
    channels = parts.shape[1]
    found = [0.0] * channels
    for share, part in zip(above, parts.tolist(), strict=True):
        total = math.fsum(part)
        for channel, one in enumerate(part):
            found[channel] += share * one / total if total > 0 else 0.0
    total = math.fsum(found)
    return [one / total for one in found]


def fourth_powers(features: np.ndarray, middle: np.ndarray, reach: np.ndarray) -> list[float]:
    """Each channel's part of the fourth power of one window's norm; all [features, channels]."""
    found = [0.0] * features.shape[1]
    for values, centers, units in zip(
        features.tolist(), middle.tolist(), reach.tolist(), strict=True
    ):
        for channel, (value, center, unit) in enumerate(zip(values, centers, units, strict=True)):
            found[channel] += max(0.0, (value - center) / unit) ** 4
    return found
