"""AdamW of the codec: which weights it moves, at which rate, with how long a gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ablate import keys
from trainer.config.config import OptimConfig
from trainer.model import Codec


def learning_rate(optim: OptimConfig, step: int) -> float:
    """Return the rate of step ``step``, counted from 1: warm-up, then constant or a cosine."""
    if step < optim.warmup_steps:
        return optim.learning_rate * step / optim.warmup_steps
    if optim.decay_steps <= optim.warmup_steps:
        return optim.learning_rate
    progress = (step - optim.warmup_steps) / (optim.decay_steps - optim.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    floor = optim.final_fraction
    return optim.learning_rate * (floor + (1 - floor) * cosine)


def build_optimizer(codec: Codec, optim: OptimConfig, device: torch.device) -> torch.optim.AdamW:
    """Return AdamW with weight decay on the matrices inside the network alone.

    Parts that the config freezes need no gradient any more, and are never moved.
    """
    for part in optim.freeze:
        codec.get_submodule(part).requires_grad_(requires_grad=False)
    exempt = {id(p) for p in codec.read_out.parameters()}
    exempt |= {id(p) for p in codec.quantizer.parameters()}
    decayed, plain = [], []
    for parameter in codec.parameters():
        is_matrix = parameter.ndim >= 2 and id(parameter) not in exempt
        (decayed if is_matrix else plain).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": optim.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=optim.learning_rate,
        betas=(optim.beta1, optim.beta2),
        fused=device.type in ("cpu", "cuda"),
    )


def moments_by_name(optimizer: torch.optim.AdamW, codec: Codec) -> dict[str, dict[str, Tensor]]:
    """Return what AdamW knows of each parameter, by the parameter's name."""
    return {
        name: dict(optimizer.state[parameter])
        for name, parameter in codec.named_parameters()
        if parameter in optimizer.state
    }


def load_moments(
    optimizer: torch.optim.AdamW, codec: Codec, moments: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Give AdamW back what it knew of the parameters that have the same name and shape."""
    for name, parameter in codec.named_parameters():
        known = moments.get(name)
        if known is not None and known["exp_avg"].shape == parameter.shape:
            optimizer.state[parameter] = {
                key: value.clone().to(parameter.device) for key, value in known.items()
            }


class Clipping:
    """Shortens the gradient to a longest norm, and counts how often it had to.

    Args:
        limit: The longest norm; 0 does not clip.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._steps = 0
        self._clipped = torch.zeros(())

    def __call__(self, codec: Codec) -> Tensor:
        """Clip the gradients of a codec and return the norm that they had, 0-dim."""
        # Without a limit the norm is still wanted for its curve.
        limit = self._limit or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(codec.parameters(), limit)
        self._steps += 1
        self._clipped = self._clipped.to(norm.device) + (norm > limit)
        return norm

    def read(self) -> dict[str, Tensor]:
        """Return the share of the steps since the last call in which it shortened."""
        share = self._clipped / max(self._steps, 1)
        self._steps, self._clipped = 0, torch.zeros_like(self._clipped)
        return {keys.CLIP_FRACTION: share}

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"steps": self._steps, "clipped": self._clipped.clone()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self._steps, self._clipped = state["steps"], state["clipped"]
