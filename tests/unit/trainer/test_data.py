"""Corpora, splits, and the segments drawn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ablate.protocol import ConfigError
from trainer.config import Config
from trainer.corpus import Audio
from trainer.data import SegmentSampler, held_out, load_corpus
from trainer.folder import split
from trainer.parsing import parse
from trainer.synthetic import synthesise


def tone(seconds: float, *, rate_hz: int = 16000, hz: float = 440.0) -> Audio:
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype("f4")


def folder_config(path: Path, **changes: object) -> Config:
    return parse({"data.source": "folder", "data.path": str(path), **changes})


def write(folder: Path, name: str, audio: Audio, *, rate_hz: int = 16000) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, audio, rate_hz)


def test_synthetic_audio_is_the_same_every_time() -> None:
    first, again = (synthesise(16000, 7.0, 3, stream=0) for _ in range(2))
    other = synthesise(16000, 7.0, 3, stream=1)

    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert sum(map(len, first)) == 7 * 16000


def test_synthetic_audio_is_like_speech() -> None:
    audio = np.concatenate(synthesise(16000, 12.0, 4, stream=0))

    power = np.abs(np.fft.rfft(audio)) ** 2
    hz = np.fft.rfftfreq(len(audio), 1 / 16000)
    assert np.abs(audio).max() < 1
    assert 0.03 < audio.std() < 0.12
    # Most power below 1 kHz, some above 4 kHz, and pauses.
    assert power[hz < 1000].sum() > 0.4 * power.sum()
    assert power[hz > 4000].sum() > 1e-4 * power.sum()
    frames = audio[: len(audio) // 320 * 320].reshape(-1, 320).std(axis=1)
    assert np.quantile(frames, 0.05) < 0.1 * audio.std()


def test_digest_is_that_of_the_samples() -> None:
    one, same = (load_corpus(parse({"data.synthetic_s": 6})) for _ in range(2))
    other = load_corpus(parse({"data.synthetic_s": 7}))

    assert one.digest == same.digest != other.digest
    assert len(one.digest) == 64


def test_sampler_repeats_and_resumes() -> None:
    config = parse({"data.batch_size": 3})
    clips = [tone(1.0), tone(2.0, hz=300)]
    sampler, twin = (SegmentSampler(clips, config, seed=5) for _ in range(2))

    first = [sampler.draw().audio_BT for _ in range(3)]
    twin.draw()
    state = twin.state()
    resumed = SegmentSampler(clips, config, seed=99)
    resumed.restore(state)

    assert torch.equal(first[1], resumed.draw().audio_BT)
    assert torch.equal(first[2], resumed.draw().audio_BT)


def test_segments_never_cross_a_clips_end() -> None:
    config = parse({"data.batch_size": 64, "data.normalise": "none"})
    clips = [np.full(4800 + i, i + 1, dtype="f4") for i in range(3)]
    sampler = SegmentSampler(clips, config, seed=0)

    drawn = torch.cat([sampler.draw().audio_BT for _ in range(10)])

    assert (drawn == drawn[:, :1]).all()
    assert set(drawn[:, 0].tolist()) == {1, 2, 3}


def test_normalised_segments_have_the_target_level_unless_nearly_silent() -> None:
    config = parse({"data.batch_size": 2})
    loud, quiet = tone(0.3), tone(0.3) * 1e-3

    drawn = SegmentSampler([loud], config, seed=0).draw().audio_BT
    faint = SegmentSampler([quiet], config, seed=0).draw().audio_BT

    assert drawn.square().mean(dim=1).sqrt().tolist() == pytest.approx([0.075, 0.075], rel=1e-4)
    # As if it had the floor's level: 0.0000707 * 0.075 / 0.02.
    assert float(faint.square().mean().sqrt()) == pytest.approx(0.0707e-3 * 3.75, rel=0.01)


def test_held_out_set_is_fixed_and_spread_over_the_clips() -> None:
    config = parse({"data.valid_s": 1.2, "data.normalise": "none", "data.batch_size": 3})
    clips = [np.full(48000, i + 1, dtype="f4") for i in range(4)]

    batches = held_out(clips, config)

    assert [len(b.audio_BT) for b in batches] == [3, 1]
    assert {float(v) for v in torch.cat([b.audio_BT for b in batches])[:, 0]} == {1, 2, 3, 4}


def test_folder_is_read_resampled_and_split(tmp_path: Path) -> None:
    for i in range(12):
        write(tmp_path, f"s{i % 3}/clip{i}.flac", tone(0.5, rate_hz=8000), rate_hz=8000)
    stereo = np.stack([tone(0.5), np.zeros(8000, "f4")], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 16000)

    corpus = load_corpus(folder_config(tmp_path))

    assert len(corpus.train) + len(corpus.valid) == 13
    assert all(len(clip) == 8000 for clip in (*corpus.train, *corpus.valid))
    # Mono is the mean: the stereo file has half the level of the others.
    levels = sorted(float(clip.std()) for clip in (*corpus.train, *corpus.valid))
    assert levels[0] == pytest.approx(0.0354, rel=0.02)
    assert levels[1] == pytest.approx(0.0707, rel=0.02)


def test_split_does_not_move_files_when_others_come() -> None:
    names = [f"clip{i}.wav" for i in range(200)]

    train, valid = split(names[:100], 0.1)
    more_train, more_valid = split(names, 0.1)

    assert set(train) <= set(more_train)
    assert set(valid) <= set(more_valid)
    assert 5 < len(more_valid) < 40


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_split_of_few_files_leaves_none_empty(count: int, fraction: float) -> None:
    train, valid = split([f"{i}.wav" for i in range(count)], fraction)

    assert train
    assert valid
    assert len(train) + len(valid) == count


def test_files_that_cannot_be_used_are_named_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a.wav", tone(0.5))
    write(tmp_path, "b.wav", tone(0.6))
    write(tmp_path, "empty.wav", np.zeros(0, "f4"))
    (tmp_path / "broken.wav").write_bytes(b"RIFF no audio")
    (tmp_path / "cut.flac").write_bytes(b"")
    bad = tone(0.5)
    bad[3] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, 16000, subtype="FLOAT")

    corpus = load_corpus(folder_config(tmp_path))

    assert [name for name, _ in corpus.skipped] == [
        "broken.wav",
        "cut.flac",
        "empty.wav",
        "nan.wav",
    ]
    assert all(reason for _, reason in corpus.skipped)
    assert (len(corpus.train), len(corpus.valid)) == (1, 1)


def test_folder_with_nothing_usable_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF no audio")

    with pytest.raises(ConfigError, match=f"{tmp_path.name} holds 0 usable recordings"):
        load_corpus(folder_config(tmp_path))


def test_short_clips_are_joined_within_their_split(tmp_path: Path) -> None:
    for i in range(40):
        write(tmp_path, f"{i:02}.wav", np.full(1600, (i + 1) / 100, "f4"))

    corpus = load_corpus(folder_config(tmp_path))

    clips = (*corpus.train, *corpus.valid)
    assert all(len(clip) >= 4800 for clip in clips)
    assert sum(map(len, corpus.train)) >= 1600 * 30
    values = [set(np.round(clip * 100).astype(int)) for clip in clips]
    assert sum(map(len, values)) == len(set().union(*values)) == 40


def test_two_clips_shorter_than_a_segment_are_repeated(tmp_path: Path) -> None:
    write(tmp_path, "a.wav", tone(0.05))
    write(tmp_path, "b.wav", tone(0.06))

    corpus = load_corpus(folder_config(tmp_path))

    assert len(corpus.train[0]) >= 4800
    assert len(corpus.valid[0]) >= 4800
