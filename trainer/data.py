"""Batches: training segments drawn at random, and the fixed held-out set.

Shapes: `B` batch, `T` samples.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.config import Config, DataConfig
from trainer.corpus import Audio, Corpus
from trainer.folder import load_folder
from trainer.synthetic import synthesise


def load_corpus(config: Config) -> Corpus:
    """Return the configured corpus; it does not depend on the run's seed.

    Raises:
        ConfigError: If a folder holds no usable recording.
    """
    data = config.data
    if data.source == "folder":
        return load_folder(data, config.segment_samples)
    return _synthetic(data.sample_rate_hz, data.synthetic_s, data.valid_s, data.synthetic_speakers)


@functools.lru_cache(maxsize=2)
def _synthetic(rate_hz: int, train_s: float, valid_s: float, n_speakers: int) -> Corpus:
    train = synthesise(rate_hz, train_s, n_speakers, stream=0)
    valid = synthesise(rate_hz, valid_s, n_speakers, stream=1)
    return Corpus(train=tuple(train), valid=tuple(valid))


class Batch(NamedTuple):
    """Training or held-out segments."""

    audio_BT: Tensor
    """Float32, full scale = 1."""
    units_BT: Tensor | None = None
    """The content unit at each sample; None where the config asks for none."""

    def to(self, device: torch.device) -> Batch:
        """Return it on a device."""
        units_BT = self.units_BT
        if units_BT is not None:
            units_BT = units_BT.to(device, non_blocking=True)
        return Batch(self.audio_BT.to(device, non_blocking=True), units_BT)

    def pinned(self) -> Batch:
        """Return it in memory that a GPU copies from without the CPU's help."""
        units_BT = None if self.units_BT is None else self.units_BT.pin_memory()
        return Batch(self.audio_BT.pin_memory(), units_BT)


class SegmentSampler:
    """Draws training segments: every possible start in every clip is equally likely.

    Args:
        clips: At least one of them as long as a segment; shorter ones are not used.
        config: Segment length, batch size and level.
        seed: Of its own generator, which nothing else draws from.
    """

    def __init__(self, clips: Sequence[Audio], config: Config, seed: int) -> None:
        self._data = config.data
        self._samples = config.segment_samples
        usable = [clip for clip in clips if len(clip) >= self._samples]
        self._audio_T = torch.from_numpy(np.concatenate(usable))
        lengths = torch.tensor([len(clip) for clip in usable])
        self._offsets = torch.cumsum(lengths, 0) - lengths
        self._choices_end = torch.cumsum(lengths - self._samples + 1, 0)
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self) -> Batch:
        """Return the next batch, on the CPU."""
        total = int(self._choices_end[-1])
        choice_B = torch.randint(total, (self._data.batch_size,), generator=self._generator)
        clip_B = torch.searchsorted(self._choices_end, choice_B, right=True)
        before_B = torch.where(clip_B > 0, self._choices_end[clip_B - 1], 0)
        start_B = self._offsets[clip_B] + choice_B - before_B
        audio_BT = self._audio_T[start_B.unsqueeze(1) + torch.arange(self._samples)]
        return Batch(normalise(audio_BT, self._data))

    def state(self) -> Tensor:
        """Return the generator's state."""
        return self._generator.get_state()

    def restore(self, state: Tensor) -> None:
        """Go on drawing where ``state`` was taken."""
        self._generator.set_state(state)


def held_out(clips: Sequence[Audio], config: Config) -> tuple[Batch, ...]:
    """Return the fixed validation batches: whole segments in order, at most ``data.valid_s``."""
    size = config.segment_samples
    segments = [
        torch.from_numpy(clip[start : start + size])
        for clip in clips
        for start in range(0, len(clip) - size + 1, size)
    ]
    wanted = max(1, int(config.data.valid_s / config.data.segment_s))
    # Evenly over all clips, so that the first speaker alone is not the whole set.
    picks = np.unique(np.linspace(0, len(segments) - 1, min(wanted, len(segments))).astype(int))
    audio_BT = normalise(torch.stack([segments[i] for i in picks]), config.data)
    return tuple(Batch(part_BT) for part_BT in audio_BT.split(config.data.batch_size))


def normalise(audio_BT: Tensor, data: DataConfig) -> Tensor:
    """Return each item at ``target_rms``, or as it is where the config says so."""
    if data.normalise == "none":
        return audio_BT
    rms_B1 = audio_BT.square().mean(dim=1, keepdim=True).sqrt()
    return audio_BT * (data.target_rms / rms_B1.clamp_min(data.rms_floor))
