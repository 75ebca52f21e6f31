"""Validation on the fixed held-out set.

Level-aware numbers (`rms`, `level_db`, `band_<k>_db`, `lsd_db`, `mel`, every loss) stand beside
level-blind ones (`si_sdr_db`, `f0_cents`), which cannot see an output that has become too quiet.

Shapes: `B` batch, `T` samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ablate import keys
from trainer.data.batches import Batch
from trainer.losses.audio import FRAME_SAMPLES, LossSettings, content_ce, measure
from trainer.model import Codec, CodecOutput
from trainer.model.pitch import pitch_errors
from trainer.signals import Signal, band_weights, mel_filters

_LSD_FFT = 1024
_LSD_FLOOR = 1e-3
_TREBLE_HZ = 6000
_MEL_BANDS = 80


def si_sdr_db(estimate_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """Return the scale-invariant signal-to-distortion ratio, ``(B,)``, in dB; higher is better.

    Silence and unrelated audio lie near -40 dB or below, wherever the level is.

    Args:
        estimate_BT: Any scale.
        reference_BT: Not all zero.

    Source: Le Roux et al. 2019, arXiv:1811.02508. Deviation: the mean is removed first, and both
    energies are floored at 1e-12.
    """
    estimate_BT = estimate_BT - estimate_BT.mean(dim=1, keepdim=True)
    reference_BT = reference_BT - reference_BT.mean(dim=1, keepdim=True)
    energy_B1 = reference_BT.square().sum(dim=1, keepdim=True).clamp_min(1e-12)
    gain_B1 = (estimate_BT * reference_BT).sum(dim=1, keepdim=True) / energy_B1
    wanted_BT = gain_B1 * reference_BT
    wanted_B = wanted_BT.square().sum(dim=1).clamp_min(1e-12)
    rest_B = (estimate_BT - wanted_BT).square().sum(dim=1).clamp_min(1e-12)
    return 10 * torch.log10(wanted_B / rest_B)


def lsd_db(output: Signal, target: Signal) -> Tensor:
    """Return the log-spectral distance, 0-dim, in dB; lower is better, 0 for equal spectra.

    Root of the mean squared difference of log power over bins, averaged over frames and items;
    window 1024, magnitudes floored at 1e-3.

    Source: Gray and Markel 1976, "Distance measures for speech processing".
    """
    logs = [
        20 * signal.magnitudes(_LSD_FFT).clamp_min(_LSD_FLOOR).log10()
        for signal in (output, target)
    ]
    return (logs[0] - logs[1]).square().mean(dim=1).sqrt().mean()


def mel_distance(output: Signal, target: Signal, sample_rate_hz: int) -> Tensor:
    """Return the mean distance of log10 mel spectra, 0-dim, in decades; lower is better.

    80 bands of a window of 1024, magnitudes floored at 1e-5.

    Source: as the loss `mel`, at one scale.
    """
    logs: list[Tensor] = []
    for signal in (output, target):
        spectrum = signal.magnitudes(_LSD_FFT)
        filters = mel_filters(
            _LSD_FFT, _MEL_BANDS, sample_rate_hz, str(spectrum.device), spectrum.dtype
        )
        logs.append((filters @ spectrum).clamp_min(1e-5).log10())
    return (logs[0] - logs[1]).abs().mean()


def band_levels_db(output: Signal, target: Signal, sample_rate_hz: int) -> dict[str, Tensor]:
    """Return the level of the output relative to the target's in 0-1-2-4-8 kHz, in dB.

    0 is right; floored at -120 dB. Keys: ``valid/audio/band_<k>_db``, the lowest band first.
    """
    spectrum = output.magnitudes(FRAME_SAMPLES)
    weights = band_weights(FRAME_SAMPLES, sample_rate_hz, str(spectrum.device), spectrum.dtype)
    ours, theirs = (
        (weights @ s.magnitudes(FRAME_SAMPLES).square()).mean(dim=(0, 2)).clamp_min(1e-20)
        for s in (output, target)
    )
    ratios = 10 * torch.log10((ours / theirs).clamp_min(1e-12))
    return {keys.band_db(k): ratio for k, ratio in enumerate(ratios)}


def high_to_mid_db(output: Signal, target: Signal, sample_rate_hz: int) -> Tensor:
    """Return how much more treble the output has than the target, 0-dim, in dB; 0 is right.

    Level above 6 kHz relative to that in 1-4 kHz, output against target; the gain of the output
    cancels. Above 0 by several dB it is heard as a thin whistle. Levels are floored at -100 dB.

    Source: the check made in the study that `studies/scale-fix.yaml` repeats.
    """
    hz = torch.arange(_LSD_FFT // 2 + 1, device=output.audio_BT.device) * sample_rate_hz / _LSD_FFT
    bands = ((hz >= _TREBLE_HZ), ((hz >= 1000) & (hz < 4000)))
    ratios: list[Tensor] = []
    for signal in (output, target):
        power = signal.magnitudes(_LSD_FFT).square()
        high, mid = (power[:, band].mean().clamp_min(1e-10) for band in bands)
        ratios.append(10 * torch.log10(high / mid))
    return ratios[0] - ratios[1]


def level_db(rms: Tensor, target_rms: Tensor) -> Tensor:
    """Return the level of the output relative to the target's, in dB, floored at -120 dB."""
    return 20 * torch.log10((rms / target_rms).clamp_min(1e-6))


