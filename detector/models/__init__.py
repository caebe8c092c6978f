"""Autoencoders: dense, convolutional, regularised and linear, behind one interface."""

from detector.models.base import Autoencoder, ModelConfig
from detector.models.pca import PCAAutoencoder
from detector.models.registry import KINDS, build, default_latent_size, describe

__all__ = [
    "KINDS",
    "Autoencoder",
    "ModelConfig",
    "PCAAutoencoder",
    "build",
    "default_latent_size",
    "describe",
]
