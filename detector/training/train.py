"""Training: from series without labels to a calibrated detector.

Each sensor's series is cut in time: the first part trains, the next stops the training early,
the last calibrates. A model is judged on what comes after what it learned from, never on rows
drawn between them: those are too easy, and a threshold set on them is far too low.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from detector.calibration.threshold import AlarmBudget
from detector.models import Autoencoder, PCAAutoencoder, build, default_latent_size, describe
from detector.scoring import Detector, Identity, pick_device
from detector.signal.series import Series
from detector.training.corruption import Corruption
from detector.training.dataset import Block, Dataset, Split, assemble
from detector.training.fit_head import fit_head
from detector.views.reconstruction import ReconstructionView

_PCA_WINDOWS = 100_000


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that decides what `train` returns; the same config and data give the same bits.

    Attributes:
        channels: names of the columns.
        units: their units; empty = unknown.
        name: name of the model.
        version: its version; empty = from the content when it is saved.
        kind: "dense", "conv" or "pca".
        receptive_field: R, readings of a window.
        model: further sizes of the model (`latent_size`, `hidden`, ...).
        seed: of weights, order and noise.
        device: "auto", "cpu" or "cuda".
        split: shares of each series, in time.
        budget: false alarms that a sensor may raise.
        corruption: what is done to the input while the target stays clean.
        max_gap_s: a longer gap ends a window; 0 = ten sampling intervals.
        max_steps, batch_size: bound of the work, whatever the size of the data.
        learning_rate, weight_decay, gradient_clip: of AdamW.
        check_every: steps between two looks at the validation block.
        patience: looks without a gain before the training stops.
        last_weight: share of the loss that the newest reading of a window carries alone; it is
            the one that is published, and the hardest.
        max_rows: rows used; a longer history is thinned evenly in stretches.

    Raises:
        ValueError: a number out of range.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...] = ()
    name: str = "vigie"
    version: str = ""
    kind: str = "dense"
    receptive_field: int = 32
    model: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    split: Split = field(default_factory=Split)
    budget: AlarmBudget = field(default_factory=AlarmBudget)
    corruption: Corruption = field(default_factory=Corruption)
    max_gap_s: float = 0.0
    max_steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-5
    gradient_clip: float = 1.0
    check_every: int = 100
    patience: int = 8
    last_weight: float = 0.25
    max_rows: int = 2_000_000

    def __post_init__(self) -> None:
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ValueError(f"channels must be at least one and distinct, got {self.channels}")
        if self.units and len(self.units) != len(self.channels):
            raise ValueError(f"{len(self.channels)} channels need as many units, got {self.units}")
        for name in ("max_steps", "batch_size", "check_every", "patience", "max_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "gradient_clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, got {getattr(self, name)}")
        if self.max_gap_s < 0 or not 0 <= self.last_weight < 1:
            raise ValueError(
                f"max_gap_s must be >= 0 and last_weight in [0, 1), "
                f"got {self.max_gap_s} and {self.last_weight}"
            )

    def build_model(self) -> Autoencoder:
        """The untrained model."""
        sizes = {"n_channels": len(self.channels), "receptive_field": self.receptive_field}
        latent = default_latent_size(len(self.channels), self.receptive_field)
        return build(self.kind, {**sizes, "latent_size": latent, **self.model})


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands after a look at the validation block.

    Attributes:
        step: steps done.
        max_steps: steps at most; early stopping may end before.
        loss: mean training loss since the last look.
        validation_loss: on the validation block, without corruption.
        best_loss: least validation loss so far; its weights are the ones kept.
    """

    step: int
    max_steps: int
    loss: float
    validation_loss: float
    best_loss: float


def ignore_progress(progress: Progress) -> None:
    """Tell nobody."""


