"""Speech-like audio without a download: voices with moving formants, fricatives and pauses.

Deterministic: the same arguments give the same samples, whatever the run's seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

_VOWELS_HZ = np.array(
    [
        [730, 1090, 2440],
        [530, 1840, 2480],
        [270, 2290, 3010],
        [570, 840, 2410],
        [300, 870, 2240],
        [660, 1720, 2410],
        [490, 1350, 1690],
    ],
    dtype=np.float64,
)
"""First three formants of seven vowels of men. Source: Peterson and Barney 1952, table II."""
_BANDWIDTHS_HZ = np.array([80.0, 110.0, 160.0])
_BLOCK_S = 0.02
_UTTERANCE_S = 3.0


@dataclass(frozen=True, slots=True)
class _Voice:
    pitch_hz: float
    formant_scale: float
    """Relative to the table: shorter vocal tracts are above 1."""
    jitter: float
    """Relative random change of the pitch per block."""
    breath: float
    """Noise in the excitation, relative to the pulses."""


class _Tract:
    """What sounds on from one phone to the next: pulse phase, resonators, formants."""

    def __init__(self, voice: _Voice, rate_hz: int, rng: np.random.Generator) -> None:
        self.voice = voice
        self.rate_hz = rate_hz
        self.rng = rng
        self._phase = 0.0
        self._memory = np.zeros((3, 2))
        self._formants_hz = self._vowel()

    def _vowel(self) -> NDArray[np.float64]:
        return _VOWELS_HZ[self.rng.integers(len(_VOWELS_HZ))] * self.voice.formant_scale

    def voiced(self, samples: int) -> NDArray[np.float64]:
        """Return a phone that glides to another vowel."""
        goal_hz = self._vowel()
        block = round(_BLOCK_S * self.rate_hz)
        pitch_hz = self.voice.pitch_hz * self.rng.uniform(0.85, 1.2)
        pieces: list[NDArray[np.float64]] = []
        for start in range(0, samples, block):
            # The first half of the phone is the transition.
            mix = min(1.0, 2 * start / samples)
            formants_hz = (1 - mix) * self._formants_hz + mix * goal_hz
            source = self._excitation(min(block, samples - start), pitch_hz)
            pieces.append(self._resonate(source, formants_hz))
        self._formants_hz = goal_hz
        return np.concatenate(pieces)

    def _excitation(self, samples: int, pitch_hz: float) -> NDArray[np.float64]:
        """Return one pulse per period, and breath."""
        pitch_hz *= 1 + self.voice.jitter * self.rng.standard_normal()
        phases = self._phase + np.arange(1, samples + 1) * pitch_hz / self.rate_hz
        pulses = np.diff(np.floor(phases), prepend=np.floor(self._phase))
        self._phase = float(phases[-1] % 1.0)
        return pulses + self.voice.breath * self.rng.standard_normal(samples)

    def _resonate(
        self, source: NDArray[np.float64], formants_hz: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the source through three resonators in a row, each with gain 1 at 0 Hz."""
        nyquist_hz = self.rate_hz / 2
        for index, (centre_hz, width_hz) in enumerate(
            zip(formants_hz, _BANDWIDTHS_HZ, strict=True)
        ):
            radius = np.exp(-np.pi * width_hz / self.rate_hz)
            angle = 2 * np.pi * min(centre_hz, 0.95 * nyquist_hz) / self.rate_hz
            poles = [1.0, -2 * radius * np.cos(angle), radius**2]
            source, self._memory[index] = lfilter(
                [sum(poles)], poles, source, zi=self._memory[index]
            )
        return source

    def fricative(self, samples: int) -> NDArray[np.float64]:
        """Return high-pass noise that swells and fades."""
        noise = np.diff(self.rng.standard_normal(samples + 1))
        return 0.01 * self.rng.uniform(0.5, 1.5) * noise * np.hanning(samples)


def synthesise(
    rate_hz: int, duration_s: float, n_speakers: int, *, stream: int
) -> list[NDArray[np.float32]]:
    """Return utterances of all voices in turn, ``duration_s`` in all, float32, peak below 1.

    Args:
        rate_hz: Samples per second, at least 4000.
        duration_s: Total length; the last utterance is cut to fit.
        n_speakers: Voices, the same for every stream.
        stream: Another number gives other utterances of the same voices.
    """
    voices = [_voice(index) for index in range(n_speakers)]
    remaining = round(duration_s * rate_hz)
    utterances: list[NDArray[np.float32]] = []
    while remaining > 0:
        number = len(utterances)
        rng = np.random.default_rng([2, stream, number])
        samples = min(remaining, round(_UTTERANCE_S * rate_hz))
        utterances.append(_utterance(voices[number % n_speakers], rate_hz, samples, rng))
        remaining -= samples
    return utterances


def _voice(index: int) -> _Voice:
    rng = np.random.default_rng([1, index])
    high = index % 2
    return _Voice(
        pitch_hz=float(rng.uniform(170, 240) if high else rng.uniform(85, 140)),
        formant_scale=float(rng.uniform(1.08, 1.2) if high else rng.uniform(0.92, 1.05)),
        jitter=float(rng.uniform(0.005, 0.02)),
        breath=float(rng.uniform(0.01, 0.05)),
    )


def _utterance(
    voice: _Voice, rate_hz: int, samples: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return phones one after another: vowels (most), fricatives, pauses."""
    tract = _Tract(voice, rate_hz, rng)
    pieces: list[NDArray[np.float64]] = []
    made = 0
    while made < samples:
        length = round(rng.uniform(0.06, 0.22) * rate_hz)
        kind = rng.choice(3, p=[0.72, 0.18, 0.1])
        phones = (tract.voiced, tract.fricative, np.zeros)
        pieces.append(phones[kind](length))
        made += length
    audio = np.concatenate(pieces)[:samples]
    audio *= rng.uniform(0.03, 0.1) / max(float(np.sqrt(np.mean(audio**2))), 1e-9)
    audio += 1e-4 * rng.standard_normal(samples)
    return np.clip(audio, -0.99, 0.99).astype(np.float32)
