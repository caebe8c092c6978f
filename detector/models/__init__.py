"""Autoencoders: dense, convolutional and linear, behind one interface."""

from detector.models.base import Autoencoder, ModelConfig
from detector.models.conv import ConvAutoencoder, ConvConfig
from detector.models.dense import DenseAutoencoder, DenseConfig
from detector.models.pca import PCAAutoencoder, PCAConfig
from detector.models.registry import KINDS, build, default_latent_size, describe

__all__ = [
    "KINDS",
    "Autoencoder",
    "ConvAutoencoder",
    "ConvConfig",
    "DenseAutoencoder",
    "DenseConfig",
    "ModelConfig",
    "PCAAutoencoder",
    "PCAConfig",
    "build",
    "default_latent_size",
    "describe",
]
