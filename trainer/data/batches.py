"""Batches: training segments drawn at random, the fixed held-out set, and speech to listen to.

Shapes: `B` batch, `T` samples.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.config.config import Config, DataConfig
from trainer.data.corpus import Clip, Corpus, joined
from trainer.data.folder import load_folder
from trainer.data.synthetic import synthesise
from trainer.data.units import with_units
from trainer.parallel import share

_UTTERANCE_S = 3.0
_MAX_UTTERANCES = 2


class Batch(NamedTuple):
    """Segments of equal length."""

    audio_BT: Tensor
    """Float32, full scale = 1."""
    units_BT: Tensor | None = None
    """Content unit of each sample, int64; None unless `model.content_units` is set."""

    def to(self, device: torch.device) -> Batch:
        """Return it on a device."""
        units_BT = self.units_BT
        if units_BT is not None:
            units_BT = units_BT.to(device, non_blocking=True)
        return Batch(self.audio_BT.to(device, non_blocking=True), units_BT)

    def shared(self) -> Batch:
        """Return the items of this process, where several train together."""
        return Batch(share(self.audio_BT), None if self.units_BT is None else share(self.units_BT))

    def pinned(self) -> Batch:
        """Return it in memory that a GPU copies from without the CPU's help."""
        units_BT = None if self.units_BT is None else self.units_BT.pin_memory()
        return Batch(self.audio_BT.pin_memory(), units_BT)


class Utterance(NamedTuple):
    """Held-out speech to listen to."""

    name: str
    """Fit for a file's name: the speaker with a number in front."""
    audio_1T: Tensor
    other_1T: Tensor | None
    """Speech of somebody else, whose voice it may be given; None where there is nobody else."""

    def to(self, device: torch.device) -> Utterance:
        """Return it on a device."""
        other_1T = None if self.other_1T is None else self.other_1T.to(device)
        return Utterance(self.name, self.audio_1T.to(device), other_1T)


def load_corpus(config: Config) -> Corpus:
    """Return the configured corpus; it does not depend on the run's seed.

    Raises:
        ConfigError: If a folder holds no usable recording, or `data.units_file` does not fit.
    """
    data = config.data
    if data.source == "folder":
        corpus = load_folder(config)
    else:
        corpus = _synthetic(
            data.sample_rate_hz, data.synthetic_s, data.valid_s, data.synthetic_speakers
        )
    if config.model.content_units and not data.units_file:
        return with_units(corpus, config.model.content_units, data.sample_rate_hz)
    return corpus


@functools.lru_cache(maxsize=2)
def _synthetic(rate_hz: int, train_s: float, valid_s: float, n_speakers: int) -> Corpus:
    train, valid = (
        tuple(
            Clip(audio, f"voice{index % n_speakers}")
            for index, audio in enumerate(synthesise(rate_hz, seconds, n_speakers, stream=stream))
        )
        for stream, seconds in enumerate((train_s, valid_s))
    )
    return Corpus(
        train=train,
        valid=valid,
        origin={
            "source": "synthetic",
            "sample_rate_hz": rate_hz,
            "synthetic_s": train_s,
            "valid_s": valid_s,
            "synthetic_speakers": n_speakers,
        },
    )