def train(
    series: Sequence[Series],
    config: TrainingConfig,
    *,
    progress: Callable[[Progress], None] = ignore_progress,
) -> Detector:
    """Train, stop early, calibrate.

    1. Cut each series in time; fit scaling and noise level on the training block. 2. Smooth the
    training targets with hindsight. 3. Fit the model: corrupted windows in, smooth windows out.
    4. Normalise the features, set thresholds and the denoising mix on the calibration block.

    Args:
        series: one a sensor, or several of one sensor (they are taken as separate stretches).
        config: all choices.
        progress: called after each look at the validation block, in this thread.

    Returns:
        A detector on `config.device`.

    Raises:
        ValueError: no data, wrong shapes, or a block without a single window; the message says
            how many rows are needed.
    """
    data = assemble(
        series,
        n_channels=len(config.channels),
        receptive_field=config.receptive_field,
        split=config.split,
        max_gap_s=config.max_gap_s,
        max_rows=config.max_rows,
    )
    device = pick_device(config.device)
    generator = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # torch draws first weights from its global generator
        model = config.build_model().to(device)
    if isinstance(model, PCAAutoencoder):
        history = _fit_pca(model, data)
    else:
        history = _fit_network(model, data, config, generator, progress)
    view = ReconstructionView(model, data.scaling)
    head = fit_head(view, data, rate=config.budget.rate(data.interval_s))
    identity = Identity(
        name=config.name,
        version=config.version,
        channels=config.channels,
        units=config.units or ("",) * len(config.channels),
        sensors=data.sensors,
        interval_s=data.interval_s,
        max_gap_s=data.max_gap_s,
        training={
            **data.summary(),
            **history,
            "kind": config.kind,
            "model": describe(model),
            "seed": config.seed,
            "budget": asdict(config.budget),
            "promise": str(head.calibration.promise),
            "torch": torch.__version__.split("+", maxsplit=1)[0],
        },
    )
    return Detector(identity, view, head)


def _fit_pca(model: PCAAutoencoder, data: Dataset) -> dict[str, Any]:
    block = data.block(Block.TRAINING, limit=_PCA_WINDOWS)
    batches = range(0, len(block.ends), 4096)
    model.fit(block.windows(np.arange(i, min(i + 4096, len(block.ends))))[0] for i in batches)
    loss = _validation_loss(model, data.block(Block.VALIDATION, limit=4096), 0.0)
    return {"steps": 0, "validation_loss": loss}


def _fit_network(
    model: Autoencoder,
    data: Dataset,
    config: TrainingConfig,
    generator: torch.Generator,
    progress: Callable[[Progress], None],
) -> dict[str, Any]:
    """AdamW with warm-up and cosine decay; keeps the weights of the best validation loss."""
    training = data.block(Block.TRAINING, limit=len(data.rows))
    validation = data.block(Block.VALIDATION, limit=4096)
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
        progress(
            Progress(
                step=step,
                max_steps=config.max_steps,
                loss=sum(losses) / len(losses),
                validation_loss=loss,
                best_loss=best,
            )
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
    config: TrainingConfig,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> float:
    windows, target, weight, sigma = batch
    corrupted = config.corruption.apply(windows, sigma, generator)
    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        output = model.reconstruct(corrupted.to(device))
    loss = _loss(output.float(), target.to(device), weight.to(device), config.last_weight)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
    optimizer.step()
    return float(loss.detach())


def _loss(
    output: Float[Tensor, "batch time channel"],
    target: Float[Tensor, "batch time channel"],
    weight: Float[Tensor, "batch time channel"],
    last_weight: float,
) -> Float[Tensor, ""]:
    """Weighted mean squared error; missing values have weight 0."""
    error = (output - target).square() * weight
    whole = error.sum() / weight.sum().clamp(min=1.0)
    newest = error[:, -1].sum() / weight[:, -1].sum().clamp(min=1.0)
    return (1 - last_weight) * whole + last_weight * newest


@torch.no_grad()
def _validation_loss(model: Autoencoder, block: Any, last_weight: float) -> float:
    model.eval()
    windows, target, weight, _ = block.batch(np.arange(len(block.ends)))
    device = next(iter(model.state_dict().values())).device
    output = model.reconstruct(windows.to(device))
    return float(_loss(output, target.to(device), weight.to(device), last_weight))
