"""Pitch and energy of speech, as features beside the content and as a measure of the output.

Shapes: `B` batch, `T` samples, `N` frames of 20 ms, `L` lags, `F` features.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ablate import keys
from trainer.config.config import UNIT_S

THRESHOLDS = (0.05, 0.1, 0.15)
"""Below which the normalised difference counts as a period. Source: arXiv:2401.03078, 2.3."""
N_FEATURES = 3 * len(THRESHOLDS) + 1

_LOWEST_HZ = 50.0
_HIGHEST_HZ = 500.0
_WINDOW_S = 0.032
_NEARLY_ZERO = 1e-6
"""Of a frame's own energy: differences below it are rounding."""
_SILENCE = 1e-10
"""Mean square below which there is nothing at all, -100 dB."""
_AUDIBLE = 10 ** (-30 / 20)
"""Level of a frame, relative to that of its utterance, below which nobody hears a voice."""
_LEAST_DEVIATION = 0.01
"""In nepers: what varies less is constant, and is not blown up to deviation 1."""


class Pitch(NamedTuple):
    """What YIN found at one threshold."""

    log_f0_BN: Tensor
    """Natural logarithm of the frequency in Hz; the best guess where there is no voice."""
    cmnd_BN: Tensor
    """Cumulative mean normalised difference at that period; 0: periodic, 1: not at all."""
    voiced_BN: Tensor
    """bool: whether a period was found below the threshold."""


def prosody(audio_BT: Tensor, sample_rate_hz: int) -> Tensor:
    """Return pitch and energy over time, ``(B, N_FEATURES, N)``, without gradient.

    For each threshold log f0, cumulative mean normalised difference and voicing; then log energy.
    f0 has mean 0 and deviation 1 over the voiced frames of its utterance and is 0 elsewhere, so
    that it tells the melody but not whose it is. Energy likewise, over all frames.

    Args:
        audio_BT: Full scale = 1; any length, the last frame may be cut.
        sample_rate_hz: At least 4000.

    Source: Yang et al. 2024, "StreamVC", arXiv:2401.03078, section 2.3. Deviation: mean and
    deviation are those of the whole utterance, where the paper's run along.
    """
    features: list[Tensor] = []
    for found in yin(audio_BT, sample_rate_hz):
        voiced_BN = found.voiced_BN.float()
        features += [_whitened(found.log_f0_BN, voiced_BN), found.cmnd_BN, voiced_BN]
    energy_BN = 0.5 * (_mean_square(audio_BT, sample_rate_hz) + _SILENCE).log()
    features.append(_whitened(energy_BN, torch.ones_like(energy_BN)))
    return torch.stack(features, dim=1)


@torch.no_grad()
def yin(
    audio_BT: Tensor, sample_rate_hz: int, thresholds: tuple[float, ...] = THRESHOLDS
) -> list[Pitch]:
    """Return the pitch at each threshold, from 50 to 500 Hz.

    The first lag at which the normalised difference has a minimum below the threshold is the
    period, refined by a parabola; where there is none, the lag of the smallest value is a guess.
    Looks at 40 to 1500 Hz alone.

    Source: de Cheveigne and Kawahara 2002, doi 10.1121/1.1458024, steps 1 to 5. Deviations: a
    minimum of its own, no parabola, is sought below the threshold; step 6 is left out.
    """
    difference_BNL = _difference(audio_BT, sample_rate_hz)
    first = int(sample_rate_hz / _HIGHEST_HZ)
    lags_L = torch.arange(1, difference_BNL.shape[2], device=audio_BT.device)
    # Index 0 is lag 1 from here on: at lag 0 everything is equal to itself.
    mean_BNL = _running_sum(difference_BNL[..., 1:]) / lags_L
    cmnd_BNL = (difference_BNL[..., 1:] / mean_BNL)[..., first - 2 :]
    inner_BNL = cmnd_BNL[..., 1:-1]
    is_minimum = (inner_BNL < cmnd_BNL[..., :-2]) & (inner_BNL <= cmnd_BNL[..., 2:])
    smallest_BN = inner_BNL.argmin(dim=2)
    found: list[Pitch] = []
    for threshold in thresholds:
        is_period = is_minimum & (inner_BNL < threshold)
        voiced_BN = is_period.any(dim=2)
        index_BN = torch.where(voiced_BN, is_period.int().argmax(dim=2), smallest_BN)
        # Index 0 of the inner lags is lag `first`.
        period_BN = first + index_BN + _vertex(difference_BNL, first + index_BN)
        cmnd_BN = inner_BNL.gather(2, index_BN.unsqueeze(2)).squeeze(2)
        log_f0_BN = (sample_rate_hz / period_BN).log()
        found.append(Pitch(log_f0_BN, cmnd_BN, voiced_BN))
    return found


def _difference(audio_BT: Tensor, sample_rate_hz: int) -> Tensor:
    """Return the energy of the difference from each frame to itself so many samples later.

    ``(B, N, L)``; never below a little of the frame's energy, so that all of silence is equal and
    nothing divides by zero.
    """
    window, last = _window_samples(sample_rate_hz)
    frames_BNT = _frames(_low_band(audio_BT, sample_rate_hz), sample_rate_hz, window + last)
    size = 1 << (window + last - 1).bit_length()
    spectrum = torch.fft.rfft(frames_BNT, size)
    start = torch.fft.rfft(frames_BNT[..., :window], size)
    product_BNL = torch.fft.irfft(start.conj() * spectrum, size)[..., : last + 1]
    power_BNT = frames_BNT.square()
    energy_BN1 = power_BNT[..., :window].sum(dim=2, keepdim=True)
    # One sample later, one sample comes in and one goes out.
    change_BNL = functional.pad(power_BNT[..., window:] - power_BNT[..., :last], (1, 0))
    later_BNL = energy_BN1 + _running_sum(change_BNL)
    floor_BN1 = _NEARLY_ZERO * power_BNT.sum(dim=2, keepdim=True) + _SILENCE * window
    return (energy_BN1 + later_BNL - 2 * product_BNL).clamp_min(0) + floor_BN1


