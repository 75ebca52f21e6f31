"""Recordings of a folder as a corpus: found, split, resampled, and joined where they are short."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from ablate.protocol import ConfigError
from trainer.config.config import Config, DataConfig
from trainer.data.cache import Arrays, cached
from trainer.data.corpus import Audio, Clip, Corpus, Recording, Units, joined
from trainer.data.decoding import UnusableError, decode
from trainer.data.listing import (
    UNITS_PER_S,
    list_folder,
    one_for_all,
    read_units,
    speaker_of,
    too_few,
)

_UNIT_SLACK = 2
"""By how many units a line may be longer or shorter than its recording: extractors lose edges."""


def load_folder(config: Config) -> Corpus:
    """Return the recordings under ``data.path``, each file in one split.

    Files are taken in the order of their relative paths. Those that cannot be read, hold nothing,
    or name no speaker are left out and named in the result. A file shorter than a segment is
    joined with the next ones of its speaker and split; a speaker whose part of a split is too
    short altogether is repeated.

    Raises:
        ConfigError: If the folder is missing, fewer than two files can be used, or
            `data.units_file` does not fit.
    """
    data = config.data
    root = Path(data.path).expanduser()
    if not root.is_dir():
        raise ConfigError("data.path", f"there is no folder {data.path}")
    clips, sha256s, skipped = _read_all(root, data)
    if len(clips) < 2:
        raise too_few(data.path, len(clips), skipped)
    if data.units_file:
        clips, unknown = _labelled(clips, config)
        skipped += unknown
    train, valid = split({n: clip.speaker for n, clip in clips.items()}, data.valid_fraction)
    held = set(valid)
    recordings = (
        Recording(
            path=name,
            sha256=sha256s[name],
            samples=len(clip),
            speaker=clip.speaker,
            split="valid" if name in held else "train",
        )
        for name, clip in clips.items()
    )
    return Corpus(
        train=_join_short([clips[name] for name in train], config.segment_samples),
        valid=_join_short([clips[name] for name in valid], config.segment_samples),
        origin={
            "source": "folder",
            "sample_rate_hz": data.sample_rate_hz,
            "path": data.path,
            "speaker_pattern": data.speaker_pattern,
            "units_file": data.units_file,
            "valid_fraction": data.valid_fraction,
        },
        recordings=tuple(recordings),
        skipped=tuple(sorted(skipped)),
    )


def _read_all(
    root: Path, data: DataConfig
) -> tuple[dict[str, Clip], dict[str, str], list[tuple[str, str]]]:
    """Return the clips and the SHA-256 of each usable file by its name, and what was skipped."""
    listing = list_folder(root)
    clips: dict[str, Clip] = {}
    sha256s: dict[str, str] = {}
    skipped = list(listing.others)
    for name in listing.audio:
        speaker = speaker_of(name, data.speaker_pattern)
        if speaker is None:
            skipped.append((name, f"data.speaker_pattern {data.speaker_pattern} does not match"))
            continue
        try:
            audio, sha256s[name] = _load(root / name, data.sample_rate_hz)
            clips[name] = Clip(audio, speaker)
        except (UnusableError, OSError) as error:
            skipped.append((name, str(error)))
    return clips, sha256s, skipped


def _load(path: Path, rate_hz: int) -> tuple[Audio, str]:
    """Return the file's audio and the SHA-256 of its bytes, from the cache where they are known."""
    stat = path.stat()
    key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns, rate_hz)
    entry = cached("audio", key, lambda: _read(path, rate_hz))
    return entry["audio"], entry["sha256"].tobytes().hex()


