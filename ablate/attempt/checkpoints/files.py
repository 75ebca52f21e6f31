"""Checkpoints on disk: written aside, verified, renamed; the newest good one is found again.

A checkpoint is ``step-000000700.ckpt`` with ``step-000000700.json`` beside it. It exists from the
moment at which the JSON file has its name; that file holds the digest of the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.attempt.checkpoints.states import load_state, save_state
from ablate.domain import Checkpoint
from ablate.errors import CheckpointError, UnloadableError
from ablate.files import force_to_disk, replacing
from ablate.spool.folders import RunFolder

KEPT = 2
"""How many checkpoints a run keeps: the newest, and one to fall back on."""
_MAX_NOTE_BYTES = 1 << 28
"""Far more than a config and the names of all loaded modules take."""


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
    # The note is put in place behind the data: a note without its data would be no checkpoint.
    with replacing(data.with_suffix(".json")) as note, replacing(data) as aside:
        save_state(state, aside)
        digest = file_digest(aside)
        record = json.dumps({"step": step, "sha256": digest, "meta": dict(meta)})
        note.write_text(record, encoding="utf-8")
        force_to_disk(aside)
        force_to_disk(note)
    force_to_disk(folder)
    return Checkpoint(
        step=step,
        path=data.relative_to(run_dir).as_posix(),
        sha256=digest,
        size_bytes=data.stat().st_size,
        note_sha256=hashlib.sha256(record.encode()).hexdigest(),
    )


def load_checkpoint(run_dir: Path, checkpoint: Checkpoint) -> Loaded:
    """Read a checkpoint after comparing its digest and that of its note.

    Raises:
        CheckpointError: If a file is missing, cut, altered or no checkpoint; the message names it.
    """
    data = run_dir / checkpoint.path
    note = _read_note(run_dir, checkpoint)
    try:
        digest = file_digest(data)
    except OSError as error:
        raise CheckpointError(f"{data} cannot be read: {error}") from error
    if not digest == checkpoint.sha256 == note["sha256"]:
        raise CheckpointError(f"{data} was altered after it was written")
    try:
        return Loaded(checkpoint.step, load_state(data), note["meta"])
    except MemoryError:
        raise  # an older one would not fit either
    except Exception as error:  # torch raises what its parts do
        raise UnloadableError(data, error) from error


def _read_note(run_dir: Path, checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return what the file beside a checkpoint says: ``sha256`` and ``meta``.

    Raises:
        CheckpointError: If it is missing, altered, or says something else.
    """
    path = (run_dir / checkpoint.path).with_suffix(".json")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_NOTE_BYTES + 1)
        if checkpoint.note_sha256 not in (None, hashlib.sha256(content).hexdigest()):
            raise CheckpointError(f"{path} was altered after it was written")
        if len(content) > _MAX_NOTE_BYTES:
            raise CheckpointError(f"{path} is larger than any note")
        note: Any = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(note, dict) or not isinstance(note.get("meta"), dict) or "sha256" not in note:
        raise CheckpointError(f"{path} is no note of a checkpoint")
    return note


def saved_threads(run_dir: Path, checkpoints: Iterable[Checkpoint]) -> int | None:
    """Return how many CPU threads the first good checkpoint was trained with; None if unknown."""
    for checkpoint in checkpoints:
        try:
            threads = _read_note(run_dir, checkpoint)["meta"]["environment"]["threads"]
        except (CheckpointError, KeyError, TypeError):
            continue
        if type(threads) is int and threads > 0:
            return threads
    return None


def steps_on_disk(run_dir: Path) -> list[int]:
    """Return the steps of the checkpoints whose files a run still has, ascending."""
    folders = [attempt.checkpoints for attempt in RunFolder(run_dir).attempts]
    notes = (note for folder in folders for note in folder.glob("step-*.json"))
    return sorted({int(note.stem.removeprefix("step-")) for note in notes})


def collect_strays(run_dir: Path, attempt: int) -> None:
    """Delete what attempts that were killed while they saved have left: no checkpoint needs it.

    Args:
        run_dir: The run's folder.
        attempt: The one that begins now; those before it are over.
    """
    over = [each for each in RunFolder(run_dir).attempts if each.number < attempt]
    for folder in [each.checkpoints for each in over]:
        unfinished = [p for p in folder.glob("step-*.ckpt") if not p.with_suffix(".json").exists()]
        # Without a dot in front: what earlier versions left.
        for stray in (*folder.glob(".step-*.tmp"), *folder.glob("step-*.tmp"), *unfinished):
            with suppress(OSError):
                stray.unlink()


def prune_checkpoints(
    run_dir: Path, newest_first: Sequence[Checkpoint], *, wanted: Collection[int] = ()
) -> list[Checkpoint]:
    """Delete all but the newest, and return those; called only after the newest was verified.

    Args:
        run_dir: What the stored paths are relative to.
        newest_first: All of the run.
        wanted: Steps at which other runs branch off: those are kept.
    """
    pruned = [point for point in newest_first[KEPT:] if point.step not in wanted]
    for checkpoint in pruned:
        data = run_dir / checkpoint.path
        data.with_suffix(".json").unlink(missing_ok=True)
        data.unlink(missing_ok=True)
    return pruned


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
