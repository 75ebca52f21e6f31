"""Each loss against an independent float64 reference in numpy, its scale law, its silent value."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.support.sounds import SETTINGS, mel_filters, rms, speechlike, stft
from trainer.config.losses import LossesConfig
from trainer.losses.audio import (
    AUDIO_LOSSES,
    LOG_FLOOR,
    MEL_FLOOR,
    MEL_SCALES,
    REGISTRY,
    STFT_SIZES,
    ScaleLaw,
    measure,
    norm_reg,
)
from trainer.signals import Signal, band_weights


def value(name: str, y: np.ndarray, x: np.ndarray, dtype: torch.dtype = torch.float32) -> float:
    signals = [Signal(torch.tensor(a.copy(), dtype=dtype)) for a in (y, x)]
    return float(AUDIO_LOSSES[name](signals[0], signals[1], SETTINGS))


def frames(x: np.ndarray) -> np.ndarray:
    whole = x.shape[1] // 512 * 512
    return np.sqrt(np.mean(x[:, :whole].reshape(len(x), -1, 512) ** 2, axis=-1) + 1e-8)


def bands(x: np.ndarray) -> np.ndarray:
    """Levels per band from filtered audio frames: an inverse FFT for each band and frame."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    padded = np.pad(x, ((0, 0), (256, 256)))
    starts = range(0, padded.shape[1] - 511, 128)
    spectrum = np.fft.rfft(np.stack([padded[:, s : s + 512] for s in starts], 1) * window)
    hz = np.arange(257) * 16000 / 512
    levels = []
    for low, high in ((0, 1000), (1000, 2000), (2000, 4000), (4000, 8001)):
        filtered = np.fft.irfft(np.where((hz >= low) & (hz < high), spectrum, 0))
        levels.append(np.sqrt(np.sum(filtered**2, axis=-1) / np.sum(window**2) + 1e-8))
    return np.stack(levels)


def reference(name: str, y: np.ndarray, x: np.ndarray) -> float:
    spectra = [(stft(y, n), stft(x, n)) for n in STFT_SIZES]
    logs = [np.log(np.maximum(rms(a), 1e-4)) for a in (y, x)]
    formulas = {
        "l1": lambda: np.mean(np.abs(y - x)),
        "l2": lambda: np.mean((y - x) ** 2),
        "sc": lambda: np.mean([np.linalg.norm(b - a) / np.linalg.norm(b) for a, b in spectra]),
        "log1p": lambda: np.mean([np.mean(np.abs(np.log1p(a) - np.log1p(b))) for a, b in spectra]),
        "logmag": lambda: np.mean(
            [
                np.mean(np.abs(np.log(np.maximum(a, LOG_FLOOR) / np.maximum(b, LOG_FLOOR))))
                for a, b in spectra
            ]
        ),
        "mel": lambda: sum(
            np.mean(np.abs(np.log10(np.maximum(f @ a, MEL_FLOOR) / np.maximum(f @ b, MEL_FLOOR))))
            for n, m in MEL_SCALES
            for f in [mel_filters(n, m)]
            for a, b in [(stft(y, n).swapaxes(1, 2), stft(x, n).swapaxes(1, 2))]
        ),
        "rms_frame": lambda: np.mean(np.abs(frames(y) - frames(x))),
        "rms_band": lambda: np.mean(np.abs(bands(y) - bands(x))),
        "rms_abs_mse": lambda: (rms(y) - 0.075) ** 2,
        "rms_abs_l1": lambda: abs(rms(y) - 0.075),
        "rms_ratio": lambda: (rms(x) / rms(y) - 1) ** 2,
        "rms_log": lambda: (logs[0] - logs[1]) ** 2,
    }
    return float(formulas[name]())


@pytest.mark.parametrize("name", AUDIO_LOSSES)
def test_loss_equals_its_float64_reference(name: str) -> None:
    y, x = speechlike(0) * 0.7, speechlike(1)

    # In single precision as the trainer runs, and in double precision digit by digit; what is left
    # there is the 1e-8 that the trainer adds under roots.
    assert value(name, y, x) == pytest.approx(reference(name, y, x), rel=2e-4)
    assert value(name, y, x, torch.float64) == pytest.approx(reference(name, y, x), rel=1e-5)


@pytest.mark.parametrize("name", AUDIO_LOSSES)
def test_loss_of_the_target_itself_is_zero(name: str) -> None:
    x = speechlike(1)
    x *= 0.075 / rms(x)

    assert value(name, x, x) == pytest.approx(0, abs=1e-6)