def _read(path: Path, rate_hz: int) -> Arrays:
    """Return the file as mono at ``rate_hz``, and the SHA-256 of its bytes."""
    mono, source_hz = decode(path)
    if source_hz != rate_hz:
        common = math.gcd(source_hz, rate_hz)
        mono = resample_poly(mono, rate_hz // common, source_hz // common)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").digest()
    return {
        "audio": np.ascontiguousarray(mono, dtype=np.float32),
        "sha256": np.frombuffer(sha256, dtype=np.uint8),
    }


def split(speakers: Mapping[str, str], valid_fraction: float) -> tuple[list[str], list[str]]:
    """Return (train, valid) file names, both non-empty for two names or more.

    A file's place follows from its own path, so that adding files moves none. Only where a split
    would be empty, or one speaker would be alone in the held-out set although there are others
    (and three files), the file nearest to the border is moved.

    Args:
        speakers: File name -> speaker.
        valid_fraction: Share of the files that is held out.
    """
    place = {name: _place(name) for name in speakers}
    valid = [name for name in speakers if place[name] < valid_fraction]
    if not valid:
        valid = [min(speakers, key=place.__getitem__)]
    heard = {speakers[name] for name in valid}
    strangers = [name for name in speakers if speakers[name] not in heard]
    if len(heard) == 1 and strangers and len(speakers) > 2:
        valid.append(min(strangers, key=place.__getitem__))
    if len(valid) == len(speakers):
        files = Counter(speakers.values())
        valid.remove(max(speakers, key=lambda name: (files[speakers[name]] > 1, place[name])))
    held = set(valid)
    return [n for n in speakers if n not in held], [n for n in speakers if n in held]


def _place(name: str) -> float:
    """Return a number in [0, 1) that depends on the path alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _join_short(clips: Sequence[Clip], minimum: int) -> tuple[Clip, ...]:
    """Return clips of at least ``minimum`` samples, each of one speaker."""
    whole: list[Clip] = []
    last: dict[str, int] = {}
    waiting: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        parts = waiting[clip.speaker]
        parts.append(clip)
        if sum(map(len, parts)) >= minimum:
            last[clip.speaker] = len(whole)
            whole.append(joined(parts))
            waiting[clip.speaker] = []
    for speaker, parts in waiting.items():
        if parts and speaker in last:
            whole[last[speaker]] = joined([whole[last[speaker]], *parts])
        elif parts:
            repeats = -(-minimum // sum(map(len, parts)))
            whole.append(joined(parts * repeats))
    return tuple(whole)


def _labelled(
    clips: Mapping[str, Clip], config: Config
) -> tuple[dict[str, Clip], list[tuple[str, str]]]:
    """Return the clips with the units of `data.units_file`, and what the file names in vain.

    Raises:
        ConfigError: If a recording has no line, or one that is too long or too short for it.
    """
    file = config.data.units_file
    lines = read_units(file, config.model.content_units)
    labelled: dict[str, Clip] = {}
    for name, clip in clips.items():
        if name not in lines:
            raise ConfigError(
                "data.units_file",
                f"{file} has no line for the recording {name}",
                hint="add it, or take the recording out of data.path",
            )
        line = lines[name]
        where = f"{file}:{line.number}: {name}"
        units = _spread(line.units, len(clip), config.data.sample_rate_hz, where)
        labelled[name] = Clip(clip.audio, clip.speaker, units)
    unknown = sorted(lines.keys() - clips.keys(), key=lambda name: lines[name].number)
    reason = f"stands in {file} but is no recording that is used"
    return labelled, [one_for_all(unknown, reason)] if unknown else []


def _spread(units: Sequence[int], samples: int, rate_hz: int, where: str) -> Units:
    """Return the unit of each sample; the last one holds until the end."""
    expected = samples * UNITS_PER_S / rate_hz
    if abs(len(units) - expected) > _UNIT_SLACK:
        raise ConfigError(
            "data.units_file",
            f"{where} has {len(units)} units; its {samples / rate_hz:.2f} s are "
            f"{round(expected)} at {UNITS_PER_S} units a second",
        )
    index = np.minimum(np.arange(samples) * UNITS_PER_S // rate_hz, len(units) - 1)
    return np.asarray(units, dtype=np.int16)[index]
