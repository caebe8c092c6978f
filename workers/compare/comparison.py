"""Compare principal components, a linear and a non-linear autoencoder on one history.

Each sensor's readings are cut in time. What comes first trains (labelled rows left out, as
`vigie train` does), what comes last judges: no figure is of time that a method has learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from detector.models import default_latent_size
from workers.compare.detection import Detection, detection_of
from workers.compare.errors import Denoising, Errors, denoising_of, errors_of
from workers.compare.methods import Fitted, Method, Plan, fit
from workers.compare.time_split import ComparisonError, TimeSplit, parts_of, rows_of
from workers.data.history import SensorRows


@dataclass(frozen=True, kw_only=True)
class Result:
    """Figures of one method on the held-out time.

    Attributes:
        method, bottleneck: which.
        parameters: numbers that were fitted.
        fit_s: what the fit took, without thresholds.
        errors: of the reconstructions.
        denoising: what they gain.
        detection: what they show.
    """

    method: Method
    bottleneck: int
    parameters: int
    fit_s: float
    errors: Errors
    denoising: Denoising
    detection: Detection


def usual_bottleneck(channels: int, receptive_field: int) -> int:
    """A quarter of what `vigie train` takes: narrow enough for a difference to show."""
    return max(1, default_latent_size(channels, receptive_field) // 4)


def compare(
    split: TimeSplit, plan: Plan, *, told: Callable[[str], None] = lambda _: None
) -> list[Result]:
    """All figures of each method, one bottleneck for all.

    Args:
        split: see `cut`.
        plan: how.
        told: called with the name of the method that is being fitted.

    Raises:
        ComparisonError: there are too few readings.
    """
    results = []
    for method in Method:
        told(method.value)
        try:
            fitted = fit(split.series(), plan.training(method, split.training.channels))
            results.append(_result(method, fitted, split, plan))
        except ValueError as error:
            raise ComparisonError(f"cannot compare: {error}") from error
    return results


def errors_by_bottleneck(
    split: TimeSplit,
    plan: Plan,
    bottlenecks: Sequence[int],
    *,
    told: Callable[[str], None] = lambda _: None,
) -> dict[Method, list[Errors]]:
    """Held-out errors of each method at each bottleneck, without detection.

    Raises:
        ComparisonError: there are too few readings, or a bottleneck is as wide as a window.
    """
    sound = split.held_out.without_labelled()
    found: dict[Method, list[Errors]] = {method: [] for method in Method}
    for bottleneck in bottlenecks:
        here = replace(plan, bottleneck=bottleneck)
        for method in Method:
            told(f"{method.value}, bottleneck {bottleneck}")
            try:
                fitted = fit(split.series(), here.training(method, split.training.channels))
                parts = parts_of(sound.sensors, split.training.sensors, fitted.group_of)
                found[method].append(errors_of(fitted.view, parts, max_gap_s=fitted.data.max_gap_s))
            except ValueError as error:
                raise ComparisonError(f"cannot compare: {error}") from error
    return found


def _result(method: Method, fitted: Fitted, split: TimeSplit, plan: Plan) -> Result:
    training, view = split.training.sensors, fitted.view

    def errors(sensors: Sequence[SensorRows]) -> Errors:
        parts = parts_of(sensors, training, fitted.group_of)
        return errors_of(view, parts, max_gap_s=fitted.data.max_gap_s)

    held_out = errors(split.held_out.without_labelled().sensors)
    share = fitted.config.split.calibration
    last = [rows_of(one, round(len(one) * (1.0 - share)), len(one)) for one in training]
    return Result(
        method=method,
        bottleneck=plan.bottleneck,
        parameters=sum(value.numel() for value in view.model.state_dict().values()),
        fit_s=fitted.fit_s,
        errors=held_out,
        denoising=denoising_of(held_out, errors(last)),
        detection=detection_of(fitted.detector(), split, plan),
    )
