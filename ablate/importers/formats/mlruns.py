"""MLflow's former store of files, ``mlruns/EXPERIMENT/RUN``, which MLflow no longer opens.

Source: ``mlflow.store.tracking.file_store``. A run has a ``meta.yaml``, and in the folders
``metrics``, ``params`` and ``tags`` a file for each name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ablate.domain import AttemptState
from ablate.errors import NotFoundError, UsageError, did_you_mean
from ablate.files import read_bounded
from ablate.importers.base import ImportRequest, Reading, SourceRun, file_digest, unfinished
from ablate.importers.points import Points
from ablate.importers.reading.rows import number_of, whole_step
from ablate.planning.study_file.bounded import MAX_BYTES, plain_yaml

META = "meta.yaml"
PARENT = "mlflow.parentRunId"
"""Tag of a nested run."""
ENDINGS = {
    "FINISHED": (AttemptState.SUCCEEDED, None),
    "FAILED": (AttemptState.FAILED, "failed, by MLflow"),
    "KILLED": (AttemptState.CANCELLED, "killed, by MLflow"),
}
_STATUS = {3: "FINISHED", 4: "FAILED", 5: "KILLED"}
"""Numbers of `RunStatus`; the others have not ended."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A folder of a run."""

    path: Path
    meta: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The folder's name; a bare ``12e34`` in its ``meta.yaml`` would read as a number."""
        return self.path.name

    @property
    def experiment(self) -> str:
        """The id."""
        return self.path.parent.name

    @property
    def start(self) -> float:
        """Unix seconds, 0 where it is not known."""
        return (number_of(self.meta.get("start_time")) or 0) / 1000


def read(request: ImportRequest) -> Reading:
    """Return the runs of an experiment that are not deleted, the oldest first.

    Raises:
        NotFoundError: If there is no such experiment.
        UsageError: If there is no run.
    """
    runs: list[_Run] = []
    names: dict[str, str] = {}
    for path in request.files:
        meta = _meta(path)
        if "run_id" in meta or "run_uuid" in meta:
            runs.append(_Run(path.parent, meta))
        elif "name" in meta and "experiment_id" in meta:
            names[path.parent.name] = str(meta["name"])
    runs = [run for run in runs if run.meta.get("lifecycle_stage") != "deleted"]
    if not runs:
        raise UsageError(f"{request.root} holds no run of MLflow")
    experiments = {names.get(run.experiment, run.experiment): run.experiment for run in runs}
    wanted = chosen(experiments, request.experiment)
    found = sorted((r for r in runs if r.experiment == wanted), key=lambda r: (r.start, r.id))
    parents = {_text(path) for run in found if (path := run.path / "tags" / PARENT).is_file()}
    return without_parents([_source_run(request, run) for run in found], parents)


def without_parents(runs: list[SourceRun], parents: Collection[str]) -> Reading:
    """Return the runs but those that only hold others, as the parents of nested runs do.

    Args:
        runs: Of an experiment.
        parents: Ids of runs that others name as their parent.
    """
    kept = [r for r in runs if r.points.names or r.source.partition(":")[2] not in parents]
    left = len(runs) - len(kept)
    notes = [f"left out: {left} parents of nested runs, which log nothing themselves"]
    return Reading(runs=kept, notes=notes if left else [])


def chosen(known: Mapping[str, str], name: str | None) -> str:
    """Return the id of an experiment by name or id; None for the only one that has runs.

    Args:
        known: Name -> id.
        name: As typed.

    Raises:
        NotFoundError: If it is not there, or there are several.
    """
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name is None:
        names = ", ".join(sorted(known)) or "none that has a run"
        raise NotFoundError("which experiment?", hint=f"--experiment NAME; known: {names}")
    if name in known:
        return known[name]
    if name in known.values():
        return name
    raise NotFoundError(f"there is no experiment '{name}'", hint=did_you_mean(name, known))


def _meta(path: Path) -> Mapping[str, Any]:
    """Return what a ``meta.yaml`` says; other programs have files of that name too."""
    try:
        content: Any = plain_yaml(read_bounded(path, MAX_BYTES).decode("utf-8", "replace"))
    except (ValueError, UsageError, NotFoundError):
        return {}
    return cast("Mapping[str, Any]", content) if isinstance(content, dict) else {}


def _source_run(request: ImportRequest, run: _Run) -> SourceRun:
    points = Points(time=run.start)
    files = {META: run.path / META}
    for name, path in _below(run.path / "metrics"):
        files[name] = path
        for line in path.read_text("utf-8", "replace").splitlines():
            _take(points, name, line.split())
    points.settle()
    config = {name: _text(path) for name, path in _below(run.path / "params")}
    tags = {name: _text(path) for name, path in _below(run.path / "tags")}
    status = run.meta.get("status")
    ending = ENDINGS.get(_STATUS.get(status, "") if isinstance(status, int) else str(status))
    name = tags.get("mlflow.runName") or run.meta.get("run_name") or run.meta.get("name")
    state, reason = ending or unfinished(points, request.now)
    return SourceRun(
        source=f"mlflow:{run.id}",
        title=str(name or run.id),
        points=points,
        config=config,
        state=state,
        reason=reason,
        files={request.relative(path): file_digest(path) for path in files.values()},
    )


def _below(folder: Path) -> list[tuple[str, Path]]:
    """Return the files below a folder by their names, which may have slashes."""
    return [
        (path.relative_to(folder).as_posix(), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace").rstrip("\n")


def _take(points: Points, name: str, fields: list[str]) -> None:
    """Take a line ``milliseconds value step``; the oldest versions wrote no step."""
    time, value, step = (*fields[:2], *[None] * (2 - len(fields)), *fields[2:3], 0)[:3]
    number, moment, whole = number_of(value), number_of(time), whole_step(step)
    if number is None or moment is None or whole is None:
        points.counts.skip("line that cannot be read")
    else:
        points.add(name, whole, number, moment / 1000)
