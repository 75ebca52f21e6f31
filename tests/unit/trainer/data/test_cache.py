"""What a run finds again that another one made."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.recordings import folder_config, tone, write
from trainer.data import folder
from trainer.data.batches import load_corpus
from trainer.data.cache import Arrays, cached


class Maker:
    """Counts how often it had to work."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Arrays:
        self.calls += 1
        return {"numbers": np.arange(5), "words": np.array(["ä"])}


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_what_was_made_is_found_again() -> None:
    make = Maker()

    first, again, other = (cached("kind", key, make) for key in ((1, "a"), (1, "a"), (1, "b")))

    assert make.calls == 2
    for found in (first, again, other):
        assert found["numbers"].tolist() == [0, 1, 2, 3, 4]
        assert found["words"].tolist() == ["ä"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "folder"])
def test_damaged_entry_is_made_anew(cache: Path, damage: str) -> None:
    make = Maker()
    cached("kind", (1,), make)
    (entry,) = entries(cache)
    content = entry.read_bytes()
    if damage == "folder":
        entry.unlink()
        entry.mkdir()
    else:
        changed = bytearray(content)
        changed[-200] ^= 1
        entry.write_bytes({"cut": content[:-1], "flipped": bytes(changed), "emptied": b""}[damage])

    assert cached("kind", (1,), make)["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert make.calls == 2
    if damage != "folder":
        assert entry.read_bytes() == content
    # Nothing that was written aside is left.
    assert [path for path in entries(cache) if path != entry] == []


def test_cache_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_CACHE_DIR", os.devnull)
    make = Maker()

    for _ in range(2):
        assert cached("kind", (1,), make)["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert make.calls == 2


def test_cache_lies_where_caches_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABLATE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    cached("audio", (1,), Maker())

    assert len(entries(tmp_path / "ablate" / "audio")) == 1


def test_recordings_are_decoded_once_and_again_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        write(tmp_path, f"{i}.wav", tone(0.5, rate_hz=8000), rate_hz=8000)
    decoded: list[str] = []
    read = folder._read

    def counting(path: Path, rate_hz: int) -> Arrays:
        decoded.append(path.name)
        return read(path, rate_hz)

    monkeypatch.setattr(folder, "_read", counting)
    config = folder_config(tmp_path)

    first, again = load_corpus(config), load_corpus(config)
    assert sorted(decoded) == ["0.wav", "1.wav", "2.wav"]
    assert first.digest == again.digest
    assert first.recordings == again.recordings

    decoded.clear()
    write(tmp_path, "1.wav", tone(0.5, rate_hz=8000, hz=300), rate_hz=8000)
    changed = load_corpus(config)
    assert decoded == ["1.wav"]
    assert changed.digest != first.digest

    decoded.clear()
    load_corpus(folder_config(tmp_path, **{"data.sample_rate_hz": 8000}))
    assert len(decoded) == 3
