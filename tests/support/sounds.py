"""Sounds, and what is measured of them, in numpy and in double precision."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from trainer.losses.audio import LossSettings

SETTINGS = LossSettings(sample_rate_hz=16000, target_rms=0.075)
RATE_HZ = 16000


def speechlike(seed: int, *, samples: int = 4800) -> np.ndarray:
    rng = np.random.default_rng(seed)
    envelope = np.abs(np.sin(np.linspace(0, 7, samples))) + 0.1
    coloured = np.convolve(rng.standard_normal(samples), [1, 0.9, 0.5, 0.2], mode="same")
    x = envelope * coloured
    return np.stack([x, x[::-1]]) * 0.05


def stft(x: np.ndarray, n: int) -> np.ndarray:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    padded = np.pad(x, ((0, 0), (n // 2, n // 2)))
    starts = range(0, padded.shape[1] - n + 1, n // 4)
    frames = np.stack([padded[:, s : s + n] for s in starts], axis=1) * window
    return np.abs(np.fft.rfft(frames, axis=-1))


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2) + 1e-8))


def mel_filters(n_fft: int, n_mels: int) -> np.ndarray:
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), n_mels + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = np.arange(n_fft // 2 + 1) * 16000 / n_fft
    rows = [np.interp(bins, edges[m : m + 3], [0, 1, 0]) for m in range(n_mels)]
    return np.array(rows)


def sine(hz: float, *, rate_hz: int = RATE_HZ, seconds: float = 0.64, rms: float = 0.07) -> Tensor:
    t = torch.arange(int(seconds * rate_hz), dtype=torch.float64) / rate_hz
    return (rms * math.sqrt(2) * torch.sin(2 * math.pi * hz * t)).float().unsqueeze(0)


def voice(hz: float, *, rate_hz: int = RATE_HZ, formant_hz: float = 700.0) -> Tensor:
    """Return the first harmonics of a voice with one formant."""
    harmonics = range(1, min(30, int(0.45 * rate_hz / hz)) + 1)
    parts = [
        sine(n * hz, rate_hz=rate_hz) / (1 + (n * hz / formant_hz - 1) ** 2) for n in harmonics
    ]
    total = torch.stack(parts).sum(dim=0)
    return 0.07 * total / total.std()
