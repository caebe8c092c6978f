"""Why a window scored as it did: which look, over which span, which channel, and what is like it.

Computed for the windows that somebody asks about; the shares of channels alone come with every
score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from detector.calibration.log_fusion import LogFusion
from detector.scoring import Detector
from detector.views.pyramid import Look, PyramidView
from detector.windows import Ends, Groups, Rows, Times

BAND = 3.0
"""Half the width of the band around an expected value, in usual differences from it."""
_MOST_REASONS = 3


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A feature that lies far from normal.

    Attributes:
        channel: its place.
        feature: in words, "mean of 64".
        rows: how many rows it looks at.
        deviation: how far, in usual deviations; its sign says on which side.
    """

    channel: int
    feature: str
    rows: int
    deviation: float


@dataclass(frozen=True, kw_only=True)
class Example:
    """The example of normal operation that is most like the window."""

    sensor: str
    ts_ns: int


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why one window scored as it did.

    Attributes:
        looks: share of each distance in the score ("long nearest", "signal", ...), largest first;
            sums to 1.
        reasons: what lies farthest in the distance that counts most, of those that compare
            features with something; the signal view compares the window as it is.
        nearest: None for a detector without examples.
    """

    looks: Sequence[tuple[str, float]]
    reasons: Sequence[Reason]
    nearest: Example | None


def band(detector: Detector, group: int) -> Float64[np.ndarray, " channels"]:
    """Half the width of the band around the expected values, channel units."""
    half: Float64[np.ndarray, " channels"] = BAND * detector.head.residual[group]
    return half


def explain(
    detector: Detector,
    rows: Rows,
    ends: Ends,
    groups: Groups,
    *,
    lengths: Ends | None = None,
    times: Times | None = None,
) -> list[Explanation]:
    """Explain windows; arguments as for `Detector.score`.

    Raises:
        ValueError: as `Detector.score` does.
    """
    pyramid = next((view for view in detector.views if isinstance(view, PyramidView)), None)
    fusion = detector.head.fusion
    if pyramid is None or not isinstance(fusion, LogFusion):
        detector.score(rows, ends, groups, lengths=lengths, times=times)
        return [Explanation(looks=(("reconstruction", 1.0),), reasons=(), nearest=None)] * len(ends)
    if len(ends) == 0:
        return []
    field = detector.receptive_field
    reach = np.full(len(ends), field) if lengths is None else lengths
    fused = detector.fused(rows, ends, groups, lengths=lengths, times=times)
    shares = fusion.by_distance(fused, reach < field)
    names = [name for view in detector.views for name in view.features]
    own = [names.index(name) for name in pyramid.features]
    found = []
    for place, (end, group) in enumerate(zip(ends.tolist(), groups.tolist(), strict=True)):
        window = slice(end - int(reach[place]) + 1, end + 1)
        when = None if times is None else times[window]
        most = int(np.argmax(shares[own, place]))
        reasons, nearest = _one(pyramid, rows[window], when, group, most)
        order = np.argsort(-shares[:, place], kind="stable")
        looks = [(names[i], float(shares[i, place])) for i in order]
        found.append(Explanation(looks=looks, reasons=reasons, nearest=nearest))
    return found


def _one(
    pyramid: PyramidView,
    window: Rows,
    times: Times | None,
    group: int,
    most: int,
) -> tuple[Sequence[Reason], Example]:
    """What lies farthest in one of the pyramid's distances, and the example nearest to it."""
    missing = max(0, pyramid.receptive_field - len(window))
    padded = np.concatenate([np.full((missing, window.shape[1]), np.nan), window])
    if times is not None:
        times = np.concatenate([np.zeros(missing, dtype=np.int64), times])
    prepared = pyramid.prepare(padded, np.array(group), times)
    details = pyramid.deviations(prepared, np.array([len(padded) - 1]))
    first = 0
    for look, (far, nearest) in zip(pyramid.looks, details, strict=True):
        if first <= most < first + len(look.scores):
            example = int(nearest[0])
            return _reasons(far[most - first, 0], look), Example(
                sensor=look.bank.sensors[int(look.bank.owners[example])],
                ts_ns=int(look.bank.ts_ns[example]),
            )
        first += len(look.scores)
    raise AssertionError("every distance belongs to a look")


def _reasons(far: Float32[np.ndarray, "features channels"], look: Look) -> Sequence[Reason]:
    """The features that lie farthest, each channel named once."""
    found: dict[int, Reason] = {}
    for place in np.argsort(-np.abs(far), axis=None, kind="stable"):
        number, channel = divmod(int(place), far.shape[1])
        if channel not in found and far[number, channel] != 0:
            feature = look.features[number]
            found[channel] = Reason(
                channel=channel,
                feature=str(feature),
                rows=feature.rows,
                deviation=float(far[number, channel]),
            )
        if len(found) == _MOST_REASONS:
            break
    return tuple(found.values())
