"""Fit several small denoising autoencoders side by side: one batched product per layer."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from detector.models import Autoencoder, build


@dataclass(frozen=True, kw_only=True)
class NetworkTraining:
    """How the autoencoders of looks are fitted.

    Attributes:
        max_steps, batch_size: of each.
        learning_rate, weight_decay: of AdamW, with warm-up and cosine decay.
        noise: standard deviation of the noise on the inputs, in their units (denoising).
        hidden: width of the layers beside the bottleneck.
    """

    max_steps: int = 500
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-5
    noise: float = 0.3
    hidden: int = 128


def fit_networks(
    inputs: Sequence[Float32[Tensor, "_ inputs"]],
    config: NetworkTraining,
    *,
    features: int,
    latent: int,
    generator: torch.Generator,
    device: torch.device,
) -> tuple[list[Autoencoder], float]:
    """One denoising autoencoder per set of inputs, all at once.

    Args:
        inputs: rows to learn from, each set in its own units.
        config: how.
        features: K of the K * C inputs.
        latent: width of the bottleneck.
        generator: all randomness, on the CPU.
        device: where to compute.

    Returns:
        The autoencoders on the CPU, and the mean loss of the last steps.
    """
    size = inputs[0].shape[1]
    widths = (size, config.hidden, latent, config.hidden, size)
    weights, biases = _first_weights(len(inputs), widths, generator, device)
    optimizer = torch.optim.AdamW(
        weights + biases, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate_factor(step, config.max_steps)
    )
    losses: list[float] = []
    for _ in range(config.max_steps):
        clean = torch.stack(
            [
                one[torch.randint(len(one), (config.batch_size,), generator=generator)]
                for one in inputs
            ]
        )
        noise = torch.randn(clean.shape, generator=generator) * config.noise
        clean, noisy = clean.to(device), (clean + noise).to(device)
        error = (_forward(weights, biases, noisy) - clean).square().mean((1, 2))
        optimizer.zero_grad(set_to_none=True)
        error.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(error[-1].detach()))
    sizes = {
        "n_channels": size // features,
        "receptive_field": features,
        "latent_size": latent,
        "hidden": [config.hidden],
    }
    fitted = []
    for number in range(len(inputs)):
        with torch.random.fork_rng(devices=[]):  # first weights are drawn, to be replaced
            model = build("dense", sizes)
        names = ("encoder.0", "encoder.2", "decoder.0", "decoder.2")
        state = {}
        for name, weight, bias in zip(names, weights, biases, strict=True):
            state[f"{name}.weight"] = weight[number].detach().cpu()
            state[f"{name}.bias"] = bias[number, 0].detach().cpu()
        model.load_state_dict(state)
        fitted.append(model.eval().requires_grad_(requires_grad=False))
    last = losses[-50:]
    return fitted, sum(last) / len(last)


def _first_weights(
    networks: int, widths: Sequence[int], generator: torch.Generator, device: torch.device
) -> tuple[list[Tensor], list[Tensor]]:
    """As torch.nn.Linear draws them, for several networks at once."""
    weights, biases = list[Tensor](), list[Tensor]()
    for size_in, size_out in itertools.pairwise(widths):
        bound = size_in**-0.5
        for found, rows in ((weights, size_in), (biases, 1)):
            drawn = torch.rand(networks, rows, size_out, generator=generator)
            found.append(((drawn * 2 - 1) * bound).to(device).requires_grad_())
    return weights, biases


def _forward(weights: list[Tensor], biases: list[Tensor], inputs: Tensor) -> Tensor:
    """The pass of `DenseAutoencoder` with one hidden layer, for several networks."""
    hidden = torch.relu(torch.baddbmm(biases[0], inputs, weights[0]))
    latent = torch.baddbmm(biases[1], hidden, weights[1])
    hidden = torch.relu(torch.baddbmm(biases[2], latent, weights[2]))
    return torch.baddbmm(biases[3], hidden, weights[3])


def _rate_factor(step: int, max_steps: int) -> float:
    warm = min(50, max_steps // 10 + 1)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, max_steps - warm)))
