"""Weights that follow the gradients, so that each term has the share it was given.

Shapes: `B` batch, `T` samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.config.config import BalancerConfig


class Balancer:
    """Gives each term of the output a weight with which its gradient has a fixed length.

    With weights w_i and running means n_i of the lengths of the terms' own gradients at the
    output, term i gets the weight ``R w_i / (n_i sum(w))``: what reaches the codec from term i is
    ``R w_i / sum(w)`` long on average, whatever its unit. Terms that do not depend on the output
    keep their weights.

    Source: Défossez et al. 2022, arXiv:2210.13438, equation 7.
    """

    def __init__(self, config: BalancerConfig) -> None:
        self._config = config
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, float] = {}

    def __call__(
        self, raw: Mapping[str, Tensor], weights: Mapping[str, float | Tensor], audio_BT: Tensor
    ) -> dict[str, Tensor]:
        """Return name -> weight for the terms that depend on the output; learns from the batch.

        Args:
            raw: Name -> value with its graph, which is kept.
            weights: Name -> share that is wanted.
            audio_BT: The output that the terms were computed from.
        """
        shares: dict[str, float | Tensor] = {}
        for name, value in raw.items():
            (gradient_BT,) = torch.autograd.grad(
                value, audio_BT, retain_graph=True, allow_unused=True
            )
            # None where the term does not depend on the output, whatever the stub says.
            if gradient_BT is None:  # pyright: ignore[reportUnnecessaryComparison]
                continue
            self._learn(name, gradient_BT.norm(dim=1).mean())
            shares[name] = weights[name]
        whole = sum(shares.values())
        scale = self._config.total_norm
        return {
            name: scale * share / whole / self._mean(name).clamp_min(1e-12)
            for name, share in shares.items()
        }

    def _learn(self, name: str, length: Tensor) -> None:
        keep = self._config.decay
        self._sums[name] = keep * self._sums.get(name, torch.zeros_like(length)) + length
        self._counts[name] = keep * self._counts.get(name, 0.0) + 1

    def _mean(self, name: str) -> Tensor:
        """Return the running mean, free of the bias of its beginning."""
        return self._sums[name] / self._counts[name]

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def restore(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on where ``state`` was taken."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