LAWS = {
    ScaleLaw.LINEAR: lambda s: abs(1 - s),
    ScaleLaw.QUADRATIC: lambda s: (1 - s) ** 2,
    ScaleLaw.LOG: lambda s: abs(math.log(s)),
    ScaleLaw.LOG_SQUARED: lambda s: math.log(s) ** 2,
    ScaleLaw.RATIO: lambda s: (1 / s - 1) ** 2,
}


@pytest.mark.parametrize("name", [n for n in AUDIO_LOSSES if REGISTRY[n].law in LAWS])
@pytest.mark.parametrize("gain", [0.25, 0.8, 1.5])
def test_loss_follows_its_scale_law(name: str, gain: float) -> None:
    # Loud enough that no bin falls under a floor.
    x = speechlike(1)
    x *= 0.075 / rms(x)
    law = LAWS[REGISTRY[name].law]

    at_gain, at_half = value(name, gain * x, x), value(name, 0.5 * x, x)

    # Floors of the log losses and the epsilon of the levels bend the law by up to a per cent.
    assert at_gain / at_half == pytest.approx(law(gain) / law(0.5), rel=0.02)


def test_silence_has_the_known_values() -> None:
    x = speechlike(1)
    x *= 0.075 / rms(x)
    silence = np.zeros_like(x)

    assert value("sc", silence, x) == pytest.approx(1, abs=1e-5)
    assert value("l1", silence, x) == pytest.approx(np.mean(np.abs(x)), rel=1e-5)
    assert value("rms_abs_mse", silence, x) == pytest.approx(0.075**2, rel=0.01)
    assert value("rms_log", silence, x) == pytest.approx(math.log(0.075 / 1e-4) ** 2, rel=1e-3)
    assert value("rms_ratio", silence, x) > 1e5
    assert value("log1p", silence, x) == pytest.approx(reference("log1p", silence, x), rel=1e-4)


def test_level_blind_scaling_is_what_no_loss_shows() -> None:
    x = speechlike(1)
    x *= 0.075 / rms(x)

    quieter = {name: value(name, 0.05 * x, x) for name in AUDIO_LOSSES}

    assert all(v > 0 for v in quieter.values())


@pytest.mark.parametrize("name", AUDIO_LOSSES)
def test_gradient_is_finite_at_silence_and_at_the_target(name: str) -> None:
    x = torch.tensor(speechlike(1), dtype=torch.float32)
    for start in (torch.zeros_like(x), x.clone()):
        y = start.requires_grad_()

        AUDIO_LOSSES[name](Signal(y), Signal(x), SETTINGS).backward()

        assert y.grad is not None
        assert torch.isfinite(y.grad).all()


def test_registry_names_are_the_config_keys() -> None:
    assert set(REGISTRY) == set(LossesConfig.model_fields)


def test_measuring_returns_no_gradients_and_draws_no_random_numbers() -> None:
    x = torch.tensor(speechlike(1), dtype=torch.float32)
    y = (0.5 * x).requires_grad_()
    before = torch.get_rng_state()

    found = measure(Signal(y), Signal(x), SETTINGS, skip=frozenset({"l1"}))

    assert set(found) == set(AUDIO_LOSSES) - {"l1"}
    assert not any(v.requires_grad for v in found.values())
    assert torch.equal(before, torch.get_rng_state())


def test_band_weights_split_the_whole_power() -> None:
    weights = band_weights(512, 16000, "cpu", torch.float32)

    ones = torch.ones(257, 1)

    # All bands together: 512 two-sided bins over n times the window's power, 512 * 192.
    assert float((weights @ ones).sum()) == pytest.approx(512 / (512 * 192), rel=1e-6)


def test_norm_reg_is_the_squared_change_of_both_norms() -> None:
    norms = {"out_proj_weight": torch.tensor(0.5), "final_conv_weight": torch.tensor(3.0)}

    found = norm_reg(norms, {"out_proj_weight": 0.6, "final_conv_weight": 2.0})

    assert float(found) == pytest.approx(0.01 + 1.0)


def test_silence_is_measured_as_an_output_of_zeros_is() -> None:
    target = Signal(torch.tensor(speechlike(1), dtype=torch.float32))

    short = measure(target.silence(), target, SETTINGS)
    long = measure(Signal(torch.zeros_like(target.audio_BT)), target, SETTINGS)

    assert {n: float(v) for n, v in short.items()} == pytest.approx(
        {n: float(v) for n, v in long.items()}, rel=1e-6
    )
