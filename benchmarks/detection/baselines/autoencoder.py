"""A plain autoencoder of single rows: what Vigie would be without windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.detection.baselines.base import calibrated
from benchmarks.detection.detector import NamedDetector
from benchmarks.detection.series import Rows

HIDDEN, STEPS, BATCH = 128, 500, 128
NOISE, LEARNING_RATE, WEIGHT_DECAY = 0.3, 3e-3, 1e-5
_WARM_UP = 50


@dataclass(frozen=True)
class _Autoencoder:
    network: Any  # torch.nn.Module

    def measure(self, scaled: Rows) -> tuple[Rows, Rows]:
        """Root mean square of the residual."""
        import torch

        with torch.inference_mode():
            rows = torch.from_numpy(scaled.astype(np.float32))
            rebuilt = torch.cat([self.network(block) for block in torch.split(rows, 4_096)])
            errors: Rows = (rows - rebuilt).square().numpy().astype(np.float64)
        score: Rows = np.sqrt(errors.mean(axis=1))
        return score, errors


def _fit(scaled: Rows, seed: int) -> _Autoencoder:
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = scaled.shape[1]
        latent = max(4, width // 2)
        network = nn.Sequential(
            *(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, latent), nn.GELU()),
            *(nn.Linear(latent, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width)),
        )
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        rows = torch.from_numpy(scaled.astype(np.float32))
        for step in range(STEPS):
            optimiser.param_groups[0]["lr"] = LEARNING_RATE * _factor(step)
            batch = rows[torch.randint(len(rows), (BATCH,))]
            rebuilt = network(batch + NOISE * torch.randn_like(batch))
            loss = (rebuilt - batch).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return _Autoencoder(network.eval())


def _factor(step: int) -> float:
    """Warm-up, then half a cosine."""
    if step < _WARM_UP:
        return (step + 1) / _WARM_UP
    return 0.51 + 0.49 * math.cos(math.pi * (step - _WARM_UP) / (STEPS - _WARM_UP))


PLAIN_AUTOENCODER = NamedDetector(
    name="row autoencoder",
    about=f"C-{HIDDEN}-max(4, C/2)-{HIDDEN}-C, noise {NOISE}, {STEPS} steps, single rows",
    train=calibrated(_fit),
)
