"""Every loss of the bundled trainer: what it computes, in which unit, and how level enters.

A loss of audio is a pure function of output and target. Registered under the name that is also its
key in the config (``losses.<name>.weight``) and in the metrics (``train/loss/<name>``).

Shapes: `B` batch, `T` samples, `F` frames, `K` frequency bins, `M` mel bands, `P` bands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional

from trainer.signals import (
    RMS_EPSILON,
    Signal,
    band_weights,
    mel_filters,
)

STFT_SIZES = (2048, 1024, 512)
"""Windows of the spectral losses, in samples."""
FRAME_SAMPLES = 512
"""Frame of `rms_frame`, and window of `rms_band`."""
LOG_FLOOR = 10**-3.5
"""Magnitudes below it count as it in `logmag`: the level that is called silent there."""
MEL_FLOOR = 1e-5
MEL_SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""Window in samples, and bands, of each scale."""
LEVEL_FLOOR = 1e-4
"""Smallest level that `rms_log` tells apart."""


class ScaleLaw(StrEnum):
    """How a loss depends on the gain s, for an output that is s times the target."""

    LINEAR = "|1 - s|"
    QUADRATIC = "(1 - s)^2"
    LOG = "|ln s|"
    LOG_SQUARED = "(ln s)^2"
    RATIO = "(1/s - 1)^2"
    OTHER = "no closed form; zero only at s = 1"
    NONE = "does not see the output's level"


@dataclass(frozen=True, slots=True)
class LossSettings:
    """What a loss needs beside the two signals."""

    sample_rate_hz: int
    target_rms: float
    """Of the rms_abs losses, full scale = 1."""


