"""Content units without a download: clusters of log-mel frames as labels of what is said.

They belong to the data: the same audio has the same labels, whatever the run's seed.

Shapes: `N` frames of all clips, `M` mel bands, `T` samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainer.config.config import UNIT_S
from trainer.data.cache import Arrays, cached
from trainer.data.corpus import Clip, Corpus
from trainer.model.kmeans import kmeans, nearest
from trainer.signals import mel_filters

_WINDOW_S = 0.032
_MELS = 40
_FLOOR = 1e-4
_SEED = 100


def with_units(corpus: Corpus, n_units: int, rate_hz: int) -> Corpus:
    """Return the corpus with a unit from 0 to ``n_units - 1`` for each sample.

    k-means of the log-mel frames (20 ms, 40 bands) of the training clips; a frame has the unit of
    the nearest centre. Each band is first brought to mean 0 and deviation 1 over its speaker, which
    takes away most of the voice and the level: what is left says what is spoken rather than by
    whom.

    Computed once for a corpus and kept in the cache.

    Source: Hsu et al. 2021, arXiv:2106.07447, whose first labels are k-means clusters of MFCC.
    """
    clips = (*corpus.train, *corpus.valid)
    hop = round(UNIT_S * rate_hz)
    key = (corpus.digest, [clip.speaker for clip in clips], len(corpus.train), n_units, rate_hz)
    units_N = cached("units", key, lambda: _label(clips, len(corpus.train), n_units, rate_hz))
    counts = [-(-len(clip) // hop) for clip in clips]
    parts = np.split(units_N["units"], np.cumsum(counts)[:-1])
    labelled = tuple(
        dataclasses.replace(clip, units=np.repeat(part, hop)[: len(clip)])
        for clip, part in zip(clips, parts, strict=True)
    )
    n_train = len(corpus.train)
    return dataclasses.replace(corpus, train=labelled[:n_train], valid=labelled[n_train:])


@torch.no_grad()
def _label(clips: Sequence[Clip], n_train: int, n_units: int, rate_hz: int) -> Arrays:
    """Return the unit of each frame of all clips, one after another."""
    frames = _without_voice(clips, [_log_mel(clip, rate_hz) for clip in clips])
    train_NM = torch.cat(frames[:n_train])
    centres_VM = kmeans(train_NM, n_units, torch.Generator().manual_seed(_SEED)).centres_VD
    units_N = nearest(torch.cat(frames), centres_VM)
    return {"units": units_N.numpy().astype(np.int16)}


def _log_mel(clip: Clip, rate_hz: int) -> Tensor:
    """Return one frame for each hop, the last one begun included, ``(N, M)``, in nepers."""
    hop, size = round(UNIT_S * rate_hz), round(_WINDOW_S * rate_hz) // 2 * 2
    count = -(-len(clip) // hop)
    # A frame is centred on its hop.
    before = (size - hop) // 2
    after = (count - 1) * hop + size - before - len(clip)
    padded_T = torch.nn.functional.pad(torch.from_numpy(clip.audio), (before, after))
    window = torch.hann_window(size)
    spectrum_KN = torch.stft(padded_T, size, hop, window=window, center=False, return_complex=True)
    mel_MN = mel_filters(size, _MELS, rate_hz, "cpu", torch.float32) @ spectrum_KN.abs()
    return mel_MN.clamp_min(_FLOOR).log().T


def _without_voice(clips: Sequence[Clip], frames: Sequence[Tensor]) -> list[Tensor]:
    """Return the frames with mean 0 and deviation 1 in each band of each speaker."""
    of_speaker: dict[str, list[Tensor]] = {}
    for clip, frames_NM in zip(clips, frames, strict=True):
        of_speaker.setdefault(clip.speaker, []).append(frames_NM)
    every = {speaker: torch.cat(parts) for speaker, parts in of_speaker.items()}
    means = {speaker: frames_NM.mean(dim=0) for speaker, frames_NM in every.items()}
    # A band without change stays without.
    deviations = {s: f.std(dim=0, correction=0).clamp_min(0.1) for s, f in every.items()}
    return [
        (frames_NM - means[clip.speaker]) / deviations[clip.speaker]
        for clip, frames_NM in zip(clips, frames, strict=True)
    ]
