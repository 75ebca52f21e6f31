"""Checkpoints on disk: written aside, verified, renamed; the newest good one is found again.

A checkpoint is ``step-000000700.ckpt`` with ``step-000000700.json`` beside it. It exists from the
moment at which the JSON file has its name; that file holds the digest of the other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.domain import Checkpoint
from ablate.execution.tensors import load_state, save_state

KEPT = 2
"""How many checkpoints a run keeps: the newest, and one to fall back on."""


class CheckpointError(Exception):
    """A checkpoint's file is missing, cut or altered."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint that was read and verified."""

    step: int
    state: Any
    meta: Mapping[str, Any]


def save_checkpoint(
    folder: Path, run_dir: Path, step: int, state: Any, meta: Mapping[str, Any]
) -> Checkpoint:
    """Write a checkpoint so that it is whole or absent, whenever the process dies.

    Args:
        folder: The attempt's folder of checkpoints.
        run_dir: What the stored path is relative to.
        step: Steps trained.
        state: What the trainer wants back.
        meta: JSON-ready facts that belong to it, stored in the file beside it.

    Raises:
        OSError: If it cannot be written. The earlier checkpoints stay, and no part of it is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"step-{step:09d}.ckpt"
    aside, note = data.with_suffix(".tmp"), data.with_suffix(".json.tmp")
    try:
        save_state(state, aside)
        digest = file_digest(aside)
        record = {"step": step, "sha256": digest, "meta": dict(meta)}
        note.write_text(json.dumps(record), encoding="utf-8")
        _sync(aside)
        _sync(note)
        aside.replace(data)
        note.replace(data.with_suffix(".json"))
        _sync(folder)
    finally:
        aside.unlink(missing_ok=True)
        note.unlink(missing_ok=True)
    return Checkpoint(
        step=step,
        path=data.relative_to(run_dir).as_posix(),
        sha256=digest,
        size_bytes=data.stat().st_size,
    )


def load_checkpoint(run_dir: Path, checkpoint: Checkpoint) -> Loaded:
    """Read a checkpoint after comparing its digest.

    Raises:
        CheckpointError: If a file is missing, cut or altered; the message names it.
    """
    data = run_dir / checkpoint.path
    try:
        record = json.loads(data.with_suffix(".json").read_text(encoding="utf-8"))
        digest = file_digest(data)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{data} cannot be read: {error}") from error
    if not digest == checkpoint.sha256 == record["sha256"]:
        raise CheckpointError(f"{data} was altered after it was written")
    return Loaded(checkpoint.step, load_state(data), record["meta"])


def saved_threads(run_dir: Path, checkpoint: Checkpoint) -> int | None:
    """Return how many CPU threads the checkpoint was trained with, None when it does not say."""
    note = (run_dir / checkpoint.path).with_suffix(".json")
    try:
        return json.loads(note.read_text(encoding="utf-8"))["meta"]["environment"]["threads"]
    except (OSError, ValueError, KeyError):
        return None


def steps_on_disk(run_dir: Path) -> list[int]:
    """Return the steps of the checkpoints whose files a run still has, ascending."""
    notes = run_dir.glob("attempt-*/checkpoints/step-*.json")
    return sorted({int(note.stem.removeprefix("step-")) for note in notes})


def prune_checkpoints(
    run_dir: Path, newest_first: list[Checkpoint], *, wanted: Collection[int] = ()
) -> None:
    """Delete all but the newest; called only after the newest was written and verified.

    Args:
        run_dir: What the stored paths are relative to.
        newest_first: All of the run.
        wanted: Steps at which other runs branch off: those are kept.
    """
    for checkpoint in newest_first[KEPT:]:
        if checkpoint.step in wanted:
            continue
        data = run_dir / checkpoint.path
        data.with_suffix(".json").unlink(missing_ok=True)
        data.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