AudioLoss = Callable[[Signal, Signal, LossSettings], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """A registered loss."""

    name: str
    unit: str
    law: ScaleLaw
    source: str
    function: AudioLoss | None
    """From (output, target, settings) to a 0-dim tensor; None where it does not compare audio."""


def l1(output: Signal, target: Signal, _: LossSettings) -> Tensor:
    """Return the mean absolute error of the waveform.

    Source: Défossez et al. 2022, arXiv:2210.13438, equation 1.
    """
    return (output.audio_BT - target.audio_BT).abs().mean()


def l2(output: Signal, target: Signal, _: LossSettings) -> Tensor:
    """Return the mean squared error of the waveform. Source: definition."""
    return (output.audio_BT - target.audio_BT).square().mean()


def sc(output: Signal, target: Signal, _: LossSettings) -> Tensor:
    """Return spectral convergence, the relative Frobenius error of magnitudes; silence has 1.

    Source: Arik et al. 2018, arXiv:1808.06719, section 3.1. Deviation: the norms are taken over
    the whole batch, so that quiet items weigh less; mean over `STFT_SIZES`.
    """
    terms: list[Tensor] = []
    for n_fft in STFT_SIZES:
        reference = target.magnitudes(n_fft)
        error = torch.linalg.vector_norm(output.magnitudes(n_fft) - reference)
        terms.append(error / torch.linalg.vector_norm(reference).clamp_min(1e-12))
    return torch.stack(terms).mean()


def log1p(output: Signal, target: Signal, _: LossSettings) -> Tensor:
    """Return the mean absolute error of ln(1 + magnitude), over bins and `STFT_SIZES`.

    Source: the study that `studies/scale-fix.yaml` repeats; no floor, weak below magnitude 1.
    """
    return _mean_over_sizes(output, target, torch.log1p)


def logmag(output: Signal, target: Signal, _: LossSettings) -> Tensor:
    """Return the mean absolute error of ln(max(magnitude, `LOG_FLOOR`)).

    Source: Yamamoto et al. 2020, arXiv:1910.11480, equation 5, whose code has the same floor.
    """
    return _mean_over_sizes(output, target, lambda m: m.clamp_min(LOG_FLOOR).log())


def _mean_over_sizes(
    output: Signal, target: Signal, compress: Callable[[Tensor], Tensor]
) -> Tensor:
    terms = [
        (compress(output.magnitudes(n)) - compress(target.magnitudes(n))).abs().mean()
        for n in STFT_SIZES
    ]
    return torch.stack(terms).mean()


def mel(output: Signal, target: Signal, settings: LossSettings) -> Tensor:
    """Return the L1 distance of log10 mel magnitudes, mean over bands and summed over scales.

    Source: Kumar et al. 2023, arXiv:2306.06546, section 3.4. Deviation: bands on the O'Shaughnessy
    scale with peak 1, floor `MEL_FLOOR`.
    """
    terms: list[Tensor] = []
    for n_fft, n_mels in MEL_SCALES:
        device, dtype = str(output.audio_BT.device), target.magnitudes(n_fft).dtype
        filters = mel_filters(n_fft, n_mels, settings.sample_rate_hz, device, dtype)
        bands = [
            (filters @ signal.magnitudes(n_fft)).clamp_min(MEL_FLOOR).log10()
            for signal in (output, target)
        ]
        terms.append((bands[0] - bands[1]).abs().mean())
    return torch.stack(terms).sum()


def rms_frame(output: Signal, target: Signal, _: LossSettings) -> Tensor:
    """Return the mean absolute error of the level per frame of `FRAME_SAMPLES`.

    Source: the study that `studies/scale-fix.yaml` repeats.
    """
    return (output.frame_rms(FRAME_SAMPLES) - target.frame_rms(FRAME_SAMPLES)).abs().mean()


def rms_band(output: Signal, target: Signal, settings: LossSettings) -> Tensor:
    """Return the mean absolute error of the level per frame in 0-1-2-4-8 kHz.

    Source: as `rms_frame`. Deviation: levels from the STFT by Parseval's theorem instead of
    filtered audio.
    """
    device, dtype = str(output.audio_BT.device), target.magnitudes(FRAME_SAMPLES).dtype
    weights = band_weights(FRAME_SAMPLES, settings.sample_rate_hz, device, dtype)
    levels = [
        (weights @ signal.magnitudes(FRAME_SAMPLES).square() + RMS_EPSILON).sqrt()
        for signal in (output, target)
    ]
    return (levels[0] - levels[1]).abs().mean()


def level(signal: Signal) -> Tensor:
    """Return the root mean square of the whole batch, 0-dim."""
    return (signal.audio_BT.square().mean() + RMS_EPSILON).sqrt()


def rms_abs_mse(output: Signal, _: Signal, settings: LossSettings) -> Tensor:
    """Return the squared distance of the batch's level from the configured one. Source: as above.

    Its gradient is at most twice the target level, far below that of `rms_abs_l1`.
    """
    return (level(output) - settings.target_rms).square()


def rms_abs_l1(output: Signal, _: Signal, settings: LossSettings) -> Tensor:
    """Return the absolute distance of the batch's level from the configured one. Source: ours."""
    return (level(output) - settings.target_rms).abs()


def rms_ratio(output: Signal, target: Signal, _: LossSettings) -> Tensor:
    """Return the squared deviation of target level / output level from 1.

    Explodes at silence and saturates at 1 when too loud; use it with gradient clipping.

    Source: proposed in the study that `studies/scale-fix.yaml` repeats.
    """
    return (level(target) / (level(output) + 1e-8) - 1).square()


def rms_log(output: Signal, target: Signal, _: LossSettings) -> Tensor:
    """Return the squared difference of log levels, floored at `LEVEL_FLOOR`. Source: ours."""
    logs = [level(signal).clamp_min(LEVEL_FLOOR).log() for signal in (output, target)]
    return (logs[0] - logs[1]).square()


def content_ce(logits_BUF: Tensor, units_BT: Tensor) -> Tensor:
    """Return the cross-entropy of the content's units, in nats; ln(U) is chance.

    Args:
        logits_BUF: One prediction for each frame.
        units_BT: The unit at each sample, whole numbers below U.

    Source: Yang et al. 2024, arXiv:2401.03078, section 2.1 (StreamVC's content encoder).
    """
    hop = units_BT.shape[1] // logits_BUF.shape[2]
    units_BF = units_BT[:, hop // 2 :: hop][:, : logits_BUF.shape[2]].long()
    if logits_BUF.is_cuda:
        # There the kernel for rows alone repeats its bits. On the CPU the two round otherwise, and
        # runs made with this one are there.
        return functional.cross_entropy(
            logits_BUF.float().transpose(1, 2).flatten(0, 1), units_BF.flatten()
        )
    return functional.cross_entropy(logits_BUF.float(), units_BF)


def norm_reg(norms: Mapping[str, Tensor], initial: Mapping[str, float]) -> Tensor:
    """Return the summed squared change of the norms of the named parameters.

    Args:
        norms: Parameter name -> its L2 norm now, with gradient.
        initial: The same before the first step.

    Source: proposed in the study that `studies/scale-fix.yaml` repeats.
    """
    return torch.stack([(norms[name] - initial[name]).square() for name in norms]).sum()


def _audio(function: AudioLoss, unit: str, law: ScaleLaw, source: str = "see the function") -> Loss:
    return Loss(name=function.__name__, unit=unit, law=law, source=source, function=function)


def _other(name: str, unit: str, source: str) -> Loss:
    return Loss(name=name, unit=unit, law=ScaleLaw.NONE, source=source, function=None)


REGISTRY: Mapping[str, Loss] = {
    loss.name: loss
    for loss in (
        _audio(l1, "full scale", ScaleLaw.LINEAR, "arXiv:2210.13438"),
        _audio(l2, "full scale squared", ScaleLaw.QUADRATIC, "definition"),
        _audio(sc, "1", ScaleLaw.LINEAR, "arXiv:1808.06719"),
        _audio(log1p, "neper", ScaleLaw.OTHER, "the scale-fix study"),
        _audio(logmag, "neper", ScaleLaw.LOG, "arXiv:1910.11480"),
        _audio(mel, "decade, summed over scales", ScaleLaw.LOG, "arXiv:2306.06546"),
        _audio(rms_frame, "full scale", ScaleLaw.LINEAR, "the scale-fix study"),
        _audio(rms_band, "full scale", ScaleLaw.LINEAR, "the scale-fix study"),
        _audio(rms_abs_mse, "full scale squared", ScaleLaw.QUADRATIC, "the scale-fix study"),
        _audio(rms_abs_l1, "full scale", ScaleLaw.LINEAR, "ours"),
        _audio(rms_ratio, "1", ScaleLaw.RATIO, "the scale-fix study"),
        _audio(rms_log, "neper squared", ScaleLaw.LOG_SQUARED, "ours"),
        _other("norm_reg", "1", "the scale-fix study"),
        _other("commitment", "latent squared", "arXiv:1711.00937, equation 3"),
        _other("codebook", "latent squared", "arXiv:1711.00937, equation 3"),
        _other("content_ce", "nat", "arXiv:2401.03078"),
        _other("adversarial", "1", "arXiv:1705.02894 (hinge), arXiv:1611.04076 (lsgan)"),
        _other("feature_matching", "1", "arXiv:1910.06711, relative"),
    )
}
"""Loss name -> loss, in the order in which they are logged."""

AUDIO_LOSSES: Mapping[str, AudioLoss] = {
    name: loss.function for name, loss in REGISTRY.items() if loss.function is not None
}
"""The losses that compare output with target, and so have a value for a silent output."""

LEVEL_LOSSES = ("l1", "sc", "rms_frame")
"""Proportional to |1 - s|, and none of them zero for another signal of the same level."""


def measure(
    output: Signal, target: Signal, settings: LossSettings, *, skip: frozenset[str] = frozenset()
) -> dict[str, Tensor]:
    """Return every audio loss by name, without gradients, except those in ``skip``."""
    with torch.no_grad():
        still = output.detached()
        return {
            name: function(still, target, settings)
            for name, function in AUDIO_LOSSES.items()
            if name not in skip
        }
