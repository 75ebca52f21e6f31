"""Validation metrics against float64 references and known cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.sounds import SETTINGS, mel_filters, speechlike, stft
from trainer.config.parsing import parse
from trainer.data.batches import held_out, load_corpus
from trainer.losses.audio import AUDIO_LOSSES
from trainer.model import build_codec
from trainer.signals import Signal
from trainer.watching.validation import (
    band_levels_db,
    high_to_mid_db,
    level_db,
    lsd_db,
    mel_distance,
    si_sdr_db,
    validate,
)


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x.copy(), dtype=torch.float32)


def test_si_sdr_equals_its_reference_and_ignores_level_and_mean() -> None:
    x, noise = speechlike(1), 0.3 * speechlike(2)
    y = x + noise

    found = si_sdr_db(tensor(y), tensor(x))
    moved = si_sdr_db(tensor(0.01 * y + 0.1), tensor(x))

    xc, yc = (a - a.mean(1, keepdims=True) for a in (x, y))
    wanted = (yc * xc).sum(1, keepdims=True) / (xc**2).sum(1, keepdims=True) * xc
    expected = 10 * np.log10((wanted**2).sum(1) / ((yc - wanted) ** 2).sum(1))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)
    # Adding 0.1 to values of 1e-4 costs float32 digits.
    np.testing.assert_allclose(moved.numpy(), expected, atol=0.05)


def test_si_sdr_of_a_known_mixture() -> None:
    t = np.arange(1600) / 1600
    x = np.sin(2 * np.pi * 10 * t)[None]
    y = x + 0.1 * np.cos(2 * np.pi * 10 * t)[None]

    assert float(si_sdr_db(tensor(y), tensor(x))) == pytest.approx(20, abs=0.01)


def test_si_sdr_of_silence_is_finite_and_low() -> None:
    x = speechlike(1)

    assert float(si_sdr_db(tensor(np.zeros_like(x)), tensor(x)).max()) <= 0


def test_lsd_equals_its_reference() -> None:
    x, y = speechlike(1), 0.5 * speechlike(2)

    logs = [20 * np.log10(np.maximum(stft(a, 1024), 1e-3)) for a in (y, x)]
    expected = np.sqrt(((logs[0] - logs[1]) ** 2).mean(axis=-1)).mean()
    assert float(lsd_db(Signal(tensor(y)), Signal(tensor(x)))) == pytest.approx(expected, rel=1e-4)


def test_lsd_sees_the_level() -> None:
    x = speechlike(1)

    halved = lsd_db(Signal(tensor(0.5 * x)), Signal(tensor(x)))

    # Every bin is above the floor of -60 dB, so each differs by 6.02 dB.
    assert float(halved) == pytest.approx(6.02, abs=0.05)


def test_treble_is_seen_whatever_the_level() -> None:
    t = np.arange(4800) / 16000
    speech, whistle = np.sin(2 * np.pi * 2000 * t)[None], np.sin(2 * np.pi * 7000 * t)[None]
    target = Signal(tensor(0.1 * speech + 0.01 * whistle))

    shrill = high_to_mid_db(Signal(tensor(0.01 * speech + 0.01 * whistle)), target, 16000)
    quieter = high_to_mid_db(Signal(tensor(0.05 * speech + 0.005 * whistle)), target, 16000)

    # The window's leakage reaches from one tone into the other's band.
    assert float(shrill) == pytest.approx(20, abs=0.5)
    assert float(quieter) == pytest.approx(0, abs=0.05)


def test_level_is_floored() -> None:
    target = torch.tensor(0.075)

    assert float(level_db(target / 10, target)) == pytest.approx(-20)
    assert float(level_db(torch.tensor(0.0), target)) == pytest.approx(-120)


def test_validation_does_not_depend_on_how_segments_are_batched() -> None:
    base = {"data.synthetic_s": 6, "data.valid_s": 1.5, "data.segment_s": 0.3}
    one, five = (parse({**base, "data.batch_size": size}) for size in (1, 5))
    torch.manual_seed(0)
    codec = build_codec(one)

    found = [
        validate(codec, held_out(load_corpus(config).valid, config), SETTINGS, 4)
        for config in (one, five)
    ]

    assert set(found[0]) == set(found[1])
    for key in ("valid/loss/l1", "valid/audio/rms", "valid/audio/si_sdr_db", "valid/silent/log1p"):
        assert float(found[0][key]) == pytest.approx(float(found[1][key]), rel=1e-3)
    assert {f"valid/silent/{name}" for name in AUDIO_LOSSES} <= set(found[0])


def test_mel_distance_equals_its_reference_and_sees_the_level() -> None:
    x, y = speechlike(1), 0.5 * speechlike(2)

    logs = [
        np.log10(np.maximum(mel_filters(1024, 80) @ stft(a, 1024).swapaxes(1, 2), 1e-5))
        for a in (y, x)
    ]
    expected = np.abs(logs[0] - logs[1]).mean()
    found = mel_distance(Signal(tensor(y)), Signal(tensor(x)), 16000)
    assert float(found) == pytest.approx(expected, rel=1e-4)
    quieter = mel_distance(Signal(tensor(0.1 * x)), Signal(tensor(x)), 16000)
    assert float(quieter) == pytest.approx(1.0, rel=0.05)


def test_band_levels_are_the_gain_in_each_band() -> None:
    x = speechlike(1)

    same_gain = band_levels_db(Signal(tensor(0.1 * x)), Signal(tensor(x)), 16000)
    silent = band_levels_db(Signal(tensor(0 * x)), Signal(tensor(x)), 16000)

    assert [float(v) for v in same_gain.values()] == pytest.approx([-20] * 4, abs=0.01)
    assert all(float(v) < -80 for v in silent.values())
