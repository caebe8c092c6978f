"""A detector as a folder: weights, a description, and a manifest. No pickle anywhere.

    weights.safetensors   every array: weights, scaling, normalisation, calibration
    model.json            views (names in a registry and their sizes), channels, versions
    MANIFEST.sha256       sha256 of both; `sha256sum -c MANIFEST.sha256` checks it by hand

Format 3. `model.json` lists the views in the order of their features, each as

    {"kind": in `detector.views.registry`, "config": the view's own, "features": their names}

and the arrays of view number i carry the prefix `views.i.` before the names that the view gave
them. What belongs to no view has names of this module: `fusion.*` over the features of all views
(`model.json` names its kind), `calibration.*`, `partial.*` (the same for windows that are not full
yet, where those are scored), `alarms.*` (the rule's budget and dials stand in `model.json`),
`drift.*`, `likeness.*`, `latent_map.*`, `residual`, `missing.limit`, `decimals`.

Formats 1 and 2 are read too, see `detector.formats`.

Loading runs no code from the folder: kinds are looked up in `detector.views.registry` and
`detector.models.registry`, never imported by name.
"""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from detector.calibration.alarm_numbers import AlarmNumbers
from detector.calibration.alarm_rule import AlarmDials, AlarmRule
from detector.calibration.drift import DriftWatch
from detector.calibration.fusion import LEVELS, Fusion
from detector.calibration.latent_map import LatentMap
from detector.calibration.likeness import Likeness
from detector.calibration.log_fusion import LogFusion
from detector.calibration.threshold import KNOTS, Calibration
from detector.formats import of_today
from detector.head import Head, Identity
from detector.scoring import Detector, pick_device
from detector.views.base import View
from detector.views.joined import Views
from detector.views.registry import VIEWS, ViewRegistry

FORMAT = "vigie.detector"
FORMAT_VERSION = 3
WEIGHTS, DESCRIPTION, MANIFEST = "weights.safetensors", "model.json", "MANIFEST.sha256"

_MAX_DESCRIPTION_BYTES = 64 << 20
_VERSION_DIGITS = 12


class ArtifactError(ValueError):
    """The folder is not a sound artifact for this program; the message says why and what to do."""


class _UnknownKindError(Exception):
    """This program has no such view or fusion; the message says which and what it has."""


def save(detector: Detector, folder: Path) -> Path:
    """Write an artifact; a reader sees the old one, none, or the whole new one.

    A detector without a version gets the first digits of the content's sha256.

    Args:
        detector: on any device.
        folder: created; an earlier artifact in it is replaced.

    Returns:
        The folder.

    Raises:
        ArtifactError: the folder holds something else.
        OSError: it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and _replaceable(folder)):
        raise ArtifactError(f"{folder} exists and is not a Vigie artifact; choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    weights = safetensors.save(_tensors(detector), metadata={"format": FORMAT})
    description = _describe(detector)
    if not detector.version:
        content = weights + _to_json(description)
        description["version"] = hashlib.sha256(content).hexdigest()[:_VERSION_DIGITS]
    files = {WEIGHTS: weights, DESCRIPTION: _to_json(description)}
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, data in {**files, MANIFEST: "".join(lines).encode()}.items():
            _write(staging / name, data)
        staging.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return folder


def load(
    folder: Path,
    device: str = "auto",
    *,
    channels: Sequence[str] | None = None,
    registry: ViewRegistry = VIEWS,
) -> Detector:
    """Read an artifact after checking every byte of it.

    Args:
        folder: written by `save`.
        device: "auto", "cpu" or "cuda".
        channels: names the caller will send, in order; None to take the model's.
        registry: the views that the artifact may name.

    Raises:
        ArtifactError: missing, truncated, damaged, foreign or newer, made for other channels, or
            with a view that the registry lacks.
    """
    folder = Path(folder)
    files = _verified(folder)
    description = _parse(folder, files[DESCRIPTION])
    if channels is not None and tuple(channels) != tuple(description.get("channels", ())):
        raise ArtifactError(
            f"{folder} was trained on the channels {description.get('channels')}, in this order; "
            f"the configuration has {list(channels)}. Map the channels or train a new model"
        )
    try:
        tensors = safetensors.load(files[WEIGHTS])
        description, tensors = of_today(description, tensors)
        detector = _assemble(description, tensors, registry)
    except _UnknownKindError as error:
        raise ArtifactError(
            f"{folder} {error}. Install the Vigie that wrote it, or a newer one"
        ) from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtifactError(
            f"{folder} does not hold together: {type(error).__name__}: {error}. "
            "Train or copy the model again"
        ) from error
    return detector.to(pick_device(device))


def _verified(folder: Path) -> dict[str, bytes]:
    """The bytes of both files, equal to what the manifest says."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise ArtifactError(
            f"{folder} is no Vigie artifact: it has no {MANIFEST}. Give the folder that "
            "`vigie train` wrote"
        )
    sums = {}
    for line in manifest.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        sums[name] = digest
    if set(sums) != {WEIGHTS, DESCRIPTION}:
        raise ArtifactError(
            f"{manifest} must list {WEIGHTS} and {DESCRIPTION}, it lists {sorted(sums)}"
        )
    files = {}
    for name, digest in sums.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing. Copy the whole folder again")
        files[name] = path.read_bytes()
        found = hashlib.sha256(files[name]).hexdigest()
        if found != digest:
            raise ArtifactError(
                f"{path} is damaged or truncated: sha256 {found[:12]}..., the manifest says "
                f"{digest[:12]}.... Copy the folder again or train a new model"
            )
    return files