class SegmentSampler:
    """Draws training segments: every possible start in every clip is equally likely.

    Args:
        clips: At least one of them as long as a segment; shorter ones are not used. All of them
            have units, or none.
        config: Segment length, batch size and level.
        seed: Of its own generator, which nothing else draws from.
    """

    def __init__(self, clips: Sequence[Clip], config: Config, seed: int) -> None:
        self._data = config.data
        self._samples = config.segment_samples
        self._clips = [clip for clip in clips if len(clip) >= self._samples]
        choices = torch.tensor([len(clip) - self._samples + 1 for clip in self._clips])
        self._choices_end = torch.cumsum(choices, 0)
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self) -> Batch:
        """Return the next batch, on the CPU."""
        total = int(self._choices_end[-1])
        choice_B = torch.randint(total, (self._data.batch_size,), generator=self._generator)
        clip_B = torch.searchsorted(self._choices_end, choice_B, right=True)
        before_B = torch.where(clip_B > 0, self._choices_end[clip_B - 1], 0)
        segments = [
            (self._clips[clip], start)
            for clip, start in zip(clip_B.tolist(), (choice_B - before_B).tolist(), strict=True)
        ]
        return _batch(segments, self._samples, self._data)

    def state(self) -> Tensor:
        """Return the generator's state."""
        return self._generator.get_state()

    def restore(self, state: Tensor) -> None:
        """Go on drawing where ``state`` was taken."""
        self._generator.set_state(state)


def held_out(clips: Sequence[Clip], config: Config) -> tuple[Batch, ...]:
    """Return the fixed validation batches: whole segments in order, at most ``data.valid_s``."""
    size, count = config.segment_samples, config.data.batch_size
    segments = [(clip, start) for clip in clips for start in range(0, len(clip) - size + 1, size)]
    wanted = max(1, int(config.data.valid_s / config.data.segment_s))
    # Evenly over all clips, so that the first speaker alone is not the whole set.
    picks = np.unique(np.linspace(0, len(segments) - 1, min(wanted, len(segments))).astype(int))
    chosen = [segments[i] for i in picks]
    return tuple(
        _batch(chosen[first : first + count], size, config.data)
        for first in range(0, len(chosen), count)
    )


def _batch(segments: Sequence[tuple[Clip, int]], samples: int, data: DataConfig) -> Batch:
    """Return the segments that begin at the given samples of the given clips."""
    audio_BT = np.stack([clip.audio[start : start + samples] for clip, start in segments])
    units = [
        clip.units[start : start + samples] for clip, start in segments if clip.units is not None
    ]
    units_BT = torch.from_numpy(np.stack(units).astype(np.int64)) if units else None
    return Batch(normalise(torch.from_numpy(audio_BT), data), units_BT)


def utterances(corpus: Corpus, config: Config) -> tuple[Utterance, ...]:
    """Return held-out speech of two speakers, each beside another one's; of one, if there is one.

    A speaker's clips follow one another up to 3 s, in whole strides of the model, at the level of
    the training segments.
    """
    clips: dict[str, list[Clip]] = {}
    for clip in corpus.valid:
        if len(clip) >= config.segment_samples:
            clips.setdefault(clip.speaker, []).append(clip)
    speakers = list(clips)
    speech = [_excerpt(clips[speaker], config) for speaker in speakers[: _MAX_UTTERANCES + 1]]
    found: list[Utterance] = []
    for index, audio_1T in enumerate(speech[:_MAX_UTTERANCES]):
        readable = re.sub(r"[^\w-]+", "-", speakers[index]).strip("-")[:60]
        other_1T = speech[(index + 1) % len(speech)] if len(speech) > 1 else None
        found.append(Utterance(f"{index + 1}-{readable}".rstrip("-"), audio_1T, other_1T))
    return tuple(found)


def _excerpt(clips: Sequence[Clip], config: Config) -> Tensor:
    audio_T = joined(clips).audio
    samples = min(len(audio_T), round(_UTTERANCE_S * config.data.sample_rate_hz))
    whole = samples // config.total_stride * config.total_stride
    return normalise(torch.from_numpy(audio_T[:whole]).unsqueeze(0), config.data)


def normalise(audio_BT: Tensor, data: DataConfig) -> Tensor:
    """Return each item at ``target_rms``, or as it is where the config says so."""
    if data.normalise == "none":
        return audio_BT
    rms_B1 = audio_BT.square().mean(dim=1, keepdim=True).sqrt()
    return audio_BT * (data.target_rms / rms_B1.clamp_min(data.rms_floor))
