"""Samples to hear and to see."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch import Tensor

from tests.support.sounds import voice
from tests.support.trainer_run import MemoryRun
from trainer.config.parsing import parse
from trainer.data.batches import Utterance, load_corpus
from trainer.data.manifest import keep_manifest
from trainer.watching import spectrogram
from trainer.watching.samples import keep_samples

RATE_HZ = 16000
UTTERANCES = (
    Utterance("1-ann", voice(200), voice(110)),
    Utterance("2-bob", voice(110), None),
)


def keep(
    output_gain: float = 1.0, *, converts: bool = True, rate_hz: int = RATE_HZ
) -> dict[str, bytes]:
    """Return the artifacts of a codec that multiplies, and converts by taking the other's."""

    def convert(audio_1T: Tensor, other_1T: Tensor) -> Tensor:
        return other_1T[:, : audio_1T.shape[1]]

    run = MemoryRun()
    keep_samples(
        UTTERANCES,
        lambda audio_1T: output_gain * audio_1T,
        convert if converts else None,
        step=500,
        sample_rate_hz=rate_hz,
        run=run,
    )
    return run.artifacts


def heard(content: bytes) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(content), dtype="float32")


def panels(content: bytes, count: int) -> list[np.ndarray]:
    """Return the brightness of each pixel of each spectrogram."""
    image = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(float)
    width, height = spectrogram._PANEL
    left, gap = spectrogram._LEFT, spectrogram._GAP
    tops = [spectrogram._TOP + gap + index * (height + gap) for index in range(count)]
    return [image[top : top + height, left : left + width] for top in tops]


FOLDER = "samples/step-000000500"


def test_each_utterance_has_its_files() -> None:
    with_voices, without = keep(), keep(converts=False)

    assert sorted(with_voices) == [
        f"{FOLDER}/{name}"
        for name in (
            "1-ann-conversion.wav",
            "1-ann-original.wav",
            "1-ann-output.wav",
            "1-ann.png",
            "2-bob-original.wav",
            "2-bob-output.wav",
            "2-bob.png",
        )
    ]
    assert f"{FOLDER}/1-ann-conversion.wav" not in without
    assert f"{FOLDER}/1-ann-output.wav" in without


@pytest.mark.parametrize("gain", [0.01, 1.0])
def test_files_have_the_level_that_the_codec_made(gain: float) -> None:
    kept = keep(gain)

    output, rate_hz = heard(kept[f"{FOLDER}/1-ann-output.wav"])
    info = soundfile.info(io.BytesIO(kept[f"{FOLDER}/1-ann-output.wav"]))

    assert (rate_hz, info.subtype, info.channels) == (RATE_HZ, "PCM_16", 1)
    assert output == pytest.approx(gain * UTTERANCES[0].audio_1T[0].numpy(), abs=2**-15)
    conversion, _ = heard(kept[f"{FOLDER}/1-ann-conversion.wav"])
    assert UTTERANCES[0].other_1T is not None
    assert conversion == pytest.approx(UTTERANCES[0].other_1T[0].numpy(), abs=2**-15)


def test_what_lies_beyond_full_scale_is_cut_and_does_not_turn_over() -> None:
    output, _ = heard(keep(50.0)[f"{FOLDER}/2-bob-output.wav"])

    expected = np.clip(50 * UTTERANCES[1].audio_1T[0].numpy(), -1, 1)
    assert output == pytest.approx(expected, abs=2**-14)


@pytest.mark.parametrize(("gain", "brightness"), [(1.0, 1.0), (0.01, 0.6), (0.0, 0.0)])
def test_lost_level_is_dark_beside_the_original(gain: float, brightness: float) -> None:
    original, output = panels(keep(gain)[f"{FOLDER}/2-bob.png"], 2)

    # The original is drawn the same whatever stands beside it, and it is no black panel.
    assert np.array_equal(original, panels(keep(1.0)[f"{FOLDER}/2-bob.png"], 2)[0])
    assert original.mean() > 20
    assert np.array_equal(output, original) == (gain == 1.0)
    assert output.mean() <= brightness * original.mean() + 1


@pytest.mark.parametrize("rate_hz", [4000, 8000, 44100, 48000])
def test_pictures_can_be_drawn_at_any_rate(rate_hz: int) -> None:
    content = keep(rate_hz=rate_hz)[f"{FOLDER}/1-ann.png"]

    assert Image.open(io.BytesIO(content)).size == (876, 638)


def test_picture_of_silence_alone_can_be_drawn() -> None:
    run = MemoryRun()
    silence = (Utterance("1", torch.zeros(1, 3200), None),)

    keep_samples(silence, torch.zeros_like, None, step=0, sample_rate_hz=RATE_HZ, run=run)

    assert len(run.artifacts) == 3


def test_manifest_is_kept_with_the_run() -> None:
    run = MemoryRun()
    corpus = load_corpus(parse({"data.synthetic_s": 6}))

    keep_manifest(corpus, run)

    (content,) = run.artifacts.values()
    assert list(run.artifacts) == ["manifest.json"]
    assert json.loads(content)["sha256"] == corpus.digest
