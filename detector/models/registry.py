"""From a name and a mapping to a model: the only way by which an artifact makes code run."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from detector.models.base import Autoencoder, ModelConfig
from detector.models.conv import ConvAutoencoder, ConvConfig
from detector.models.dense import DenseAutoencoder, DenseConfig
from detector.models.pca import PCAAutoencoder
from detector.models.wae import WassersteinAutoencoder, WassersteinConfig

_REGISTRY: Mapping[str, tuple[type[ModelConfig], Callable[[Any], Autoencoder]]] = {
    "dense": (DenseConfig, DenseAutoencoder),
    "conv": (ConvConfig, ConvAutoencoder),
    "pca": (ModelConfig, PCAAutoencoder),
    "wae": (WassersteinConfig, WassersteinAutoencoder),
}
KINDS: tuple[str, ...] = tuple(_REGISTRY)


def build(kind: str, config: Mapping[str, Any]) -> Autoencoder:
    """Make an untrained model.

    Args:
        kind: one of `KINDS`.
        config: the fields of that model's config, as parsed from JSON.

    Raises:
        ValueError: the kind is unknown, or a field is unknown, missing or out of range.
    """
    if kind not in _REGISTRY:
        raise ValueError(f"model kind must be one of {', '.join(KINDS)}, got {kind!r}")
    sizes, model = _REGISTRY[kind]
    return model(sizes.from_mapping(config))


def describe(model: Autoencoder) -> dict[str, Any]:
    """The mapping from which `build` makes a model of the same shape."""
    return asdict(model.config)


def default_latent_size(n_channels: int, receptive_field: int) -> int:
    """An eighth of the window, at most 32: enough for 32 readings of 8 channels that agree."""
    return max(1, min(32, n_channels * receptive_field // 8))
