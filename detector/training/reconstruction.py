"""Fit the autoencoder of a reconstruction view."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from detector.models import Autoencoder, PCAAutoencoder, build, default_latent_size, describe
from detector.training.base import FittedView, Progress
from detector.training.corruption import Corruption
from detector.training.dataset import Block, Dataset, WindowBlock, Windows
from detector.views.reconstruction import ReconstructionView

_PCA_WINDOWS = 100_000
_VALIDATION_WINDOWS = 4096


@dataclass(frozen=True, kw_only=True)
class ReconstructionTraining:
    """The training block of a `ReconstructionView`.

    Corrupted windows in, smooth windows out; the weights of the best validation loss are kept.

    Attributes:
        kind: "dense", "conv", "wae" or "pca".
        receptive_field: R, readings of a window.
        model: further sizes of the model (`latent_size`, `hidden`, ...).
        corruption: what is done to the input while the target stays clean.
        max_steps, batch_size: bound of the work, whatever the size of the data.
        learning_rate, weight_decay, gradient_clip: of AdamW.
        check_every: steps between two looks at the validation block.
        patience: looks without a gain before the training stops.
        last_weight: share of the loss that the newest reading of a window carries alone; it is
            the one that is published, and the hardest.

    Raises:
        ValueError: a number out of range.
    """

    kind: str = "dense"
    receptive_field: int = 32
    model: Mapping[str, Any] = field(default_factory=dict)
    corruption: Corruption = field(default_factory=Corruption)
    max_steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-5
    gradient_clip: float = 1.0
    check_every: int = 100
    patience: int = 8
    last_weight: float = 0.25

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_size", "check_every", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "gradient_clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, got {getattr(self, name)}")
        if not 0 <= self.last_weight < 1:
            raise ValueError(f"last_weight must be in [0, 1), got {self.last_weight}")

    @property
    def least_rows(self) -> int:
        """See `ViewTraining.least_rows`: a window."""
        return self.receptive_field

    def build_model(self, n_channels: int) -> Autoencoder:
        """The untrained model."""
        sizes = {"n_channels": n_channels, "receptive_field": self.receptive_field}
        latent = default_latent_size(n_channels, self.receptive_field)
        return build(self.kind, {**sizes, "latent_size": latent, **self.model})

    def fit(
        self,
        data: Dataset,
        *,
        generator: torch.Generator,
        device: torch.device,
        progress: Callable[[Progress], None],
    ) -> FittedView:
        """See `ViewTraining.fit`."""
        with torch.random.fork_rng(devices=[]):
            # torch draws first weights from its global generator.
            torch.manual_seed(generator.initial_seed())
            model = self.build_model(data.rows.shape[1]).to(device)
        if isinstance(model, PCAAutoencoder):
            summary = _fit_pca(model, data)
        else:
            summary = _fit_network(model, data, self, generator, progress)
        return FittedView(
            view=ReconstructionView(model, data.scaler),
            summary={**summary, "kind": model.kind, "model": describe(model)},
        )


def _fit_pca(model: PCAAutoencoder, data: Dataset) -> dict[str, Any]:
    size = model.receptive_field
    block = data.block(Block.TRAINING, receptive_field=size, limit=_PCA_WINDOWS)
    batches = range(0, len(block.ends), 4096)
    model.fit(block.windows(np.arange(i, min(i + 4096, len(block.ends))))[0] for i in batches)
    validation = data.block(Block.VALIDATION, receptive_field=size, limit=_VALIDATION_WINDOWS)
    loss = _validation_loss(model, validation, 0.0)
    return {"steps": 0, "validation_loss": loss}


def _fit_network(
    model: Autoencoder,
    data: Dataset,
    config: ReconstructionTraining,
    generator: torch.Generator,
    progress: Callable[[Progress], None],
) -> dict[str, Any]:
    """AdamW with warm-up and cosine decay; keeps the weights of the best validation loss."""
    size = model.receptive_field
    training = data.block(Block.TRAINING, receptive_field=size, limit=len(data.rows))
    validation = data.block(Block.VALIDATION, receptive_field=size, limit=_VALIDATION_WINDOWS)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate_factor(step, config.max_steps)
    )
    best, best_step, losses, step = math.inf, 0, list[float](), 0
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(1, config.max_steps + 1):
        picks = torch.randint(len(training.ends), (config.batch_size,), generator=generator)
        model.train()
        losses.append(_step(model, training.batch(picks.numpy()), config, optimizer, generator))
        schedule.step()
        if step % config.check_every and step < config.max_steps:
            continue
        loss = _validation_loss(model, validation, config.last_weight)
        if loss < best:
            best, best_step = loss, step
            kept = {name: value.clone() for name, value in model.state_dict().items()}
        mean = sum(losses) / len(losses)
        most = config.max_steps
        progress(
            Progress(step=step, max_steps=most, loss=mean, validation_loss=loss, best_loss=best)
        )
        losses.clear()
        if step - best_step >= config.patience * config.check_every:
            break
    model.load_state_dict(kept)
    return {"steps": step, "best_step": best_step, "validation_loss": best}


def _rate_factor(step: int, max_steps: int) -> float:
    warm = min(100, max_steps // 10 + 1)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, max_steps - warm)))


def _step(
    model: Autoencoder,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    config: ReconstructionTraining,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> float:
    windows, target, weight, sigma = batch
    corrupted = config.corruption.apply(windows, sigma, generator)
    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        latent = model.encode(corrupted.to(device))
        output = model.decode(latent)
    loss = _loss(output.float(), target.to(device), weight.to(device), config.last_weight)
    if (penalty := model.penalty(latent, generator)) is not None:
        loss = loss + penalty
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
    optimizer.step()
    return float(loss.detach())


def _loss(
    output: Windows, target: Windows, weight: Windows, last_weight: float
) -> Float[Tensor, ""]:
    """Weighted mean squared error; missing values have weight 0."""
    error = (output - target).square() * weight
    whole = error.sum() / weight.sum().clamp(min=1.0)
    newest = error[:, -1].sum() / weight[:, -1].sum().clamp(min=1.0)
    return (1 - last_weight) * whole + last_weight * newest


@torch.no_grad()
def _validation_loss(model: Autoencoder, block: WindowBlock, last_weight: float) -> float:
    model.eval()
    windows, target, weight, _ = block.batch(np.arange(len(block.ends)))
    device = next(iter(model.state_dict().values())).device
    output = model.reconstruct(windows.to(device))
    return float(_loss(output, target.to(device), weight.to(device), last_weight))
