"""The adversarial option: codec against discriminators, which have an optimizer and a seed.

Shapes: `B` batch, `T` samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ablate import keys
from ablate.protocol import Run
from trainer.config.config import Config
from trainer.losses.discriminators import build_discriminators
from trainer.parallel import average_gradients


def _hinge_discriminator(scores: Tensor, *, real: bool) -> Tensor:
    return functional.relu(1 - scores if real else 1 + scores).mean()


def _hinge_codec(scores: Tensor) -> Tensor:
    return functional.relu(1 - scores).mean()


def _lsgan_discriminator(scores: Tensor, *, real: bool) -> Tensor:
    return (scores - (1.0 if real else 0.0)).square().mean()


def _lsgan_codec(scores: Tensor) -> Tensor:
    return (scores - 1).square().mean()


_DISCRIMINATOR_LOSS = {"hinge": _hinge_discriminator, "lsgan": _lsgan_discriminator}
"""What a discriminator pays for its scores, given what they are about."""
_CODEC_LOSS = {"hinge": _hinge_codec, "lsgan": _lsgan_codec}
"""What the codec pays for the scores of its output."""


class AdversarialStep(NamedTuple):
    """One step of codec against discriminators."""

    terms: Mapping[str, tuple[float, Tensor]]
    """Loss name -> (weight, value) for the codec's objective."""
    metrics: Mapping[str, Tensor]
    """How the discriminators did."""


NO_ADVERSARY = AdversarialStep({}, {})


class Adversary:
    """All discriminators of a run. Their weights are drawn from a stream of their own.

    Args:
        config: Sizes, rate, schedule, and the two weights.
        run: Gives seed and device.
    """

    def __init__(self, config: Config, run: Run) -> None:
        self._config = config.discriminator
        self._weights = {
            "adversarial": config.losses.adversarial.weight,
            "feature_matching": config.losses.feature_matching.weight,
        }
        self._own_loss = _DISCRIMINATOR_LOSS[self._config.loss]
        self._codec_loss = _CODEC_LOSS[self._config.loss]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed("discriminator"))
            discriminators = build_discriminators(self._config, config.data.target_rms)
        self.discriminators = discriminators.to(run.device)
        self.optimizer = torch.optim.AdamW(
            self.discriminators.parameters(),
            lr=self._config.learning_rate,
            betas=(config.optim.beta1, config.optim.beta2),
            weight_decay=0.0,
            fused=True,
        )

    def takes_part(self, step: int) -> bool:
        """Return whether the discriminators train and count in step ``step``, counted from 1."""
        return step > self._config.start_step

    def ramp(self, step: int) -> float:
        """Return the factor of both weights in step ``step``, in 0 to 1."""
        if self._config.ramp_steps == 0:
            return 1.0
        return min(1.0, (step - self._config.start_step) / self._config.ramp_steps)

    def learn(self, output_BT: Tensor, target_BT: Tensor) -> dict[str, Tensor]:
        """Train the discriminators for one step on a batch; return what is worth a curve.

        Source: hinge loss, Lim and Ye 2017, arXiv:1705.02894; least squares, Mao et al. 2016,
        arXiv:1611.04076.
        """
        output_BT = output_BT.detach()
        losses: list[Tensor] = []
        margins: list[Tensor] = []
        for discriminator in self.discriminators:
            real, fake = discriminator(target_BT).scores, discriminator(output_BT).scores
            losses.append(self._own_loss(real, real=True) + self._own_loss(fake, real=False))
            margins.append((real.mean() - fake.mean()).detach())
        loss = torch.stack(losses).mean()
        self.optimizer.zero_grad()
        loss.backward()
        average_gradients(self.discriminators)
        self.optimizer.step()
        return {
            keys.DISCRIMINATOR_LOSS: loss.detach(),
            keys.DISCRIMINATOR_MARGIN: torch.stack(margins).mean(),
        }

    def adversarial_step(self, output_BT: Tensor, target_BT: Tensor, step: int) -> AdversarialStep:
        """Train the discriminators on a batch, then let them judge the codec in step ``step``."""
        if not self.takes_part(step):
            return NO_ADVERSARY
        metrics = self.learn(output_BT, target_BT)
        return AdversarialStep(self.terms(output_BT, target_BT, step), metrics)

    def terms(
        self, output_BT: Tensor, target_BT: Tensor, step: int
    ) -> dict[str, tuple[float, Tensor]]:
        """Return (weight, value) of the codec's two adversarial terms, with gradients to it alone.

        Source: as `learn`; feature matching, Défossez et al. 2022, arXiv:2210.13438, equation 5.
        """
        self.discriminators.requires_grad_(requires_grad=False)
        try:
            values = self._values(output_BT, target_BT)
        finally:
            self.discriminators.requires_grad_(requires_grad=True)
        factor = self.ramp(step)
        # A term without a weight stays out of the graph, as every other loss does.
        wanted = {name: weight for name, weight in self._weights.items() if weight > 0}
        return {name: (factor * weight, values[name]) for name, weight in wanted.items()}

    def _values(self, output_BT: Tensor, target_BT: Tensor) -> dict[str, Tensor]:
        wanted: list[Tensor] = []
        distances: list[Tensor] = []
        for discriminator in self.discriminators:
            fake = discriminator(output_BT)
            with torch.no_grad():
                real = discriminator(target_BT)
            wanted.append(self._codec_loss(fake.scores))
            distances += itertools.starmap(
                _relative_l1, zip(fake.features, real.features, strict=True)
            )
        return {
            "adversarial": torch.stack(wanted).mean(),
            "feature_matching": torch.stack(distances).mean(),
        }

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        # The key is that of the first release: older checkpoints are taken up.
        weights = self.discriminators.state_dict()
        return {"judges": weights, "optimizer": self.optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self.discriminators.load_state_dict(state["judges"])
        self.optimizer.load_state_dict(state["optimizer"])


def _relative_l1(fake: Tensor, real: Tensor) -> Tensor:
    return (fake - real).abs().mean() / real.abs().mean().clamp_min(1e-8)
