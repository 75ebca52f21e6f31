"""The total loss of a step, from the terms that have a weight.

Shapes: `B` batch, `T` samples, `U` content units, `F` frames of 20 ms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ablate import keys
from ablate.protocol import ConfigError
from trainer.config.config import Config
from trainer.config.losses import JUDGED
from trainer.data.batches import Batch
from trainer.losses.audio import (
    AUDIO_LOSSES,
    LEVEL_LOSSES,
    REGISTRY,
    LossSettings,
    content_ce,
    measure,
    norm_reg,
)
from trainer.losses.balancer import Balancer
from trainer.model import Codec, CodecOutput
from trainer.movement import InitialWeights
from trainer.signals import Signal


@dataclass(frozen=True, slots=True)
class Terms:
    """One batch's objective."""

    raw: Mapping[str, Tensor]
    """Loss name -> value, with gradients, for the terms that have a weight."""
    weights: Mapping[str, float | Tensor]
    """Loss name -> weight in this step; the names of `raw`."""
    total: Tensor
    """Sum of weight x value, 0-dim."""
    output: Signal
    target: Signal


class Objective:
    """Adds up the terms that the config gives a weight.

    Args:
        config: Weights, and settings of the losses.
        codec: The norms of its parameters are what `norm_reg` holds.
        start: The norms that it holds them to.

    Raises:
        ConfigError: If `norm_reg` names a parameter that the codec does not have.
    """

    def __init__(self, config: Config, codec: Codec, start: InitialWeights) -> None:
        self.settings = LossSettings(config.data.sample_rate_hz, config.data.target_rms)
        self.balancer = Balancer(config.balancer) if config.balancer.enabled else None
        self._held = _held_parameters(codec, config.losses.norm_reg.parameters)
        self._start = start
        if config.losses.norm_reg.weight and not self._held:
            names = ", ".join(config.losses.norm_reg.parameters)
            raise ConfigError("losses.norm_reg.parameters", f"this codec has no {names}")
        weights = {name: getattr(config.losses, name).weight for name in REGISTRY}
        self._weights = {name: w for name, w in weights.items() if w and name not in JUDGED}

    def __call__(
        self,
        made: CodecOutput,
        batch: Batch,
        *,
        adversarial: Mapping[str, tuple[float, Tensor]],
    ) -> Terms:
        """Return the terms of a batch.

        Args:
            made: What the codec made of it.
            batch: What was to be made.
            adversarial: Name -> (weight, value) of the discriminators' terms.
        """
        output, target = Signal(made.audio_BT), Signal(batch.audio_BT)
        raw = self._inner(made, batch, self._weights)
        raw |= {
            name: AUDIO_LOSSES[name](output, target, self.settings)
            for name in self._weights
            if name in AUDIO_LOSSES
        }
        weights: dict[str, float | Tensor] = {name: self._weights[name] for name in raw}
        for name, (weight, value) in adversarial.items():
            weights[name], raw[name] = weight, value
        if self.balancer is not None and torch.is_grad_enabled():
            weights |= self.balancer(raw, weights, output.audio_BT)
        total = torch.stack([weights[name] * value for name, value in raw.items()]).sum()
        return Terms(raw, weights, total, output, target)

    def _inner(self, made: CodecOutput, batch: Batch, names: Collection[str]) -> dict[str, Tensor]:
        """Return those of the named losses that look at the codec instead of its output.

        One whose input this codec does not have, as units without a head, does not exist.
        """
        found = {"commitment": made.quantized.commitment, "codebook": made.quantized.codebook}
        if "norm_reg" in names and self._held:
            initial = {name: self._start.norm(name) for name in self._held}
            found["norm_reg"] = norm_reg({n: p.norm() for n, p in self._held.items()}, initial)
        logits_BUF, units_BT = made.content_logits_BUF, batch.units_BT
        if "content_ce" in names and logits_BUF is not None and units_BT is not None:
            found["content_ce"] = content_ce(logits_BUF, units_BT)
        return {name: value for name, value in found.items() if name in names}

    @torch.no_grad()
    def report(self, terms: Terms, made: CodecOutput, batch: Batch) -> dict[str, Tensor]:
        """Return every loss, its weighted and its silent value by metric key; changes nothing.

        Losses without a weight are measured here, without gradients and without random numbers.
        ``train/audio/silence`` is the smallest value over silent value of the losses that are
        proportional to the error of the level: 1 for a silent output.
        """
        output, target = terms.output, terms.target
        silent = measure(target.silence(), target, self.settings)
        raw = {
            **measure(output, target, self.settings, skip=frozenset(terms.raw)),
            **self._inner(made, batch, REGISTRY),
            **terms.raw,
        }
        raw = {name: value.detach() for name, value in raw.items()}
        nearness = [raw[name] / silent[name].clamp_min(1e-12) for name in LEVEL_LOSSES]
        return {
            keys.TOTAL: terms.total.detach(),
            **{keys.LOSS.key(name): value for name, value in raw.items()},
            **{keys.WEIGHTED.key(n): w * raw[n] for n, w in terms.weights.items()},
            **{keys.SILENT.key(name): value for name, value in silent.items()},
            keys.SILENCE_RATIO: torch.stack(nearness).min(),
        }


def _held_parameters(codec: Codec, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Return name -> parameter; a watched layer that this topology lacks is left out."""
    known: dict[str, Tensor] = {**dict(codec.named_parameters()), **codec.tracked()}
    optional = {"final_conv_weight", "final_conv_bias"}
    for name in names:
        if name not in known and name not in optional:
            raise ConfigError(
                "losses.norm_reg.parameters",
                f"there is no parameter {name!r}; there are {', '.join(sorted(known))}",
            )
    return {name: known[name] for name in names if name in known}
