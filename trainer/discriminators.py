"""The adversarial option: discriminators on complex spectra, with their own optimizer and seed.

Shapes: `B` batch, `C` channels, `T` samples, `F` frames, `K` frequency bins.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablate.protocol import Run
from trainer.config import Config


class Judgement(NamedTuple):
    """What one discriminator says about a batch."""

    scores: Tensor
    """One per region of the spectrum; positive means real."""
    features: tuple[Tensor, ...]
    """Activations of the inner layers."""


class StftDiscriminator(nn.Module):
    """Convolutions over one complex STFT.

    Source: Défossez et al. 2022, arXiv:2210.13438, section 3.4. Deviation: fewer channels, no
    weight normalisation, input in units of the target's level.

    Args:
        n_fft: Window, in samples; the hop is a quarter.
        channels: Width of every layer.
        unit_rms: Level that the layers see as 1. A constant, so that they still see the level.
    """

    _window: Tensor

    def __init__(self, n_fft: int, channels: int, *, unit_rms: float) -> None:
        super().__init__()
        self._unit_rms = unit_rms
        self._n_fft = n_fft
        self.register_buffer("_window", torch.hann_window(n_fft), persistent=False)
        self.layers = nn.ModuleList([nn.Conv2d(2, channels, (3, 9), padding=(1, 4))])
        for dilation in (1, 2, 4):
            self.layers.append(
                nn.Conv2d(
                    channels,
                    channels,
                    (3, 9),
                    stride=(1, 2),
                    dilation=(dilation, 1),
                    padding=(dilation, 4),
                )
            )
        self.score = nn.Conv2d(channels, 1, (3, 3), padding=1)

    def forward(self, audio_BT: Tensor) -> Judgement:
        """Judge a batch."""
        spectrum = torch.stft(
            audio_BT.float() / self._unit_rms,
            self._n_fft,
            hop_length=self._n_fft // 4,
            window=self._window,
            pad_mode="constant",
            normalized=True,
            return_complex=True,
        )
        hidden = torch.view_as_real(spectrum).permute(0, 3, 2, 1)
        features: list[Tensor] = []
        for layer in self.layers:
            hidden = functional.leaky_relu(layer(hidden), 0.2)
            features.append(hidden)
        return Judgement(self.score(hidden), tuple(features))


class Contest(NamedTuple):
    """One step of codec against discriminators."""

    terms: Mapping[str, tuple[float, Tensor]]
    """Loss name -> (weight, value) for the codec's objective."""
    metrics: Mapping[str, Tensor]
    """How the discriminators did."""


NO_CONTEST = Contest({}, {})


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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed("discriminator"))
            built = [
                StftDiscriminator(n, self._config.channels, unit_rms=config.data.target_rms)
                for n in self._config.n_ffts
            ]
        self.judges = nn.ModuleList(built).to(run.device)
        self.optimizer = torch.optim.AdamW(
            self.judges.parameters(),
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

        Source: hinge loss, Lim and Ye 2017, arXiv:1705.02894.
        """
        output_BT = output_BT.detach()
        losses: list[Tensor] = []
        margins: list[Tensor] = []
        for judge in self.judges:
            real, fake = judge(target_BT).scores, judge(output_BT).scores
            losses.append(functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())
            margins.append((real.mean() - fake.mean()).detach())
        loss = torch.stack(losses).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {
            "train/discriminator/loss": loss.detach(),
            "train/discriminator/margin": torch.stack(margins).mean(),
        }

    def contest(self, output_BT: Tensor, target_BT: Tensor, step: int) -> Contest:
        """Train the discriminators on a batch, then let them judge the codec in step ``step``."""
        if not self.takes_part(step):
            return NO_CONTEST
        metrics = self.learn(output_BT, target_BT)
        return Contest(self.terms(output_BT, target_BT, step), metrics)

    def terms(
        self, output_BT: Tensor, target_BT: Tensor, step: int
    ) -> dict[str, tuple[float, Tensor]]:
        """Return (weight, value) of the codec's two adversarial terms, with gradients to it alone.

        Source: Défossez et al. 2022, arXiv:2210.13438, equations 3 and 5.
        """
        self.judges.requires_grad_(requires_grad=False)
        try:
            values = self._values(output_BT, target_BT)
        finally:
            self.judges.requires_grad_(requires_grad=True)
        factor = self.ramp(step)
        # A term without a weight stays out of the graph, as every other loss does.
        wanted = {name: weight for name, weight in self._weights.items() if weight > 0}
        return {name: (factor * weight, values[name]) for name, weight in wanted.items()}

    def _values(self, output_BT: Tensor, target_BT: Tensor) -> dict[str, Tensor]:
        hinges: list[Tensor] = []
        distances: list[Tensor] = []
        for judge in self.judges:
            fake = judge(output_BT)
            with torch.no_grad():
                real = judge(target_BT)
            hinges.append(functional.relu(1 - fake.scores).mean())
            distances += itertools.starmap(
                _relative_l1, zip(fake.features, real.features, strict=True)
            )
        return {
            "adversarial": torch.stack(hinges).mean(),
            "feature_matching": torch.stack(distances).mean(),
        }

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"judges": self.judges.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self.judges.load_state_dict(state["judges"])
        self.optimizer.load_state_dict(state["optimizer"])


def _relative_l1(fake: Tensor, real: Tensor) -> Tensor:
    return (fake - real).abs().mean() / real.abs().mean().clamp_min(1e-8)
