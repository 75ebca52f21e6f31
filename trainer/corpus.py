"""The audio that a run trains on, as arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Mono audio at one sample rate, in clips of at least one segment each."""

    train: tuple[Audio, ...]
    valid: tuple[Audio, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """(file, why) for each file that could not be used."""

    @property
    def digest(self) -> str:
        """SHA-256 of every sample, 64 hex digits."""
        sha = hashlib.sha256()
        for clip in (*self.train, *self.valid):
            sha.update(len(clip).to_bytes(8, "little"))
            sha.update(clip.astype("<f4").tobytes())
        return sha.hexdigest()
