"""Outputs that know next to nothing, and what every loss is for them.

A loss that "converged" may only have come as far as one of these. Each is made from the held-out
target alone, with a generator of its own, and measured once.

Shapes: `B` batch, `T` samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses import LossSettings, measure
from trainer.signals import Signal

_ENVELOPE_SAMPLES = 512
_SEED = 0

Predictor = Callable[[Tensor, torch.Generator], Tensor]


def silence(target_BT: Tensor, _: torch.Generator) -> Tensor:
    """Return nothing at all."""
    return torch.zeros_like(target_BT)


def mean(target_BT: Tensor, _: torch.Generator) -> Tensor:
    """Return the mean of the batch, for every item."""
    return target_BT.mean(dim=0, keepdim=True).expand_as(target_BT)


def white(target_BT: Tensor, generator: torch.Generator) -> Tensor:
    """Return white noise with each item's level."""
    return _at_level(torch.randn(target_BT.shape, generator=generator), target_BT)


def ltas(target_BT: Tensor, generator: torch.Generator) -> Tensor:
    """Return noise with the long-term average spectrum of the batch and each item's level."""
    noise_BK = torch.fft.rfft(torch.randn(target_BT.shape, generator=generator))
    shape_K = torch.fft.rfft(target_BT).abs().square().mean(dim=0).sqrt()
    return _at_level(torch.fft.irfft(noise_BK * shape_K, n=target_BT.shape[1]), target_BT)


def ltas_envelope(target_BT: Tensor, generator: torch.Generator) -> Tensor:
    """Return `ltas` noise that swells and fades as each item does."""
    width = min(_ENVELOPE_SAMPLES, target_BT.shape[1])
    power_B1T = target_BT.square().unsqueeze(1)
    frames_B1F = functional.avg_pool1d(power_B1T, width, stride=width, ceil_mode=True)
    envelope_B1T = functional.interpolate(
        frames_B1F.sqrt(), size=target_BT.shape[1], mode="linear", align_corners=False
    )
    return _at_level(ltas(target_BT, generator) * envelope_B1T.squeeze(1), target_BT)


def other_utterance(target_BT: Tensor, _: torch.Generator) -> Tensor:
    """Return the batch's next item for each item; of a single item, its other half first."""
    if len(target_BT) > 1:
        return target_BT.roll(1, dims=0)
    return target_BT.roll(target_BT.shape[1] // 2, dims=1)


def _at_level(audio_BT: Tensor, like_BT: Tensor) -> Tensor:
    levels_B1 = [x.square().mean(dim=1, keepdim=True).sqrt() for x in (audio_BT, like_BT)]
    return audio_BT * (levels_B1[1] / levels_B1[0].clamp_min(1e-9))


PREDICTORS: Mapping[str, Predictor] = {
    p.__name__: p for p in (silence, mean, white, ltas, ltas_envelope, other_utterance)
}
"""Name -> what makes that output of a target; on the CPU."""


@torch.no_grad()
def null_losses(batches: Sequence[Tensor], settings: LossSettings) -> dict[str, Tensor]:
    """Return ``null/<predictor>/<loss>`` over the held-out set.

    Args:
        batches: The held-out set.
        settings: Of the losses.
    """
    found: dict[str, Tensor] = {}
    share = torch.tensor([len(batch) for batch in batches], dtype=torch.float32)
    share /= share.sum()
    for name, predict in PREDICTORS.items():
        generator = torch.Generator().manual_seed(_SEED)
        rows = [
            measure(
                Signal(predict(batch.cpu(), generator).to(batch.device)), Signal(batch), settings
            )
            for batch in batches
        ]
        for loss in rows[0]:
            values = torch.stack([row[loss].cpu() for row in rows])
            found[f"null/{name}/{loss}"] = (values * share).sum()
    return found
