"""Audio with its spectra, each computed once however many losses and metrics ask for it.

Shapes: `B` batch, `T` samples, `F` frames, `K` frequency bins, `M` mel bands.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

_Key = TypeVar("_Key")

MAGNITUDE_FLOOR = 1e-7
"""Smallest magnitude: keeps the gradient of the root finite where there is nothing."""
RMS_EPSILON = 1e-8
"""Added to mean squares under the root, for the same reason."""


class Signal:
    """A batch of audio; what is derived from it is kept.

    Args:
        audio_BT: Float, full scale = 1.
    """

    def __init__(self, audio_BT: Tensor) -> None:
        self.audio_BT = audio_BT
        self._magnitudes: dict[int, Tensor] = {}
        self._frame_rms: dict[int, Tensor] = {}

    def magnitudes(self, n_fft: int) -> Tensor:
        """Return STFT magnitudes: periodic Hann window, hop ``n_fft / 4``, zeros at the ends."""
        return _kept(self._magnitudes, n_fft, lambda: _magnitudes(self.audio_BT, n_fft))

    def frame_rms(self, frame_samples: int) -> Tensor:
        """Return the level of consecutive frames; samples that fill no frame are left out."""
        return _kept(
            self._frame_rms, frame_samples, lambda: _frame_rms(self.audio_BT, frame_samples)
        )

    def detached(self) -> Signal:
        """Return the same signal without gradients, sharing what was derived already."""
        copy = Signal(self.audio_BT.detach())
        copy._magnitudes = {n_fft: value.detach() for n_fft, value in self._magnitudes.items()}
        copy._frame_rms = {size: value.detach() for size, value in self._frame_rms.items()}
        return copy

    def silence(self) -> Signal:
        """Return an all-zero signal of the same shape."""
        return _Silence(self)


class _Silence(Signal):
    """An all-zero signal, whose spectra need no transform."""

    def __init__(self, like: Signal) -> None:
        super().__init__(torch.zeros_like(like.audio_BT))
        self._like = like

    def magnitudes(self, n_fft: int) -> Tensor:
        """Return what an STFT of zeros gives: the floor."""
        return torch.full_like(self._like.magnitudes(n_fft), MAGNITUDE_FLOOR)

    def detached(self) -> Signal:
        """Return itself: nothing here has a gradient."""
        return self


def _kept(store: dict[_Key, Tensor], key: _Key, compute: Callable[[], Tensor]) -> Tensor:
    if key not in store:
        store[key] = compute()
    return store[key]


@functools.cache
def _window(n_fft: int, device: str, dtype: torch.dtype) -> Tensor:
    return torch.hann_window(n_fft, dtype=torch.float64).to(device, dtype)


def _magnitudes(audio_BT: Tensor, n_fft: int) -> Tensor:
    # Zero padding: the backward pass of reflection is not deterministic on CUDA.
    # What comes in half precision is measured in single; doubles stay doubles.
    audio_BT = audio_BT.to(torch.promote_types(audio_BT.dtype, torch.float32))
    spectrum = torch.stft(
        audio_BT,
        n_fft,
        hop_length=n_fft // 4,
        window=_window(n_fft, str(audio_BT.device), audio_BT.dtype),
        pad_mode="constant",
        return_complex=True,
    )
    power = torch.view_as_real(spectrum).square().sum(dim=-1)
    return power.clamp_min(MAGNITUDE_FLOOR**2).sqrt()


def _frame_rms(audio_BT: Tensor, frame_samples: int) -> Tensor:
    size = min(frame_samples, audio_BT.shape[1])
    whole = audio_BT.shape[1] // size * size
    frames = audio_BT[:, :whole].reshape(len(audio_BT), -1, size)
    return (frames.square().mean(dim=-1) + RMS_EPSILON).sqrt()


@functools.cache
def band_weights(n_fft: int, sample_rate_hz: int, device: str, dtype: torch.dtype) -> Tensor:
    """Return, for each band, the weights that turn squared magnitudes into a mean square.

    By Parseval's theorem the sum over bins of ``weight * magnitude**2`` is the mean square of the
    windowed frame in that band, corrected for the window's own mean square. Bands: 0-1, 1-2, 2-4,
    4-8 kHz, as far as the sample rate reaches.
    """
    edges_hz = [0.0, *(e for e in (1000.0, 2000.0, 4000.0) if e < sample_rate_hz / 2)]
    edges_hz.append(sample_rate_hz / 2 + 1)
    bins_hz = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate_hz / n_fft
    two_sided = torch.full_like(bins_hz, 2.0)
    two_sided[0] = two_sided[-1] = 1.0
    window_power = _window(n_fft, "cpu", torch.float64).square().sum()
    rows = [
        torch.where((bins_hz >= low) & (bins_hz < high), two_sided, 0.0)
        for low, high in itertools.pairwise(edges_hz)
    ]
    return (torch.stack(rows) / (n_fft * window_power)).to(device, dtype)


@functools.cache
def mel_filters(
    n_fft: int, n_mels: int, sample_rate_hz: int, device: str, dtype: torch.dtype
) -> Tensor:
    """Return triangular filters, equally spaced in mel, peak 1.

    Source: mel(f) = 2595 log10(1 + f / 700), O'Shaughnessy 1987. A band narrower than a bin may
    hold no bin; its row is then zero.
    """
    top_mel = 2595.0 * math.log10(1.0 + sample_rate_hz / 2 / 700.0)
    mels = torch.linspace(0.0, top_mel, n_mels + 2, dtype=torch.float64)
    edges_hz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins_hz = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate_hz / n_fft
    low, centre, high = (edges_hz[i : i + n_mels].unsqueeze(1) for i in range(3))
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    return torch.minimum(rising, falling).clamp_min(0).to(device, dtype)