def _parse(folder: Path, data: bytes) -> dict[str, Any]:
    try:
        description = json.loads(data[:_MAX_DESCRIPTION_BYTES])
    except ValueError as error:
        raise ArtifactError(f"{folder / DESCRIPTION} is not JSON: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ArtifactError(f"{folder / DESCRIPTION} was not written by Vigie")
    version = description.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ArtifactError(
            f"{folder} has format {version!r}, this Vigie reads up to {FORMAT_VERSION}. "
            "Install the Vigie that wrote it, or a newer one"
        )
    return description


def _describe(detector: Detector) -> dict[str, Any]:
    identity = detector.identity
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": identity.name,
        "version": identity.version,
        "channels": identity.channels,
        "units": identity.units,
        "sensors": identity.sensors,
        "interval_s": identity.interval_s,
        "max_gap_s": identity.max_gap_s,
        "receptive_field": detector.receptive_field,
        "views": [
            {"kind": view.kind, "config": view.config(), "features": view.features}
            for view in detector.views
        ],
        "fusion": {"kind": detector.head.fusion.kind},
        "alarms": _described(detector.head.alarms),
        "training": identity.training,
    }


def _tensors(detector: Detector) -> dict[str, Tensor]:
    head = detector.head
    arrays = {
        **{f"fusion.{name}": getattr(head.fusion, name) for name in _FUSIONS[head.fusion.kind][1]},
        **_calibration_arrays("calibration", head.calibration),
        **({} if head.partial is None else _calibration_arrays("partial", head.partial)),
        "residual": head.residual,
        "missing.limit": head.missing_limit,
        "decimals": head.decimals,
    }
    numbers = head.alarms.numbers if head.alarms is not None else None
    parts = {"drift": head.drift, "likeness": head.likeness, "latent_map": head.latent_map}
    for part, one in {"alarms": numbers, **parts}.items():
        if one is not None:
            arrays |= {f"{part}.{name}": array for name, array in one.arrays().items()}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
    for number, view in enumerate(detector.views):
        for name, value in view.tensors().items():
            tensors[f"views.{number}.{name}"] = value.detach().cpu().clone()
    return tensors


_FUSIONS: Mapping[str, tuple[type[Fusion] | type[LogFusion], tuple[str, ...]]] = {
    Fusion.kind: (Fusion, ("middle", "reach")),
    LogFusion.kind: (LogFusion, ("median", "weight")),
}
_CALIBRATION = ("threshold", "knots", "above", "count")


def _calibration_arrays(prefix: str, calibration: Calibration) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": getattr(calibration, name) for name in _CALIBRATION}


def _calibration(prefix: str, arrays: Mapping[str, np.ndarray]) -> Calibration:
    return Calibration(**{name: arrays[f"{prefix}.{name}"] for name in _CALIBRATION})


def _described(alarms: AlarmRule | None) -> dict[str, Any] | None:
    if alarms is None:
        return None
    numbers = {"rate": alarms.rate, "least_rate": alarms.least_rate}
    return {**numbers, "dials": asdict(alarms.dials)}


def _alarms(
    description: Mapping[str, Any] | None, arrays: Mapping[str, np.ndarray], groups: int
) -> AlarmRule | None:
    """None: the artifact is older than the rule."""
    if description is None:
        return None
    numbers = AlarmNumbers.from_arrays(_under("alarms.", arrays))
    if len(numbers.memory) != groups:
        raise ValueError(f"the alarm rule has {len(numbers.memory)} groups of {groups}")
    return AlarmRule(
        numbers=numbers,
        rate=float(description["rate"]),
        least_rate=float(description["least_rate"]),
        dials=AlarmDials(**description["dials"]),
    )


