"""Checkpoints: saved, found again, passed over when they are not what was written."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.attempt.checkpoints.files import collect_strays
from tests.support.attempts import Attempt


def test_checkpoint_comes_back_and_only_two_are_kept(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    for step in (10, 20, 30):
        attempt.context.save(step, {"w": torch.full((2,), float(step)), "n": step})

    resumed = Attempt(tmp_path, attempt=2, resume_from=attempt.checkpoints())
    state = resumed.context.resume()

    assert state is not None
    assert state["n"] == 30
    assert torch.equal(state["w"], torch.full((2,), 30.0))
    assert resumed.read().start_step == 30
    left = sorted(p.name for p in (attempt.job.folder.checkpoints).iterdir())
    assert left == [f"step-{n:09d}.{kind}" for n in (20, 30) for kind in ("ckpt", "json")]


NOTE_HARMS: dict[str, Callable[[dict[str, Any]], object]] = {
    "not an object": lambda note: [note],
    "no meta": lambda note: {k: v for k, v in note.items() if k != "meta"},
    "no digest": lambda note: {k: v for k, v in note.items() if k != "sha256"},
    "meta is text": lambda note: {**note, "meta": "x"},
    "no guards": lambda note: {**note, "meta": {**note["meta"], "guards": None}},
    "guards of text": lambda note: {
        **note,
        "meta": {**note["meta"], "guards": {"since": {"g": "x"}, "fired": []}},
    },
    "fired is a number": lambda note: {
        **note,
        "meta": {**note["meta"], "guards": {"since": {}, "fired": 3}},
    },
    "gates of nothing": lambda note: {**note, "meta": {**note["meta"], "gates": {"windows": []}}},
    "gates of text": lambda note: {
        **note,
        "meta": {**note["meta"], "gates": {"initial": {"a": ["x", "y"]}, "windows": []}},
    },
    "no environment": lambda note: {**note, "meta": {**note["meta"], "environment": 7}},
    "code is a list": lambda note: {**note, "meta": {**note["meta"], "code": []}},
    "config is text": lambda note: {**note, "meta": {**note["meta"], "config": "x"}},
}


@pytest.mark.parametrize("harm", NOTE_HARMS)
def test_note_that_says_something_else_is_passed_over_and_named(tmp_path: Path, harm: str) -> None:
    attempt = Attempt(tmp_path)
    for step in (10, 20):
        attempt.context.save(step, {"n": step})
    note = attempt.job.folder.checkpoints / "step-000000020.json"
    note.write_text(json.dumps(NOTE_HARMS[harm](json.loads(note.read_text()))))
    # As an earlier version left them: the note's own digest is not known.
    known = tuple(replace(each, note_sha256=None) for each in attempt.checkpoints())

    resumed = Attempt(tmp_path, attempt=2, threads=3, resume_from=known)

    assert resumed.context.threads == 1
    assert resumed.context.resume() == {"n": 10}
    (rejected, _) = resumed.read().events
    assert rejected.name == "checkpoint_rejected"
    assert "step-000000020" in rejected.data["reason"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 10**5, b"1" * 5000, b"", b"\0" * 64])
def test_note_that_is_no_json_is_passed_over(tmp_path: Path, content: bytes) -> None:
    attempt = Attempt(tmp_path)
    for step in (10, 20):
        attempt.context.save(step, {"n": step})
    (attempt.job.folder.checkpoints / "step-000000020.json").write_bytes(content)
    known = tuple(replace(each, note_sha256=None) for each in attempt.checkpoints())

    assert Attempt(tmp_path, attempt=2, resume_from=known).context.resume() == {"n": 10}


def test_every_bit_of_a_note_is_checked_against_its_digest(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    for step in (10, 20):
        attempt.context.save(step, {"n": step})
    note = attempt.job.folder.checkpoints / "step-000000020.json"
    whole = note.read_bytes()
    for number, place in enumerate(random.Random(3).sample(range(len(whole) * 8), 40), 2):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        note.write_bytes(flipped)

        resumed = Attempt(tmp_path, attempt=number, resume_from=attempt.checkpoints())

        assert resumed.context.resume() == {"n": 10}
        (rejected, _) = resumed.read().events
        assert str(note) in rejected.data["reason"]


def test_state_that_torch_does_not_load_is_passed_over(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    attempt.context.save(10, {"n": 10})
    attempt.context.save(20, {"n": tmp_path})  # a path is no plain value

    resumed = Attempt(tmp_path, attempt=2, resume_from=attempt.checkpoints())

    assert resumed.context.resume() == {"n": 10}
    (rejected, _) = resumed.read().events
    assert "step-000000020.ckpt cannot be loaded" in rejected.data["reason"]


@pytest.mark.parametrize("harm", ["cut", "flip", "remove", "note"])
def test_harmed_checkpoint_is_passed_over_and_said(tmp_path: Path, harm: str) -> None:
    attempt = Attempt(tmp_path)
    for step in (10, 20):
        attempt.context.save(step, {"n": step})
    newest = attempt.job.folder.checkpoints / "step-000000020.ckpt"
    content = newest.read_bytes()
    match harm:
        case "cut":
            newest.write_bytes(content[: len(content) // 2])
        case "flip":
            newest.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "remove":
            newest.unlink()
        case _:
            newest.with_suffix(".json").write_text("{")

    resumed = Attempt(tmp_path, attempt=2, resume_from=attempt.checkpoints())

    assert resumed.context.resume() == {"n": 10}
    assert [e.name for e in resumed.read().events] == ["checkpoint_rejected", "resumed"]


def test_what_killed_attempts_left_is_collected_and_checkpoints_stay(tmp_path: Path) -> None:
    first, second = Attempt(tmp_path), Attempt(tmp_path, attempt=2)
    for attempt in (first, second):
        attempt.context.save(10, {"n": 10})
    folders = [each.job.folder.checkpoints for each in (first, second)]
    strays = (
        *(".step-000000020.ckpt.7.tmp", ".step-000000020.json.7.tmp"),
        *("step-000000020.tmp", "step-000000020.json.tmp", "step-000000020.ckpt"),
    )
    for folder in folders:
        for name in strays:
            (folder / name).write_bytes(b"half")

    collect_strays(tmp_path, 2)

    whole = ["step-000000010.ckpt", "step-000000010.json"]
    left = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert left == [whole, sorted((*whole, *strays))]


def test_pickled_code_in_a_checkpoint_is_never_executed(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "owned",))

    attempt = Attempt(tmp_path)
    attempt.context.save(10, Evil())

    with pytest.raises(pickle.UnpicklingError):
        Attempt(tmp_path, attempt=2, resume_from=attempt.checkpoints()).context.resume()
    assert not (tmp_path / "owned").exists()


def test_resume_on_other_grounds_is_marked_inexact_and_keeps_its_threads(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, threads=2)
    attempt.context.save(10, {"n": 10})

    same = Attempt(tmp_path, attempt=2, threads=1, resume_from=attempt.checkpoints())
    same.context.resume()
    moved = Attempt(tmp_path, attempt=3, device="cuda", resume_from=attempt.checkpoints())
    moved.context.resume()

    assert same.context.threads == 2
    assert same.read().inexact is None
    assert moved.read().inexact == "device cpu -> cuda"
