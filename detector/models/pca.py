"""Principal components as an autoencoder: linear, fitted in closed form, the honest baseline."""

from collections.abc import Iterable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from detector.models.base import Autoencoder, ModelConfig, product


class PCAAutoencoder(Autoencoder):
    """The linear autoencoder of least squared error: z = (x - m) V, x' = z V^T + m."""

    kind: ClassVar[str] = "pca"
    mean: Tensor
    components: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.input_size))
        self.register_buffer("components", torch.zeros(config.input_size, config.latent_size))

    def fit(self, batches: Iterable[Float[Tensor, "batch time channel"]]) -> None:
        """Take the axes of largest variance from one pass over the training windows.

        Raises:
            ValueError: there is no window.
        """
        size = self.config.input_size
        count, total = 0, torch.zeros(size, dtype=torch.float64)
        product = torch.zeros(size, size, dtype=torch.float64)
        for batch in batches:
            flat = batch.flatten(1).double().cpu()
            count += len(flat)
            total += flat.sum(0)
            product += flat.T @ flat
        if count == 0:
            raise ValueError("PCA needs at least one window, got none")
        mean = total / count
        _, vectors = torch.linalg.eigh(product / count - torch.outer(mean, mean))
        axes = vectors.flip(1)[:, : self.latent_size]
        # An axis has no sign of its own; the largest entry is made positive, for repeatable files.
        signs = axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
        self.mean.copy_(mean)
        self.components.copy_(axes * signs)

    def encode(self, windows: Float[Tensor, "batch time channel"]) -> Float[Tensor, "batch latent"]:
        """See `Autoencoder.encode`."""
        zero = torch.zeros_like(self.mean[: self.latent_size])
        return product(windows.flatten(1) - self.mean, self.components, zero)

    def decode(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch time channel"]:
        """See `Autoencoder.decode`."""
        flat = product(latent, self.components.T, self.mean)
        return flat.view(-1, self.receptive_field, self.n_channels)