def _running_sum(values_BNL: Tensor) -> Tensor:
    # `cumsum` is not deterministic on CUDA; a few hundred lags are soon multiplied.
    size = values_BNL.shape[2]
    return values_BNL @ torch.ones(size, size, device=values_BNL.device).triu()


def _low_band(audio_BT: Tensor, sample_rate_hz: int) -> Tensor:
    """Return what lies between 40 Hz and 1.5 kHz.

    Breath and hiss above it hide the period. Less would leave one harmonic standing alone where a
    formant is low, which is heard an octave up.
    """
    # Zeros at the end, so that it does not ring into the beginning.
    size = audio_BT.shape[1] + sample_rate_hz // 10
    spectrum = torch.fft.rfft(audio_BT.float(), size)
    hz = torch.arange(spectrum.shape[1], device=audio_BT.device) * sample_rate_hz / size
    # Half a cosine at each edge.
    rising, falling = (hz - 30) / 20, (1650 - hz) / 300
    gain = 0.5 - 0.5 * torch.cos(math.pi * torch.minimum(rising, falling).clamp(0, 1))
    return torch.fft.irfft(spectrum * gain, size)[:, : audio_BT.shape[1]]


def _window_samples(sample_rate_hz: int) -> tuple[int, int]:
    """Return the samples that are compared, and the largest lag between them."""
    return round(_WINDOW_S * sample_rate_hz), int(sample_rate_hz / _LOWEST_HZ) + 1


def _frames(audio_BT: Tensor, sample_rate_hz: int, size: int) -> Tensor:
    """Return windows of ``size`` samples centred on each hop, ``(B, N, size)``, zeros outside."""
    hop = round(UNIT_S * sample_rate_hz)
    count = -(-audio_BT.shape[1] // hop)
    before = (size - hop) // 2
    after = (count - 1) * hop + size - before - audio_BT.shape[1]
    return functional.pad(audio_BT.float(), (before, after)).unfold(1, size, hop)


def _vertex(values_BNL: Tensor, index_BN: Tensor) -> Tensor:
    """Return how far the minimum of a parabola lies from the middle one of three values."""
    left, middle, right = (
        values_BNL.gather(2, (index_BN + shift).unsqueeze(2)).squeeze(2) for shift in (-1, 0, 1)
    )
    curvature = left - 2 * middle + right
    offset = 0.5 * (left - right) / torch.where(curvature > 0, curvature, 1.0)
    return torch.where(curvature > 0, offset.clamp(-0.5, 0.5), 0.0)


@torch.no_grad()
def _mean_square(audio_BT: Tensor, sample_rate_hz: int) -> Tensor:
    hop = round(UNIT_S * sample_rate_hz)
    return _frames(audio_BT, sample_rate_hz, hop).square().mean(dim=2)


def _whitened(values_BN: Tensor, weights_BN: Tensor) -> Tensor:
    """Return the values with mean 0 and deviation 1 where the weight is 1, and 0 elsewhere."""
    count_B1 = weights_BN.sum(dim=1, keepdim=True).clamp_min(1)
    mean_B1 = (values_BN * weights_BN).sum(dim=1, keepdim=True) / count_B1
    centred_BN = (values_BN - mean_B1) * weights_BN
    deviation_B1 = (centred_BN.square().sum(dim=1, keepdim=True) / count_B1).sqrt()
    return centred_BN / deviation_B1.clamp_min(_LEAST_DEVIATION)


def pitch_errors(output_BT: Tensor, target_BT: Tensor, sample_rate_hz: int) -> dict[str, Tensor]:
    """Return how well the output keeps the melody, over all frames of the batch.

    ``valid/audio/f0_cents``: root of the mean squared difference in cents, over frames that are
    voiced in both; left out where there are none. ``valid/audio/vuv_error``: share of frames that
    are voiced in one and not in the other, 0 to 1. A frame is voiced if it has a period (threshold
    0.15) and is at most 30 dB below the level of the *target* utterance: an output that fell
    silent has no voice, however periodic it is.
    """
    level_B1 = target_BT.square().mean(dim=1, keepdim=True)
    log_f0s: list[Tensor] = []
    voiced: list[Tensor] = []
    for audio_BT in (output_BT, target_BT):
        (found,) = yin(audio_BT, sample_rate_hz, THRESHOLDS[-1:])
        is_heard = _mean_square(audio_BT, sample_rate_hz) > _AUDIBLE**2 * level_B1
        log_f0s.append(found.log_f0_BN)
        voiced.append(found.voiced_BN & is_heard)
    errors = {keys.VUV_ERROR: (voiced[0] != voiced[1]).float().mean()}
    both = voiced[0] & voiced[1]
    if both.any():
        cents = 1200 / math.log(2) * (log_f0s[0] - log_f0s[1])[both]
        errors[keys.F0_CENTS] = cents.square().mean().sqrt()
    return errors
