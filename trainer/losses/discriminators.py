"""The discriminators: each looks at the audio in another way.

All see it in units of the target's level, a constant, so that they see the level too.

Shapes: `B` batch, `C` channels, `T` samples, `F` frames, `K` frequency bins, `P` period.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.config.config import DiscriminatorConfig


class DiscriminatorOutput(NamedTuple):
    """What one discriminator says about a batch."""

    scores: Tensor
    """One per region; high means real."""
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

    def forward(self, audio_BT: Tensor) -> DiscriminatorOutput:
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
        planes = torch.view_as_real(spectrum).permute(0, 3, 2, 1)
        return _scored(self.layers, self.score, planes)


class PeriodDiscriminator(nn.Module):
    """Convolutions over the audio folded at a period, along the rows of equal phase.

    Source: Kong et al. 2020, arXiv:2010.05646, section 2.3. Deviation: fewer channels and layers,
    no weight normalisation.

    Args:
        period: Samples of a row.
        channels: Width of every layer.
        unit_rms: Level that the layers see as 1.
    """

    def __init__(self, period: int, channels: int, *, unit_rms: float) -> None:
        super().__init__()
        self._period = period
        self._unit_rms = unit_rms
        widths = [1, channels, channels, channels, channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (5, 1), stride=(3, 1), padding=(2, 0))
            for before, after in itertools.pairwise(widths)
        )
        self.score = nn.Conv2d(channels, 1, (3, 1), padding=(1, 0))

    def forward(self, audio_BT: Tensor) -> DiscriminatorOutput:
        """Judge a batch."""
        missing = -audio_BT.shape[1] % self._period
        padded = functional.pad(audio_BT / self._unit_rms, (0, missing))
        folded = padded.reshape(len(audio_BT), 1, -1, self._period)
        return _scored(self.layers, self.score, folded)


class ScaleDiscriminator(nn.Module):
    """Strided convolutions over the audio itself, or over means of some of its samples.

    Source: Kumar et al. 2019, arXiv:1910.06711, section 2.2. Deviation: fewer channels, no weight
    normalisation, plain means between the scales.

    Args:
        factor: Samples that are averaged to one.
        channels: Width of every layer.
        unit_rms: Level that the layers see as 1.
    """

    def __init__(self, factor: int, channels: int, *, unit_rms: float) -> None:
        super().__init__()
        self._factor = factor
        self._unit_rms = unit_rms
        self.layers = nn.ModuleList([nn.Conv1d(1, channels, 15, padding=7)])
        for stride in (4, 4, 4):
            self.layers.append(nn.Conv1d(channels, channels, 41, stride=stride, padding=20))
        self.score = nn.Conv1d(channels, 1, 3, padding=1)

    def forward(self, audio_BT: Tensor) -> DiscriminatorOutput:
        """Judge a batch."""
        audio_B1T = audio_BT.unsqueeze(1) / self._unit_rms
        return _scored(self.layers, self.score, functional.avg_pool1d(audio_B1T, self._factor))


def build_discriminators(config: DiscriminatorConfig, unit_rms: float) -> nn.ModuleList:
    """Return every discriminator of the configured kinds, drawn from torch's global generator."""
    width = config.channels
    makers = {
        "stft": [(StftDiscriminator, n) for n in config.n_ffts],
        "multi_period": [(PeriodDiscriminator, n) for n in config.periods],
        "multi_scale": [(ScaleDiscriminator, n) for n in config.scales],
    }
    return nn.ModuleList(
        make(size, width, unit_rms=unit_rms) for kind in config.kinds for make, size in makers[kind]
    )


def _scored(layers: nn.ModuleList, score: nn.Module, hidden: Tensor) -> DiscriminatorOutput:
    features: list[Tensor] = []
    for layer in layers:
        hidden = functional.leaky_relu(layer(hidden), 0.2)
        features.append(hidden)
    return DiscriminatorOutput(score(hidden), tuple(features))
