"""Outputs that know next to nothing, and what every loss is for them.

A loss that "converged" may only have come as far as one of these. Each is made from the held-out
target alone, with a generator of its own, and measured once.

Shapes: `B` batch, `T` samples, `F` frames, `K` frequency bins, `P` bands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ablate import keys
from trainer.losses.audio import FRAME_SAMPLES, LossSettings, measure
from trainer.signals import Signal, band_weights

_ENVELOPE_SAMPLES = 512
_SEED = 0

Predictor = Callable[[Tensor, torch.Generator, int], Tensor]
"""From (target, generator, sample rate in Hz) to an output of the target's shape."""


def silence(target_BT: Tensor, *_: object) -> Tensor:
    """Return nothing at all."""
    return torch.zeros_like(target_BT)


def mean(target_BT: Tensor, *_: object) -> Tensor:
    """Return for each item the mean of the batch's other items; of a single item, nothing."""
    others = max(1, len(target_BT) - 1)
    return (target_BT.sum(dim=0, keepdim=True) - target_BT) / others


def white(target_BT: Tensor, generator: torch.Generator, *_: object) -> Tensor:
    """Return white noise with each item's level."""
    return _at_level(torch.randn(target_BT.shape, generator=generator), target_BT)


def ltas(target_BT: Tensor, generator: torch.Generator, *_: object) -> Tensor:
    """Return noise with the long-term average spectrum of the batch and each item's level."""
    noise_BK = torch.fft.rfft(torch.randn(target_BT.shape, generator=generator))
    shape_K = torch.fft.rfft(target_BT).abs().square().mean(dim=0).sqrt()
    return _at_level(torch.fft.irfft(noise_BK * shape_K, n=target_BT.shape[1]), target_BT)


def ltas_envelope(target_BT: Tensor, generator: torch.Generator, *_: object) -> Tensor:
    """Return `ltas` noise that swells and fades as each item does."""
    width = min(_ENVELOPE_SAMPLES, target_BT.shape[1])
    power_B1T = target_BT.square().unsqueeze(1)
    frames_B1F = functional.avg_pool1d(power_B1T, width, stride=width, ceil_mode=True)
    envelope_B1T = functional.interpolate(
        frames_B1F.sqrt(), size=target_BT.shape[1], mode="linear", align_corners=False
    )
    return _at_level(ltas(target_BT, generator) * envelope_B1T.squeeze(1), target_BT)


def bands(target_BT: Tensor, generator: torch.Generator, sample_rate_hz: int) -> Tensor:
    """Return noise with the target's level in each frame and band, as `rms_band` sees them.

    What a loss of levels alone rewards is in it, and nothing of the sound.
    """
    noise_BT = torch.randn(target_BT.shape, generator=generator)
    wanted_BKF, noise_BKF = _spectrum(target_BT), _spectrum(noise_BT)
    weights_PK = band_weights(FRAME_SAMPLES, sample_rate_hz, "cpu", torch.float32)
    wanted_BPF, noise_BPF = (weights_PK @ x.abs().square() for x in (wanted_BKF, noise_BKF))
    gain_BKF = (weights_PK > 0).float().T @ (wanted_BPF / noise_BPF.clamp_min(1e-12)).sqrt()
    return torch.istft(
        noise_BKF * gain_BKF,
        FRAME_SAMPLES,
        FRAME_SAMPLES // 4,
        window=torch.hann_window(FRAME_SAMPLES),
        length=target_BT.shape[1],
    )


def _spectrum(audio_BT: Tensor) -> Tensor:
    return torch.stft(
        audio_BT,
        FRAME_SAMPLES,
        FRAME_SAMPLES // 4,
        window=torch.hann_window(FRAME_SAMPLES),
        pad_mode="constant",
        return_complex=True,
    )


def other_utterance(target_BT: Tensor, *_: object) -> Tensor:
    """Return the batch's next item for each item; of a single item, its other half first."""
    if len(target_BT) > 1:
        return target_BT.roll(1, dims=0)
    return target_BT.roll(target_BT.shape[1] // 2, dims=1)


def _at_level(audio_BT: Tensor, like_BT: Tensor) -> Tensor:
    levels_B1 = [x.square().mean(dim=1, keepdim=True).sqrt() for x in (audio_BT, like_BT)]
    return audio_BT * (levels_B1[1] / levels_B1[0].clamp_min(1e-9))


PREDICTORS: Mapping[str, Predictor] = {
    p.__name__: p for p in (silence, mean, white, ltas, ltas_envelope, bands, other_utterance)
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
        rate_hz = settings.sample_rate_hz
        outputs = [predict(x.cpu(), generator, rate_hz).to(x.device) for x in batches]
        rows = [
            measure(Signal(output), Signal(batch), settings)
            for output, batch in zip(outputs, batches, strict=True)
        ]
        for loss in rows[0]:
            values = torch.stack([row[loss].cpu() for row in rows])
            found[keys.NULL.key(f"{name}/{loss}")] = (values * share).sum()
    return found
