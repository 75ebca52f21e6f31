"""Audio samples of a run: what the codec made of held-out speech, to hear and to see."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from ablate.protocol import Run
from trainer.data.batches import Utterance
from trainer.watching.spectrogram import draw


@torch.no_grad()
def keep_samples(
    utterances: Sequence[Utterance],
    resynthesise: Callable[[Tensor], Tensor],
    convert: Callable[[Tensor, Tensor], Tensor] | None,
    *,
    step: int,
    sample_rate_hz: int,
    run: Run,
) -> None:
    """Keep what the codec makes of each utterance under ``samples/step-000000700/``.

    ``<utterance>-original.wav``, ``-output.wav`` and, with a voice to give, ``-conversion.wav``.
    The files have 16 bits and the level that the codec made: nothing is rescaled, what lies beyond
    full scale is cut. ``<utterance>.png`` shows the spectrograms of all of them on one scale.

    Args:
        utterances: On the device of the codec.
        resynthesise: Audio ``(1, T)`` -> audio ``(1, T)``.
        convert: Audio ``(1, T)`` and speech of somebody else ``(1, T')`` -> the former in the voice
            of the latter; None where the codec knows no voices.
        step: After how many steps.
        sample_rate_hz: Of all audio.
        run: Keeps the files as artifacts.
    """
    for utterance in utterances:
        versions = {
            "original": utterance.audio_1T,
            "output": resynthesise(utterance.audio_1T),
        }
        if convert is not None and utterance.other_1T is not None:
            versions["conversion"] = convert(utterance.audio_1T, utterance.other_1T)
        sounds = {name: audio_1T[0].float().cpu() for name, audio_1T in versions.items()}
        with tempfile.TemporaryDirectory() as folder:
            for path in _write(Path(folder), utterance.name, sounds, step, sample_rate_hz):
                run.artifact(path, name=f"samples/step-{step:09d}/{path.name}")


def _write(
    folder: Path, name: str, sounds: Mapping[str, Tensor], step: int, sample_rate_hz: int
) -> list[Path]:
    written: list[Path] = []
    for version, audio_T in sounds.items():
        path = folder / f"{name}-{version}.wav"
        soundfile.write(path, np.clip(audio_T.numpy(), -1, 1), sample_rate_hz, subtype="PCM_16")
        written.append(path)
    picture = folder / f"{name}.png"
    draw(f"{name}, step {step}", sounds, sample_rate_hz).save(picture)
    return [*written, picture]
