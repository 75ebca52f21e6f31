"""The total loss of a step, from the terms that have a weight.

Shapes: `B` batch, `T` samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.config import Config
from trainer.losses import AUDIO_LOSSES, REGISTRY, LossSettings, measure, norm_reg
from trainer.model import Codec, CodecOutput
from trainer.signals import Signal

ADVERSARIAL = ("adversarial", "feature_matching")
"""The terms that exist only with discriminators."""


@dataclass(frozen=True, slots=True)
class Terms:
    """One batch's objective."""

    raw: Mapping[str, Tensor]
    """Loss name -> value, with gradients, for the terms that have a weight."""
    weights: Mapping[str, float]
    """Loss name -> weight in this step; the names of `raw`."""
    total: Tensor
    """Sum of weight x value, 0-dim."""
    output: Signal
    target: Signal


INNER = ("norm_reg", "commitment", "codebook")
"""The terms that look at the codec instead of its output."""


class Objective:
    """Adds up the terms that the config gives a weight.

    Args:
        config: Weights, and settings of the losses.
        initial_norms: Norms that `norm_reg` holds to, by parameter name.
    """

    def __init__(self, config: Config, initial_norms: Mapping[str, float]) -> None:
        self.settings = LossSettings(config.data.sample_rate_hz, config.data.target_rms)
        self._initial_norms = initial_norms
        weights = {name: getattr(config.losses, name).weight for name in REGISTRY}
        self._weights = {name: w for name, w in weights.items() if w and name not in ADVERSARIAL}

    def __call__(
        self,
        codec: Codec,
        made: CodecOutput,
        target_BT: Tensor,
        *,
        adversarial: Mapping[str, tuple[float, Tensor]],
    ) -> Terms:
        """Return the terms of a batch.

        Args:
            codec: For the norms of its parameters.
            made: What it made of the batch.
            target_BT: The batch.
            adversarial: Name -> (weight, value) of the discriminators' terms.
        """
        output, target = Signal(made.audio_BT), Signal(target_BT)
        weights = dict(self._weights)
        raw = {
            name: AUDIO_LOSSES[name](output, target, self.settings)
            if name in AUDIO_LOSSES
            else self._inner(name, codec, made)
            for name in weights
        }
        for name, (weight, value) in adversarial.items():
            weights[name], raw[name] = weight, value
        total = torch.stack([weights[name] * value for name, value in raw.items()]).sum()
        return Terms(raw, weights, total, output, target)

    def _inner(self, name: str, codec: Codec, made: CodecOutput) -> Tensor:
        """Return a loss that does not compare audio."""
        if name == "norm_reg":
            norms = {key: parameter.norm() for key, parameter in codec.tracked().items()}
            return norm_reg(norms, self._initial_norms)
        return getattr(made.quantized, name)

    @torch.no_grad()
    def report(self, terms: Terms, codec: Codec, made: CodecOutput) -> dict[str, Tensor]:
        """Return every loss, its weighted and its silent value by metric key; changes nothing.

        Losses without a weight are measured here, without gradients and without random numbers.
        """
        output, target = terms.output, terms.target
        silent = measure(target.silence(), target, self.settings)
        raw = {
            **measure(output, target, self.settings, skip=frozenset(terms.raw)),
            **{name: self._inner(name, codec, made) for name in INNER},
            **terms.raw,
        }
        raw = {name: value.detach() for name, value in raw.items()}
        return {
            "train/loss/total": terms.total.detach(),
            **{f"train/loss/{name}": value for name, value in raw.items()},
            **{f"train/weighted/{n}": w * raw[n] for n, w in terms.weights.items()},
            **{f"train/silent/{name}": value for name, value in silent.items()},
        }
