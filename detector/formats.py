"""Artifacts of older formats, as those of today.

Formats 1 and 2 have no denoising view: readings are published as they came until a model is trained
anew. Instead of `residual` they have `denoiser.limit`, four times as much.

Format 1 has one reconstruction view, described by the kind and sizes of its model alone; its arrays
are `model.*` and `scaling.*`, without a prefix.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from detector.calibration.fusion import Fusion
from detector.views.reconstruction import ReconstructionView

_LIMIT_OF_RESIDUAL = 4.0


def of_today(
    description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and arrays in the format of today.

    Raises:
        KeyError, ValueError, TypeError: they are not of the format that they say.
    """
    version, found = description["format_version"], dict(tensors)
    if version == 1:
        description, found = _from_format_1(description, found)
    if version <= 2:  # noqa: PLR2004 (the format)
        found["residual"] = found.pop("denoiser.limit") / _LIMIT_OF_RESIDUAL
    return dict(description), found


def _from_format_1(
    description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    (model,) = description["views"]
    view = {
        "kind": ReconstructionView.kind,
        "config": {"model": model["kind"], "sizes": model["config"]},
        "features": model["features"],
    }
    prefixes = {"model.": "views.0.model.", "scaling.": "views.0.scaler."}
    renamed = dict(tensors)
    for old, new in prefixes.items():
        for name in [name for name in tensors if name.startswith(old)]:
            renamed[f"{new}{name.removeprefix(old)}"] = renamed.pop(name)
    return {**description, "views": [view], "fusion": {"kind": Fusion.kind}}, renamed
