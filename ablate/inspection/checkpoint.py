"""What is in a checkpoint: every tensor with what can be said of it, alone and beside another."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from ablate.attempt.checkpoints.files import file_digest
from ablate.attempt.checkpoints.states import is_torch_file, load_state
from ablate.attempt.runners import place_of
from ablate.domain import Checkpoint, Run
from ablate.errors import NotFoundError, UsageError
from ablate.inspection.facts import (
    TensorFacts,
    distance,
    named_values,
    perplexity,
    require_torch,
    tensor_facts,
)

NORMS = "norms"
"""A mapping in the state whose name ends so says the norms of tensors at step 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A checkpoint that was read."""

    label: str
    """``phase_a-s0 at step 700``, or the file's path."""
    path: Path
    size_bytes: int
    written: datetime
    """UTC; when the file was last changed."""
    step: int | None
    """None where nothing beside the file says it."""
    attempt: int | None
    """Which attempt of the run wrote it."""
    sha256: str
    is_verified: bool | None
    """Whether the digest is the recorded one, None where none is recorded."""
    environment: Mapping[str, Any]
    """Where it was trained, as far as is recorded."""
    values: Mapping[str, Any]
    """Dotted name -> tensor, number or list of numbers."""
    first_norms: Mapping[str, float]
    """Name, or the end of one -> norm at step 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorRow:
    """A tensor or number of one checkpoint."""

    name: str
    facts: TensorFacts
    drift: float | None
    """Norm over its first norm, minus 1; None where that is not known or was zero."""
    codes: float | None
    """Codes in use, in effect, of a codebook whose running counts are beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A tensor or number of two checkpoints, of which one may not have it."""

    name: str
    here: TensorFacts | None
    there: TensorFacts | None
    distance: float | None
    """``|here - there| / |there|``; None where it is no number."""

    @property
    def norm_change(self) -> float | None:
        """Norm here over norm there, minus 1."""
        if self.here is None or self.there is None or not self.there.norm:
            return None
        return self.here.norm / self.there.norm - 1


def choose_checkpoint(
    run: Run, checkpoints: Sequence[Checkpoint], step: int | None, run_dir: Path
) -> Checkpoint:
    """Return a run's newest checkpoint on the disk, or the one of a step.

    Raises:
        NotFoundError: If there is none; it names those that are there.
    """
    here = [c for c in checkpoints if (run_dir / c.path).is_file()]
    chosen = [c for c in here if step is None or c.step == step]
    if chosen:
        return chosen[0]
    if not here:
        place = place_of(run.runner)
        away = f"; it was trained on {place}" if place and not place.is_here else ""
        raise NotFoundError(
            f"{run.label} has no checkpoint on this machine", hint=f"looked in {run_dir}{away}"
        )
    steps = ", ".join(str(c.step) for c in here)
    raise NotFoundError(
        f"{run.label} has no checkpoint of step {step}", hint=f"kept are those of steps {steps}"
    )


def read_file(path: Path, *, label: str, attempt: int | None = None) -> Snapshot:
    """Read a checkpoint's file; pickled code is never executed.

    Raises:
        NotFoundError: If there is no such file.
        UsageError: If it cannot be read, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    if is_torch_file(path):
        require_torch()
    try:
        state = load_state(path)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(
            f"{path} cannot be read: {reason}",
            hint="only tensors and plain values are loaded, for code in a file could be run",
        ) from error
    record = _record(path)
    meta: Any = record.get("meta")
    environment: Any = meta.get("environment") if isinstance(meta, dict) else None
    digest = file_digest(path)
    return Snapshot(
        label=label,
        path=path,
        size_bytes=path.stat().st_size,
        written=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        step=record.get("step"),
        attempt=attempt,
        sha256=digest,
        is_verified=digest == record["sha256"] if "sha256" in record else None,
        environment=environment if isinstance(environment, dict) else {},
        values=dict(named_values(state)),
        first_norms=_first_norms(state),
    )


def rows_of(snapshot: Snapshot) -> tuple[TensorRow, ...]:
    """Return every tensor and number of a checkpoint, in its order."""
    rows: list[TensorRow] = []
    for name, value in snapshot.values.items():
        facts = tensor_facts(value)
        first = _first_norm(snapshot, name) if facts.shape else None
        rows.append(
            TensorRow(
                name=name,
                facts=facts,
                drift=facts.norm / first - 1 if first else None,
                codes=_codes_in_use(snapshot, name, facts),
            )
        )
    return tuple(rows)


def differences(here: Snapshot, there: Snapshot) -> tuple[Difference, ...]:
    """Return every tensor and number of two checkpoints, those that both have first."""
    shared = [name for name in here.values if name in there.values]
    alone = [name for name in (*here.values, *there.values) if name not in shared]
    return tuple(_difference(here.values.get(n), there.values.get(n), n) for n in (*shared, *alone))


def _difference(here: Any, there: Any, name: str) -> Difference:
    return Difference(
        name=name,
        here=None if here is None else tensor_facts(here),
        there=None if there is None else tensor_facts(there),
        distance=None if here is None or there is None else distance(here, there),
    )


def _record(path: Path) -> Mapping[str, Any]:
    """Return what was written beside a checkpoint, nothing where there is nothing to read."""
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _first_norms(state: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    if isinstance(state, Mapping):
        for key, value in cast("Mapping[Any, Any]", state).items():
            if str(key).endswith(NORMS) and isinstance(value, Mapping):
                found |= {
                    str(name): float(norm)
                    for name, norm in cast("Mapping[Any, Any]", value).items()
                    if isinstance(norm, int | float)
                }
            else:
                found |= _first_norms(value)
    return found


def _first_norm(snapshot: Snapshot, name: str) -> float | None:
    """Return the first norm of a tensor by its name, or by the end of it from any dot on."""
    parts = name.split(".")
    ends = (".".join(parts[i:]) for i in range(len(parts)))
    return next((snapshot.first_norms[end] for end in ends if end in snapshot.first_norms), None)


def _codes_in_use(snapshot: Snapshot, name: str, facts: TensorFacts) -> float | None:
    parent, _, leaf = name.rpartition(".")
    if not leaf.startswith("codes") or len(facts.shape) != 2:
        return None
    for other, value in snapshot.values.items():
        place, _, kind = other.rpartition(".")
        if place == parent and kind.startswith("counts") and len(value) == facts.shape[0]:
            return perplexity(value)
    return None
