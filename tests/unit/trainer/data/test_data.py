"""The synthetic corpus, and what is drawn from a corpus."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.recordings import tone
from trainer.config.parsing import parse
from trainer.data.batches import SegmentSampler, held_out, load_corpus, utterances
from trainer.data.corpus import Clip, Corpus
from trainer.data.synthetic import synthesise


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
    clips = [Clip(tone(1.0), "a"), Clip(tone(2.0, hz=300), "b")]
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
    clips = [Clip(np.full(4800 + i, i + 1, dtype="f4"), "a") for i in range(3)]
    sampler = SegmentSampler(clips, config, seed=0)

    drawn = torch.cat([sampler.draw().audio_BT for _ in range(10)])

    assert (drawn == drawn[:, :1]).all()
    assert set(drawn[:, 0].tolist()) == {1, 2, 3}


def test_normalised_segments_have_the_target_level_unless_nearly_silent() -> None:
    config = parse({"data.batch_size": 2})
    loud, quiet = tone(0.3), tone(0.3) * 1e-3

    drawn = SegmentSampler([Clip(loud, "a")], config, seed=0).draw().audio_BT
    faint = SegmentSampler([Clip(quiet, "a")], config, seed=0).draw().audio_BT

    assert drawn.square().mean(dim=1).sqrt().tolist() == pytest.approx([0.075, 0.075], rel=1e-4)
    # As if it had the floor's level: 0.0000707 * 0.075 / 0.02.
    assert float(faint.square().mean().sqrt()) == pytest.approx(0.0707e-3 * 3.75, rel=0.01)


def test_held_out_set_is_fixed_and_spread_over_the_clips() -> None:
    config = parse({"data.valid_s": 1.2, "data.normalise": "none", "data.batch_size": 3})
    clips = [Clip(np.full(48000, i + 1, dtype="f4"), "a") for i in range(4)]

    batches = held_out(clips, config)

    assert [len(b.audio_BT) for b in batches] == [3, 1]
    assert {float(v) for b in batches for v in b.audio_BT[:, 0]} == {1, 2, 3, 4}


def test_drawn_units_are_those_of_the_drawn_samples() -> None:
    config = parse({"data.batch_size": 8, "data.normalise": "none", "data.valid_s": 1})
    counting = np.arange(9600)
    clips = [Clip((counting + i).astype("f4"), "a", (counting + i).astype("i2")) for i in (0, 7)]

    for batch in (SegmentSampler(clips, config, seed=1).draw(), *held_out(clips, config)):
        assert batch.units_BT is not None
        assert torch.equal(batch.audio_BT.long(), batch.units_BT)
        assert batch.units_BT.dtype == torch.int64


def corpus_of(*clips: Clip) -> Corpus:
    return Corpus(train=clips, valid=clips, origin={})


def test_utterances_are_of_two_speakers_each_beside_another_one() -> None:
    config = parse({"model.strides": [8, 20], "data.segment_s": 0.3})
    corpus = corpus_of(
        Clip(tone(0.2), "too/short"),
        Clip(tone(2.0), "../s 1"),
        Clip(tone(4.0, hz=200), "b"),
        Clip(tone(2.0, hz=300), "../s 1"),
        Clip(tone(1.001, hz=500), "c"),
    )

    first, second = utterances(corpus, config)

    assert (first.name, second.name) == ("1-s-1", "2-b")
    # Two clips of the first speaker follow one another; 3 s are whole strides.
    assert [u.audio_1T.shape for u in (first, second)] == [(1, 48000), (1, 48000)]
    assert first.other_1T is not None
    assert second.other_1T is not None
    assert torch.equal(first.other_1T, second.audio_1T)
    assert second.other_1T.shape == (1, 16000)
    assert float(first.audio_1T.square().mean().sqrt()) == pytest.approx(0.075, rel=1e-4)


def test_a_single_speaker_is_converted_to_nobody() -> None:
    (only,) = utterances(corpus_of(Clip(tone(1.0), "."), Clip(tone(1.0), ".")), parse({}))

    assert only.name == "1"
    assert only.other_1T is None


def test_synthetic_voices_are_the_speakers() -> None:
    corpus = load_corpus(parse({"data.synthetic_s": 12, "data.synthetic_speakers": 2}))

    assert [clip.speaker for clip in corpus.train] == ["voice0", "voice1", "voice0", "voice1"]
    assert {clip.speaker for clip in corpus.valid} == {"voice0", "voice1"}
    assert corpus.train[0].units is None