def _drift(arrays: Mapping[str, np.ndarray], groups: int) -> DriftWatch | None:
    """None: the artifact is older than the verdict."""
    own = _under("drift.", arrays)
    if not own:
        return None
    watch = DriftWatch.from_arrays(own)
    if len(watch.count) != groups:
        raise ValueError(f"the drift watch has {len(watch.count)} groups of {groups}")
    return watch


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _assemble(
    description: Mapping[str, Any], tensors: Mapping[str, Tensor], registry: ViewRegistry
) -> Detector:
    identity = Identity(
        name=_text(description, "name"),
        version=_text(description, "version"),
        channels=tuple(description["channels"]),
        units=tuple(description["units"]),
        sensors=tuple(description["sensors"]),
        interval_s=float(description["interval_s"]),
        max_gap_s=float(description["max_gap_s"]),
        training=dict(description["training"]),
    )
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise ValueError(f"{name} is not finite")
    views = Views(
        [
            _restore(one, f"views.{number}.", tensors, identity, registry)
            for number, one in enumerate(description["views"])
        ]
    )
    arrays = {k: v.numpy() for k, v in tensors.items() if not k.startswith("views.")}
    if (kind := _text(description["fusion"], "kind")) not in _FUSIONS:
        raise _UnknownKindError(f"has the fusion {kind!r}, this Vigie knows {', '.join(_FUSIONS)}")
    _check_shapes(identity, views.n_features, kind, arrays)
    fusion, names = _FUSIONS[kind]
    head = Head(
        fusion=fusion(**{name: arrays[f"fusion.{name}"] for name in names}),
        calibration=_calibration("calibration", arrays),
        partial=_calibration("partial", arrays) if _has_partial(arrays) else None,
        alarms=_alarms(description.get("alarms"), arrays, len(identity.sensors) + 1),
        drift=_drift(arrays, len(identity.sensors) + 1),
        likeness=Likeness.from_arrays(
            _under("likeness.", arrays), (len(identity.sensors) + 1, views.signal.model.latent_size)
        ),
        residual=arrays["residual"],
        missing_limit=arrays["missing.limit"],
        decimals=arrays["decimals"],
        latent_map=LatentMap.from_arrays(
            _under("latent_map.", arrays), views.signal.model.latent_size
        ),
    )
    return Detector(identity, views, head)


def _restore(
    description: Mapping[str, Any],
    prefix: str,
    tensors: Mapping[str, Tensor],
    identity: Identity,
    registry: ViewRegistry,
) -> View[Any]:
    kind = _text(description, "kind")
    if kind not in registry:
        raise _UnknownKindError(
            f"has a view of kind {kind!r}, this Vigie knows {', '.join(registry)}"
        )
    view = registry[kind].restore(
        description["config"],
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)},
        n_groups=len(identity.sensors) + 1,
        n_channels=len(identity.channels),
    )
    if list(view.features) != description["features"]:
        raise ValueError(f"{kind} measures {view.features}, not {description['features']}")
    return view


def _check_shapes(
    identity: Identity, n_features: int, fusion: str, arrays: Mapping[str, Any]
) -> None:
    groups, channels = len(identity.sensors) + 1, len(identity.channels)
    if len(identity.units) != channels:
        raise ValueError(f"{channels} channel names and {len(identity.units)} units")
    if not (math.isfinite(identity.interval_s) and identity.interval_s > 0):
        raise ValueError(f"interval_s must be greater than 0, got {identity.interval_s}")
    wide = ["residual", "missing.limit"]
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(wide, (groups, channels))
    if fusion == Fusion.kind:
        shapes |= dict.fromkeys(["fusion.middle", "fusion.reach"], (n_features, groups, channels))
    else:
        shapes |= {"fusion.median": (n_features, groups), "fusion.weight": (LEVELS, n_features)}
    scales = ["calibration", *(["partial"] if _has_partial(arrays) else [])]
    for prefix in scales:
        shapes |= dict.fromkeys([f"{prefix}.threshold", f"{prefix}.count"], (groups,))
        shapes |= dict.fromkeys([f"{prefix}.knots", f"{prefix}.above"], (groups, KNOTS))
    shapes["decimals"] = (channels,)
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} must be {shape}, got {arrays[name].shape}")
    positive = [f"{prefix}.threshold" for prefix in scales]
    if fusion == LogFusion.kind:
        _check_weights(arrays["fusion.weight"])
        positive.append("fusion.median")
    for name in positive:
        if not (arrays[name] > 0).all():
            raise ValueError(f"{name} must be greater than 0")


def _check_weights(weight: np.ndarray) -> None:
    if not ((weight >= 0).all() and weight[0].any()):
        raise ValueError("fusion.weight must be at least 0, and rank by something")


def _has_partial(arrays: Mapping[str, Any]) -> bool:
    return any(name.startswith("partial.") for name in arrays)


def _text(description: Mapping[str, Any], key: str) -> str:
    value = description[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} must be text, got {value!r}")
    return value


def _to_json(description: Mapping[str, Any]) -> bytes:
    return json.dumps(description, indent=1, sort_keys=True, allow_nan=False).encode()


def _replaceable(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return not names or (MANIFEST in names and names <= {WEIGHTS, DESCRIPTION, MANIFEST})


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
