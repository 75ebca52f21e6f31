"""Content units from clusters of log-mel frames."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from tests.support.present import present
from tests.support.recordings import tone
from trainer.config.parsing import parse
from trainer.data import units
from trainer.data.batches import load_corpus
from trainer.data.corpus import Audio, Clip, Corpus
from trainer.data.units import with_units


def sounds(seed: int, gain: float) -> Audio:
    """Return 0.2 s each of a hiss, a low and a high hum, over and over for 3 s."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(3200)
    low = np.asarray(lfilter([1.0], [1.0, -1.9, 0.95], rng.standard_normal(3200))) / 10
    high = lfilter([1.0], [1.0, 0.9, 0.81], rng.standard_normal(3200))
    return (gain * np.concatenate([noise, low, high] * 5)).astype("f4")


def test_same_sound_has_the_same_unit_whoever_makes_it_how_loud() -> None:
    clips = tuple(Clip(sounds(seed, 0.1 / 4**seed), f"s{seed}") for seed in range(3))
    corpus = with_units(Corpus(train=clips[:2], valid=clips[2:], origin={}), 8, 16000)

    labels = np.stack([present(clip.units) for clip in (*corpus.train, *corpus.valid)])
    assert labels.dtype == np.int16
    assert labels.shape == (3, 48000)
    # Away from the borders, which belong to neither sound.
    inside = labels.reshape(3, 5, 3, 3200)[..., 800:2400]
    units_of_sound = [set(np.unique(inside[:2, :, sound])) for sound in range(3)]
    assert sum(map(len, units_of_sound)) == len(set.union(*units_of_sound))
    for sound in range(3):
        # The held-out speaker is four times quieter than the second.
        assert set(np.unique(inside[2, :, sound])) <= units_of_sound[sound]


def test_units_are_computed_once_and_do_not_change_the_audio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = load_corpus(parse({"data.synthetic_s": 6}))
    labelled = load_corpus(parse({"data.synthetic_s": 6, "model.content_units": 12}))

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(units, "_label", never)
    again = load_corpus(parse({"data.synthetic_s": 6, "model.content_units": 12}))

    assert plain.digest == labelled.digest
    for clip, same in zip(labelled.train, again.train, strict=True):
        assert clip.units is not None
        assert np.array_equal(clip.units, present(same.units))
    used = np.unique(np.concatenate([present(clip.units) for clip in labelled.train]))
    assert used.min() >= 0
    assert used.max() < 12
    assert len(used) > 6


@pytest.mark.parametrize("rate_hz", [4000, 11025, 16000, 44100, 48000])
def test_every_sample_has_a_unit_at_any_rate(rate_hz: int) -> None:
    clips = tuple(Clip(tone(s, rate_hz=rate_hz), "a") for s in (0.3, 0.3001, 0.5))

    labelled = with_units(Corpus(train=clips[:2], valid=clips[2:], origin={}), 4, rate_hz)

    for clip in (*labelled.train, *labelled.valid):
        assert clip.units is not None
        assert len(clip.units) == len(clip)
