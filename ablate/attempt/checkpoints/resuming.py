"""From which checkpoint an attempt goes on: the newest that is whole and can be taken up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ablate.attempt.checkpoints.files import load_checkpoint
from ablate.attempt.gates import NOTHING_SEEN, GateWatch
from ablate.attempt.guards import GuardWatch
from ablate.attempt.job import Job
from ablate.domain import Checkpoint
from ablate.errors import CheckpointError, UnloadableError
from ablate.identity import flatten
from ablate.provenance import Code, changes


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What may change the bits of a resumed run."""

    environment: Mapping[str, Any]
    config: Mapping[str, Any]
    code: Code

    def differences(self, meta: Mapping[str, Any]) -> str | None:
        """Return how they differ from those that a checkpoint was made in, None if not at all."""
        found = _changed(meta["environment"], self.environment)
        if "config" in meta:  # checkpoints from before it was kept say nothing of it
            found = _changed(flatten(meta["config"]), flatten(self.config)) + found
        if "code" in meta:  # checkpoints from before it was noted say nothing of it
            found += [
                f"{what} changed" for what in changes(Code.from_json(meta["code"]), self.code)
            ]
        return ", ".join(found) or None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumePoint:
    """A checkpoint that was taken up."""

    step: int
    state: Any
    guards: GuardWatch
    gates: GateWatch
    inexact: str | None


def newest_good(
    job: Job, checkpoints: Iterable[Checkpoint], here: Surroundings
) -> tuple[ResumePoint | None, list[str]]:
    """Return the first checkpoint that can be taken up, and why those before it cannot.

    Args:
        job: Of the attempt.
        checkpoints: Newest first.
        here: In what the attempt trains.

    Raises:
        Exception: If none can, and one is whole but not loaded, as code in it could be run: what
            torch says. To begin anew instead would lose what was trained, each time.
    """
    rejected: list[str] = []
    unloadable: UnloadableError | None = None
    for checkpoint in checkpoints:
        try:
            return _taken_up(job, checkpoint, here), rejected
        except CheckpointError as error:
            rejected.append(str(error))
            if isinstance(error, UnloadableError):
                unloadable = unloadable or error
    if unloadable is not None:
        raise unloadable.cause
    return None, rejected


def _taken_up(job: Job, checkpoint: Checkpoint, here: Surroundings) -> ResumePoint:
    loaded = load_checkpoint(job.run_dir, checkpoint)
    guards, gates = GuardWatch(job.guards), GateWatch(job.gates)
    try:
        guards.restore(loaded.meta["guards"])
        # Checkpoints from before gates were judged say nothing of them.
        gates.restore(loaded.meta.get("gates", NOTHING_SEEN), loaded.step)
        inexact = here.differences(loaded.meta)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        note = (job.run_dir / checkpoint.path).with_suffix(".json")
        raise CheckpointError(f"{note} cannot be used: {_said(error)}") from error
    return ResumePoint(
        step=loaded.step, state=loaded.state, guards=guards, gates=gates, inexact=inexact
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _changed(saved: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return ``name old -> new`` of what differs."""
    return [
        f"{name} {saved.get(name)} -> {here.get(name)}"
        for name in dict.fromkeys([*saved, *here])
        if saved.get(name) != here.get(name)
    ]
