"""Spectrograms under each other, on one scale, as a picture.

Shapes: `T` samples, `K` frequency bins, `N` frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_WINDOW_S = 0.032
_RANGE_DB = 80.0
"""From the loudest point of all panels down to black."""
_PANEL = (720, 150)
_LEFT, _RIGHT, _TOP, _GAP, _BOTTOM = 64, 92, 40, 34, 46
_SHADES = 112
_INK, _PAPER, _GRAY = (20, 20, 20), (255, 255, 255), (120, 120, 120)
_COLOURS = np.array(
    [(0, 0, 8), (44, 18, 92), (128, 34, 116), (208, 66, 78), (247, 146, 40), (252, 250, 200)]
)
"""From the quietest to the loudest; brightness rises all the way, also in gray."""


class _Scale(NamedTuple):
    top_db: float
    samples: int
    """Of the longest sound: all panels share the time axis."""
    sample_rate_hz: int

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate_hz


def draw(title: str, sounds: Mapping[str, Tensor], sample_rate_hz: int) -> Image.Image:
    """Return the log-magnitude spectrograms of all sounds, one under the other.

    All have the same scale, so that an output that lost its level is dark. 0 dB is a sine at full
    scale. Each panel states the level (rms), relative to the first one too, and what share of the
    samples lies beyond full scale.

    Args:
        title: Stands above.
        sounds: Name -> audio ``(T,)`` on the CPU, finite; at least one.
        sample_rate_hz: Of all of them.
    """
    spectra = {name: _decibels(audio_T, sample_rate_hz) for name, audio_T in sounds.items()}
    loudest_db = max(float(db_KN.max()) for db_KN in spectra.values())
    scale = _Scale(10 * math.ceil(loudest_db / 10), max(map(len, sounds.values())), sample_rate_hz)
    width, height = _PANEL
    size = (_LEFT + width + _RIGHT, _TOP + len(sounds) * (height + _GAP) + _BOTTOM)
    image = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(image)
    pen.text((_LEFT, 10), title, _INK, ImageFont.load_default(17))
    reference = next(iter(sounds.values()))
    top = _TOP
    for name, audio_T in sounds.items():
        top += _GAP
        pen.text((_LEFT, top - 20), f"{name}   {_levels(audio_T, reference)}", _INK, _font())
        panel_width = max(1, round(width * len(audio_T) / scale.samples))
        image.paste(_panel(spectra[name], scale, (panel_width, height)), (_LEFT, top))
        _frequency_axis(pen, top, scale)
        _colour_bar(image, pen, top, scale)
        top += height
    _time_axis(pen, top, scale)
    # A report holds many: with as many shades as anybody tells apart it is a quarter as large.
    return image.quantize(palette=_palette(), dither=Image.Dither.NONE)


def _palette() -> Image.Image:
    """Return shades of the scale, and of gray for the text."""
    shades = _coloured(np.linspace(0, 1, _SHADES))
    grays = np.linspace(20, 255, 16).round().astype(np.uint8)[:, None].repeat(3, axis=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([shades, grays]).tobytes())
    return palette


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13)


def _decibels(audio_T: Tensor, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return levels ``(K, N)``; a sine at full scale has 0 dB."""
    n_fft = 1 << round(math.log2(_WINDOW_S * sample_rate_hz))
    window = torch.hann_window(n_fft)
    spectrum = torch.stft(
        audio_T, n_fft, n_fft // 4, window=window, pad_mode="constant", return_complex=True
    )
    amplitude_KN = spectrum.abs() / (window.sum() / 2)
    return (20 * amplitude_KN.clamp_min(1e-6).log10()).numpy()


def _levels(audio_T: Tensor, reference_T: Tensor) -> str:
    rms, reference = (float(a.square().mean().sqrt()) for a in (audio_T, reference_T))
    text = f"rms {rms:.4f}"
    if audio_T is not reference_T and rms > 0 and reference > 0:
        text += f" ({20 * math.log10(rms / reference):+.1f} dB)"
    beyond = float((audio_T.abs() > 1).float().mean())
    return f"{text}   {beyond:.2%} beyond full scale" if beyond else text


def _panel(db_KN: NDArray[np.float32], scale: _Scale, size: tuple[int, int]) -> Image.Image:
    upwards = db_KN[::-1]  # rows of a picture go down
    loudness = np.clip(1 + (upwards - scale.top_db) / _RANGE_DB, 0, 1)
    return Image.fromarray(_coloured(loudness)).resize(size, Image.Resampling.BILINEAR)


def _coloured(loudness: NDArray[np.floating]) -> NDArray[np.uint8]:
    stops = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(loudness, stops, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _frequency_axis(pen: ImageDraw.ImageDraw, top: int, scale: _Scale) -> None:
    height = _PANEL[1]
    nyquist_khz = scale.sample_rate_hz / 2000
    for khz in _ticks(nyquist_khz, 5):
        y = top + height - 1 - round((height - 1) * khz / nyquist_khz)
        pen.line((_LEFT - 5, y, _LEFT - 1, y), _GRAY)
        pen.text((_LEFT - 9, y), f"{khz:g}", _INK, _font(), anchor="rm")
    pen.text((10, top + height // 2), "kHz", _INK, _font(), anchor="lm")


def _time_axis(pen: ImageDraw.ImageDraw, top: int, scale: _Scale) -> None:
    width = _PANEL[0]
    for seconds in _ticks(scale.seconds, 8):
        x = _LEFT + round((width - 1) * seconds / scale.seconds)
        pen.line((x, top, x, top + 4), _GRAY)
        pen.text((x, top + 8), f"{seconds:g}", _INK, _font(), anchor="mt")
    pen.text((_LEFT + width // 2, top + 26), "s", _INK, _font(), anchor="mt")


def _colour_bar(image: Image.Image, pen: ImageDraw.ImageDraw, top: int, scale: _Scale) -> None:
    height, left = _PANEL[1], _LEFT + _PANEL[0] + 12
    ramp = np.linspace(1, 0, height)[:, None].repeat(12, axis=1)
    image.paste(Image.fromarray(_coloured(ramp)), (left, top))
    for below_db in range(0, round(_RANGE_DB) + 1, 20):
        y = top + round((height - 1) * below_db / _RANGE_DB)
        label = f"{scale.top_db - below_db:g} dB"
        pen.text((left + 18, y), label, _INK, _font(), anchor="lm")


def _ticks(end: float, wanted: int) -> list[float]:
    """Return round numbers from 0 to ``end``, about ``wanted`` of them."""
    rough = end / wanted
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999)
    return [round(index * step, 6) for index in range(int(end / step + 1e-9) + 1)]
