"""Pitch and energy against sounds whose pitch is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ablate import keys
from tests.support.sounds import RATE_HZ, sine, voice
from trainer.config.config import UNIT_S
from trainer.model.pitch import N_FEATURES, THRESHOLDS, pitch_errors, prosody, yin

PITCHES_HZ = (80.0, 97.0, 123.4, 150.0, 188.8, 251.0, 333.3, 400.0)


def noise(items: int = 1, rms: float = 0.07) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return rms * torch.randn(items, 10240, generator=generator)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("hz", PITCHES_HZ)
def test_f0_is_found_within_a_percent_in_every_frame(hz: float, rate_hz: int) -> None:
    audio = torch.cat([sine(hz, rate_hz=rate_hz), voice(hz, rate_hz=rate_hz)])

    for found in yin(audio, rate_hz):
        inside = slice(3, -3)  # the window of the others reaches beyond the sound
        assert found.voiced_BN[:, inside].all()
        # An octave error would be 50 or 100 percent.
        assert found.log_f0_BN[:, inside].exp() == pytest.approx(hz, rel=0.01)


def test_low_formant_does_not_raise_the_octave() -> None:
    for hz in (110.0, 150.0, 216.0):
        (found,) = yin(voice(hz, formant_hz=2 * hz), RATE_HZ, (0.15,))

        assert found.log_f0_BN[:, 3:-3].exp() == pytest.approx(hz, rel=0.01)


def test_glide_is_followed() -> None:
    t = torch.arange(RATE_HZ) / RATE_HZ
    hz_T = 100 * 2**t  # an octave in a second
    audio = 0.1 * torch.sin(2 * math.pi * torch.cumsum(hz_T.double(), 0) / RATE_HZ).float()

    (found,) = yin(audio.unsqueeze(0), RATE_HZ, (0.15,))

    centres = ((torch.arange(50) + 0.5) * UNIT_S * RATE_HZ).long()
    ratio = found.log_f0_BN[0].exp() / hz_T[centres]
    assert ratio[3:-3] == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    "audio",
    [noise(4), torch.zeros(1, 10240), torch.full((1, 10240), 0.3), noise(1, 1e-4)],
    ids=["noise", "silence", "offset", "faint"],
)
def test_nothing_is_voiced_where_there_is_no_period(audio: Tensor) -> None:
    for found in yin(audio, RATE_HZ):
        assert not found.voiced_BN[:, 2:-2].any()


@pytest.mark.parametrize(
    "audio",
    [
        torch.zeros(2, 4800),
        torch.eye(2, 4800),
        sine(150)[:, :1],
        sine(150)[:, :333],
        1e-12 * sine(150),
        1e6 * sine(150),
        torch.cat([sine(150), torch.zeros(1, 10240)]),
    ],
    ids=["silence", "click", "sample", "cut", "faint", "loud", "mixed"],
)
def test_features_are_finite_whatever_the_audio(audio: Tensor) -> None:
    features = prosody(audio, RATE_HZ)

    assert features.shape == (len(audio), N_FEATURES, -(-audio.shape[1] // 320))
    assert features.isfinite().all()


def test_features_tell_the_melody_and_not_the_register() -> None:
    silence = torch.zeros(1, 3200)
    low = torch.cat([sine(100), silence, sine(120)], dim=1)
    high = torch.cat([sine(200), silence, sine(240)], dim=1)

    a, b = (prosody(audio, RATE_HZ)[0] for audio in (low, high))

    log_f0, voiced = a[6], a[8] > 0
    assert len(THRESHOLDS) == 3
    assert float(log_f0[voiced].mean()) == pytest.approx(0, abs=1e-4)
    assert float(log_f0[voiced].std(correction=0)) == pytest.approx(1, rel=1e-3)
    assert (log_f0[~voiced] == 0).all()
    # First tone low, second one high, the same a whole octave up.
    assert a[6, 5:25] == pytest.approx(b[6, 5:25], abs=0.05)
    assert float(a[6, 10]) < -0.5 < 0.5 < float(a[6, -10])
    energy = a[9]
    assert float(energy.mean()) == pytest.approx(0, abs=1e-4)
    assert float(energy[36]) < -1 < float(energy[10])


def test_features_carry_no_gradient() -> None:
    audio = sine(150).requires_grad_()

    assert not prosody(audio, RATE_HZ).requires_grad


def test_same_audio_has_no_pitch_error_at_any_audible_level() -> None:
    target = torch.cat([voice(150), voice(220)])

    for gain in (1.0, 0.1, 3.0):
        errors = pitch_errors(gain * target, target, RATE_HZ)

        assert float(errors[keys.VUV_ERROR]) == 0
        assert float(errors[keys.F0_CENTS]) == pytest.approx(0, abs=0.5)


def test_raised_voice_is_measured_in_cents() -> None:
    errors = pitch_errors(voice(150 * 2 ** (1 / 12)), voice(150), RATE_HZ)

    assert float(errors[keys.F0_CENTS]) == pytest.approx(100, abs=3)
    assert float(errors[keys.VUV_ERROR]) < 0.1


@pytest.mark.parametrize("gain", [0.0, 0.02])
def test_output_that_fell_silent_has_no_voice(gain: float) -> None:
    errors = pitch_errors(gain * voice(150), voice(150), RATE_HZ)

    assert keys.F0_CENTS not in errors
    assert float(errors[keys.VUV_ERROR]) > 0.9


def test_noise_in_place_of_a_voice_is_a_voicing_error() -> None:
    errors = pitch_errors(noise(), voice(150), RATE_HZ)

    assert float(errors[keys.VUV_ERROR]) > 0.9
