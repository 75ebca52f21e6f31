"""The audio that a run trains on, as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
Units = NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Mono audio of one speaker."""

    audio: Audio
    speaker: str
    units: Units | None = None
    """Content unit of each sample, or None where none are asked for."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.audio)


def joined(clips: Sequence[Clip]) -> Clip:
    """Return the clips of one speaker, at least one, as a single clip."""
    units = [clip.units for clip in clips if clip.units is not None]
    return Clip(
        np.concatenate([clip.audio for clip in clips]),
        clips[0].speaker,
        np.concatenate(units) if units else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """A file that the corpus was made of."""

    path: str
    """Relative to the folder, with ``/``."""
    sha256: str
    """Of the file as it is on disk, 64 hex digits."""
    samples: int
    """At the corpus's rate."""
    speaker: str
    split: str
    """``train`` or ``valid``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Mono audio at one sample rate, in clips of at least one segment each."""

    train: tuple[Clip, ...]
    valid: tuple[Clip, ...]
    origin: Mapping[str, Any]
    """What it was made from, ready for JSON: ``source``, ``sample_rate_hz`` and its arguments."""
    recordings: tuple[Recording, ...] = ()
    """The files, for a folder."""
    skipped: tuple[tuple[str, str], ...] = ()
    """(file, why) for each file that could not be used."""

    @property
    def digest(self) -> str:
        """SHA-256 of every sample, 64 hex digits."""
        sha = hashlib.sha256()
        for clip in (*self.train, *self.valid):
            sha.update(len(clip).to_bytes(8, "little"))
            sha.update(clip.audio.astype("<f4").tobytes())
        return sha.hexdigest()
