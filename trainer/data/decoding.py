"""Audio files as mono samples. Imports no torch: what cannot be used is refused when planning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from trainer.data.corpus import Audio

_SHORTEST_S = 0.025
"""Below it not even one frame of content can be heard."""


class UnusableError(Exception):
    """A file that gives no audio; the message says why."""


def decode(path: Path) -> tuple[Audio, int]:
    """Return the mean of the file's channels, and its sample rate in Hz.

    Raises:
        UnusableError: If it cannot be read, is too short, or holds a value that is not finite.
    """
    try:
        channels_TC, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        raise UnusableError(f"cannot be read: {error}") from error
    if len(channels_TC) < _SHORTEST_S * rate_hz:
        raise UnusableError(
            f"is too short: {len(channels_TC)} samples, less than {1000 * _SHORTEST_S:g} ms"
        )
    mono: Audio = channels_TC.mean(axis=1)
    if not np.isfinite(mono).all():
        raise UnusableError("holds values that are not finite")
    return mono, rate_hz