@torch.no_grad()
def validate(
    codec: Codec, batches: Sequence[Batch], settings: LossSettings, n_active: int
) -> dict[str, Tensor]:
    """Return every validation metric by its full key.

    Values are means over segments; levels are taken over the whole set.
    """
    weights = torch.tensor([len(batch.audio_BT) for batch in batches], dtype=torch.float32)
    made = [codec(batch.audio_BT, n_active) for batch in batches]
    rows = [_measure_batch(*pair, settings) for pair in zip(made, batches, strict=True)]
    weights = (weights / weights.sum()).to(batches[0].audio_BT.device)
    mean = {key: (torch.stack([row[key] for row in rows]) * weights).sum() for key in rows[0]}
    rms, target_rms = mean.pop("power").sqrt(), mean.pop("target_power").sqrt()
    mean[keys.VALID_RMS] = rms
    mean[keys.VALID_TARGET_RMS] = target_rms
    mean[keys.LEVEL_DB] = level_db(rms, target_rms)
    mean[keys.VALID_RMS_AC] = (rms.square() - mean[keys.VALID_DC].square()).clamp_min(0).sqrt()
    # Over the whole set: a batch may have no frame with a voice.
    outputs_BT = torch.cat([output.audio_BT for output in made])
    targets_BT = torch.cat([batch.audio_BT for batch in batches])
    melody = pitch_errors(outputs_BT, targets_BT, settings.sample_rate_hz)
    return {**mean, **melody}


def _measure_batch(made: CodecOutput, batch: Batch, settings: LossSettings) -> dict[str, Tensor]:
    batch_BT = batch.audio_BT
    output, target = Signal(made.audio_BT), Signal(batch_BT)
    losses = measure(output, target, settings)
    silent = measure(target.silence(), target, settings)
    return {
        **{keys.LOSS.key(name, keys.VALID): v for name, v in losses.items()},
        **{keys.SILENT.key(name, keys.VALID): v for name, v in silent.items()},
        keys.LOSS.key("commitment", keys.VALID): made.quantized.commitment,
        **_content(made, batch),
        keys.SI_SDR_DB: si_sdr_db(made.audio_BT, batch_BT).mean(),
        keys.LSD_DB: lsd_db(output, target),
        keys.MEL: mel_distance(output, target, settings.sample_rate_hz),
        **band_levels_db(output, target, settings.sample_rate_hz),
        **_treble(output, target, settings.sample_rate_hz),
        keys.VALID_DC: made.audio_BT.mean(),
        "power": made.audio_BT.square().mean(),
        "target_power": batch_BT.square().mean(),
    }


def _content(made: CodecOutput, batch: Batch) -> dict[str, Tensor]:
    if made.content_logits_BUF is None or batch.units_BT is None:
        return {}
    value = content_ce(made.content_logits_BUF, batch.units_BT)
    return {keys.LOSS.key("content_ce", keys.VALID): value}


def _treble(output: Signal, target: Signal, sample_rate_hz: int) -> dict[str, Tensor]:
    if sample_rate_hz < 2 * _TREBLE_HZ + 1000:
        return {}  # there is no treble to speak of
    return {keys.HIGH_TO_MID_DB: high_to_mid_db(output, target, sample_rate_hz)}
