"""Recordings of a folder as a corpus: found, split, resampled, and joined where they are short."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from ablate.protocol import ConfigError
from trainer.config import DataConfig
from trainer.corpus import Audio, Corpus
from trainer.parsing import AUDIO_SUFFIXES


def load_folder(data: DataConfig, segment_samples: int) -> Corpus:
    """Return the recordings under ``data.path``, each file in one split.

    Files are taken in the order of their relative paths. Those that cannot be read, or hold
    nothing, are left out and named in the result. A file shorter than a segment is joined with
    its neighbours of the same split; a split that is too short altogether is repeated.

    Raises:
        ConfigError: If the folder is missing, or fewer than two files can be used.
    """
    root = Path(data.path).expanduser()
    if not root.is_dir():
        raise ConfigError("data.path", f"there is no folder {data.path}")
    skipped: list[tuple[str, str]] = []
    clips: dict[str, Audio] = {}
    for name in _relative_paths(root):
        try:
            clips[name] = _read(root / name, data.sample_rate_hz)
        except (soundfile.LibsndfileError, OSError, ValueError) as error:
            skipped.append((name, str(error)))
    if len(clips) < 2:
        raise ConfigError(
            "data.path",
            f"{data.path} holds {len(clips)} usable recordings; training and held-out set need "
            f"one each ({len(skipped)} could not be used)",
        )
    train, valid = split(list(clips), data.valid_fraction)
    return Corpus(
        train=_join_short([clips[name] for name in train], segment_samples),
        valid=_join_short([clips[name] for name in valid], segment_samples),
        skipped=tuple(skipped),
    )


def _relative_paths(root: Path) -> list[str]:
    found = (p for p in root.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
    return sorted(p.relative_to(root).as_posix() for p in found)


def _read(path: Path, rate_hz: int) -> Audio:
    """Return the file as mono at ``rate_hz``.

    Raises:
        ValueError: If it holds no sample, or one that is not finite.
    """
    channels_TC, source_hz = soundfile.read(path, dtype="float32", always_2d=True)
    if len(channels_TC) == 0:
        raise ValueError("holds no sample")
    mono: NDArray[np.float32] = channels_TC.mean(axis=1)
    if not np.isfinite(mono).all():
        raise ValueError("holds values that are not finite")
    if source_hz != rate_hz:
        common = math.gcd(source_hz, rate_hz)
        mono = resample_poly(mono, rate_hz // common, source_hz // common)
    return np.ascontiguousarray(mono, dtype=np.float32)


def split(names: Sequence[str], valid_fraction: float) -> tuple[list[str], list[str]]:
    """Return (train, valid) names, both non-empty for two names or more.

    A file's place follows from its own path, so that adding files moves none. Only where a split
    would be empty, the file nearest to the border is moved.
    """
    place = {name: _place(name) for name in names}
    valid = [name for name in names if place[name] < valid_fraction]
    if not valid:
        valid = [min(names, key=place.__getitem__)]
    if len(valid) == len(names):
        valid.remove(max(names, key=place.__getitem__))
    held = set(valid)
    return [name for name in names if name not in held], valid


def _place(name: str) -> float:
    """Return a number in [0, 1) that depends on the path alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _join_short(clips: Sequence[Audio], minimum: int) -> tuple[Audio, ...]:
    joined: list[Audio] = []
    waiting: list[Audio] = []
    for clip in clips:
        waiting.append(clip)
        if sum(map(len, waiting)) >= minimum:
            joined.append(np.concatenate(waiting))
            waiting = []
    if waiting and joined:
        joined[-1] = np.concatenate([joined[-1], *waiting])
    elif waiting:
        whole = np.concatenate(waiting)
        joined.append(np.tile(whole, -(-minimum // len(whole))))
    return tuple(joined)
