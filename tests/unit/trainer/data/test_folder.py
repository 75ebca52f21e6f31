"""A folder of recordings as a corpus: files, speakers, splits, units."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ablate.protocol import ConfigError
from tests.support.present import present
from tests.support.recordings import folder_config, tone, write
from trainer.config.config import Config
from trainer.config.parsing import parse
from trainer.data.batches import load_corpus
from trainer.data.corpus import Corpus
from trainer.data.folder import split
from trainer.data.manifest import manifest
from trainer.spec import BUNDLED


def test_folder_is_read_resampled_and_split(tmp_path: Path) -> None:
    for i in range(12):
        write(tmp_path, f"s{i % 3}/clip{i}.flac", tone(0.5, rate_hz=8000), rate_hz=8000)
    stereo = np.stack([tone(0.5), np.zeros(8000, "f4")], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 16000)

    corpus = load_corpus(folder_config(tmp_path))

    assert len(corpus.train) + len(corpus.valid) == 13
    assert all(len(clip) == 8000 for clip in (*corpus.train, *corpus.valid))
    # Mono is the mean: the stereo file has half the level of the others.
    levels = sorted(float(clip.audio.std()) for clip in (*corpus.train, *corpus.valid))
    assert levels[0] == pytest.approx(0.0354, rel=0.02)
    assert levels[1] == pytest.approx(0.0707, rel=0.02)


def test_split_does_not_move_files_when_others_come() -> None:
    names = [f"clip{i}.wav" for i in range(200)]

    train, valid = split(dict.fromkeys(names[:100], "a"), 0.1)
    more_train, more_valid = split(dict.fromkeys(names, "a"), 0.1)

    assert set(train) <= set(more_train)
    assert set(valid) <= set(more_valid)
    assert 5 < len(more_valid) < 40


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_split_of_few_files_leaves_none_empty(count: int, fraction: float) -> None:
    train, valid = split({f"{i}.wav": f"{i % 2}" for i in range(count)}, fraction)

    assert train
    assert valid
    assert len(train) + len(valid) == count


def test_files_that_cannot_be_used_are_named_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a.wav", tone(0.5))
    write(tmp_path, "b.wav", tone(0.6))
    write(tmp_path, "empty.wav", np.zeros(0, "f4"))
    (tmp_path / "broken.wav").write_bytes(b"RIFF no audio")
    (tmp_path / "cut.flac").write_bytes(b"")
    write(tmp_path, "one.wav", np.ones(1, "f4"))
    (tmp_path / "renamed.wav").write_text("these are words\n" * 1000)
    (tmp_path / "README.md").write_text("# Words\n")
    (tmp_path / "texts").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "texts" / name).write_text("words\n")
    bad = tone(0.5)
    bad[3] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, 16000, subtype="FLOAT")

    corpus = load_corpus(folder_config(tmp_path))

    skipped = dict(corpus.skipped)
    assert list(skipped) == [
        "README.md",
        "broken.wav",
        "cut.flac",
        "empty.wav",
        "nan.wav",
        "one.wav",
        "renamed.wav",
        "texts/a.txt",
    ]
    assert all(skipped.values())
    assert "1 samples, less than 25 ms" in skipped["one.wav"]
    assert skipped["texts/a.txt"] == "is not .flac, .ogg, .wav (1 more like it)"
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
    values = [set(np.round(clip.audio * 100).astype(int)) for clip in clips]
    assert sum(map(len, values)) == len(set().union(*values)) == 40


def test_two_clips_shorter_than_a_segment_are_repeated(tmp_path: Path) -> None:
    write(tmp_path, "a.wav", tone(0.05))
    write(tmp_path, "b.wav", tone(0.06))

    corpus = load_corpus(folder_config(tmp_path))

    assert len(corpus.train[0]) >= 4800
    assert len(corpus.valid[0]) >= 4800


def many_speakers(folder: Path, *, seconds: float = 0.1) -> Config:
    for i in range(60):
        name = f"{i % 10}_{('ann', 'bob', 'cy')[i % 3]}_{i}.wav"
        write(folder, name, np.full(int(seconds * 16000), (i % 3 + 1) / 10, "f4"))
    return folder_config(folder, **{"data.speaker_pattern": "_(?P<speaker>[a-z]+)_"})


def test_short_files_are_joined_with_those_of_their_speaker_alone(tmp_path: Path) -> None:
    corpus = load_corpus(many_speakers(tmp_path))

    levels = {"ann": 0.1, "bob": 0.2, "cy": 0.3}
    for clip in (*corpus.train, *corpus.valid):
        assert len(clip) >= 4800
        assert clip.audio == pytest.approx(levels[clip.speaker], abs=1e-4)
    assert {clip.speaker for clip in corpus.train} == set(levels)


def test_folder_of_a_file_is_its_speaker_unless_told_otherwise(tmp_path: Path) -> None:
    for i in range(12):
        write(tmp_path, f"set/s{i % 3}/{i}.wav", tone(0.4))

    corpus = load_corpus(folder_config(tmp_path))

    assert {clip.speaker for clip in corpus.train} == {"set/s0", "set/s1", "set/s2"}


@pytest.mark.parametrize("fraction", [0.001, 0.05, 0.3, 0.999])
def test_two_speakers_are_held_out_where_there_are_two(fraction: float) -> None:
    for seed in range(20):
        speakers = {f"{seed}-{i}.wav": "rare" if i == 3 else "often" for i in range(8)}

        train, valid = split(speakers, fraction)

        assert {speakers[name] for name in valid} == {"rare", "often"}
        assert train
        assert sorted(train + valid) == sorted(speakers)


def test_files_whose_speaker_is_unknown_are_left_out(tmp_path: Path) -> None:
    config = many_speakers(tmp_path)
    write(tmp_path, "noname.wav", tone(0.5))

    corpus = load_corpus(config)

    ((name, reason),) = corpus.skipped
    assert name == "noname.wav"
    assert "data.speaker_pattern" in reason


def test_manifest_names_every_file_with_its_digest_speaker_and_split(tmp_path: Path) -> None:
    config = many_speakers(tmp_path)
    (tmp_path / "0_ann_99.wav").write_bytes(b"RIFF no audio")

    corpus = load_corpus(config)
    told = manifest(corpus)

    assert len(told["files"]) == 60
    file = next(f for f in told["files"] if f["path"] == "1_bob_1.wav")
    assert file["sha256"] == hashlib.sha256((tmp_path / "1_bob_1.wav").read_bytes()).hexdigest()
    assert (file["samples"], file["speaker"]) == (1600, "bob")
    assert {f["split"] for f in told["files"]} == {"train", "valid"}
    assert [s["path"] for s in told["skipped"]] == ["0_ann_99.wav"]
    assert told["sha256"] == corpus.digest
    assert told["train"]["samples"] + told["valid"]["samples"] >= 60 * 1600
    assert told["speaker_pattern"] == config.data.speaker_pattern


def test_manifest_of_synthetic_audio_names_its_arguments() -> None:
    told = manifest(load_corpus(parse({"data.synthetic_s": 6, "data.synthetic_speakers": 3})))

    assert told["source"] == "synthetic"
    assert (told["synthetic_s"], told["synthetic_speakers"]) == (6, 3)
    assert told["files"] == []


def units_of(corpus: Corpus) -> list[int]:
    return [
        int(value)
        for clip in (*corpus.train, *corpus.valid)
        for value in np.unique(present(clip.units))
    ]


def labelled_folder(folder: Path) -> tuple[Path, dict[str, object]]:
    """Write four recordings of 0.4 s with units of their own, 50 a second; return the file."""
    lines: list[str] = []
    for i in range(4):
        write(folder, f"{i}.wav", tone(0.4))
        units = [i] * 10 + [i + 4] * 9
        lines.append(f"{i}.wav\t{' '.join(map(str, units))}\n")
    file = folder / "units.txt"
    file.write_text("".join(lines))
    return file, {"data.units_file": str(file), "model.content_units": 8}


def test_units_of_a_file_stand_at_their_samples(tmp_path: Path) -> None:
    _, changes = labelled_folder(tmp_path)

    corpus = load_corpus(folder_config(tmp_path, **changes))

    for clip in (*corpus.train, *corpus.valid):
        assert clip.units is not None
        assert len(clip.units) == len(clip) == 6400
        first, then = clip.units[0], clip.units[-1]
        # 19 units reach to 0.38 s; the last one holds on.
        assert (clip.units[:3200] == first).all()
        assert (clip.units[3200:] == then).all()
        assert then == first + 4
    assert sorted(units_of(corpus)) == list(range(8))


def test_units_of_unknown_recordings_are_told_and_ignored(tmp_path: Path) -> None:
    file, changes = labelled_folder(tmp_path)
    file.write_text(file.read_text() + "gone.wav\t1 2\nmore.wav\t1\n")

    corpus = load_corpus(folder_config(tmp_path, **changes))

    told = dict(corpus.skipped)
    assert "no recording that is used (1 more like it)" in told["gone.wav"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2.wav\t1 2 x 4\n", r"units\.txt:3: 'x' is not a whole number"),
        ("2.wav\t1 -2\n", r"units\.txt:3: '-2' is not a whole number"),
        ("2.wav\t1 2 8\n", r"units\.txt:3: unit 8 is out of range; model\.content_units is 8"),
        ("2.wav 1 2 3\n", r"units\.txt:3: '2\.wav 1 2 3' is not a path, a tab and units"),
        ("2.wav\t \n", r"units\.txt:3: '2\.wav' is not a path, a tab and units"),
        ("1.wav\t1 2\n", r"units\.txt:3: 1\.wav stands in line 2 already"),
    ],
)
def test_defects_of_a_units_file_are_refused_when_a_study_is_planned(
    tmp_path: Path, line: str, message: str
) -> None:
    file, changes = labelled_folder(tmp_path)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:2], line, lines[3]]))

    with pytest.raises(ConfigError, match=message) as refused:
        BUNDLED.resolve({"data.source": "folder", "data.path": str(tmp_path), **changes})
    assert refused.value.key == "data.units_file"


def test_units_that_do_not_fit_the_recordings_are_refused(tmp_path: Path) -> None:
    file, changes = labelled_folder(tmp_path)
    whole = file.read_text()
    file.write_text(whole.replace("1.wav\t1", "1.wav\t1 1 1 1 1"))

    with pytest.raises(ConfigError, match=r"units.txt:2: 1.wav has 23 units; its 0.40 s are 20"):
        load_corpus(folder_config(tmp_path, **changes))

    file.write_text("".join(whole.splitlines(keepends=True)[1:]))
    with pytest.raises(ConfigError, match=r"units.txt has no line for the recording 0.wav"):
        load_corpus(folder_config(tmp_path, **changes))


def test_units_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    file, changes = labelled_folder(tmp_path)
    file.write_bytes(b"1.wav\t\xff\xfe\n")
    overrides = {"data.source": "folder", "data.path": str(tmp_path), **changes}

    with pytest.raises(ConfigError, match="is not a text in UTF-8"):
        BUNDLED.resolve(overrides)
    file.unlink()
    with pytest.raises(ConfigError, match=r"units.txt: No such file"):
        BUNDLED.resolve(overrides)
