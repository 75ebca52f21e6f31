"""Runs as their folders tell of them, for a project whose journal is lost or is not old enough.

A folder has the config, the seed and the points of its run, not the study. Where a study file of
the project plans a run with that config, the run is that one: creating the study finds it. What no
file plans is put into a study of its own, to be read and compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from contextlib import chdir, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.domain import (
    IMPORT_NOTE,
    IMPORTED,
    AttemptState,
    Config,
    Plan,
    RunState,
    StudyCell,
    Variant,
)
from ablate.errors import AblateError
from ablate.identity import canonical_json
from ablate.planning.plan import make_plan
from ablate.planning.study_file.parsing import read_study
from ablate.planning.study_file.spec import StudySpec
from ablate.planning.trainers.registry import trainer_of
from ablate.settings import Settings
from ablate.spool.batch import Ending
from ablate.spool.folders import RunFolder
from ablate.spool.spool import SpoolReader
from ablate.storable import explanation, to_json
from ablate.store.schema.journal import Rows, place_of

RECOVERED = "recovered"
"""The study of runs that no study file plans."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """What the folder of an attempt tells."""

    id: int
    number: int
    started_at: float
    finished_at: float
    ending: Ending


@dataclass(frozen=True, kw_only=True, slots=True)
class _Folder:
    """What the folder of a run tells."""

    run_id: str
    label: str
    train: str
    config: Config
    seed: int
    parent: tuple[str, int] | None
    """The run and the step of the checkpoint from which it begins."""
    attempts: tuple[_Attempt, ...]


@dataclass(slots=True)
class FolderRuns:
    """What was found in folders."""

    rows: list[Rows] = field(default_factory=list[Rows])
    studies: list[str] = field(default_factory=list[str])
    """Those that plan some of the runs; they have to be created from their files."""
    plan: Plan | None = None
    """Of the study `RECOVERED`, None where every run is planned by a file."""
    faults: list[str] = field(default_factory=list[str])
    """Folders that tell too little, and why."""


def read_folders(settings: Settings, known: Collection[str], database: str) -> FolderRuns:
    """Return the runs of a database as far as their folders tell of them.

    Args:
        settings: Of the project.
        known: Ids of runs that the journal has.
        database: Its URL without a password; folders of other databases are left out.
    """
    found, place = FolderRuns(), place_of(settings.data_dir, database)
    folders: list[_Folder] = []
    for path in sorted(settings.runs_dir.glob("*")):
        if path.name in known or not path.is_dir():
            continue
        try:
            folder = _read_folder(path, place)
        except (OSError, ValueError, LookupError, TypeError, AblateError) as error:
            found.faults.append(f"{path}: {error}")
            continue
        if folder is not None:
            folders.append(folder)
    planned = _planned(settings, found) if folders else {}
    variants: dict[str, Variant] = {}
    cells: list[StudyCell] = []
    for folder in folders:
        plan = planned.get((canonical_json(folder.config), folder.seed, folder.label))
        if plan is None:
            cell = _add_variant(folder, variants)
            cells.append(cell)
            run = _unplanned(folder, cell)
        else:
            study, run = plan
            found.studies += [study] if study not in found.studies else []
        found.rows += _rows(folder, run)
    if cells:
        found.plan = _recovered(variants, cells)
    return found


def _read_folder(path: Path, place: str) -> _Folder | None:
    """Return what a folder tells, None where its run is of another database."""
    attempts: list[_Attempt] = []
    job: dict[str, Any] = {}
    for file in [attempt.job for attempt in RunFolder(path).attempts if attempt.job.exists()]:
        job = json.loads(file.read_text(encoding="utf-8"))
        data_dir, database = Path(job["run_dir"]).parents[1], job.get("database")
        if database is not None and place_of(data_dir, database) != place:
            return None
        attempts.append(_read_attempt(path, file, job))
    if not job:
        raise ValueError("it has no job.json")
    branch = job.get("branch_from")
    return _Folder(
        run_id=path.name,
        label=job["label"],
        train=job["train"],
        config=job["config"],
        seed=job["seed"],
        parent=(branch["run_id"], branch["checkpoint"]["step"]) if branch else None,
        attempts=tuple(attempts),
    )


def _read_attempt(folder: Path, file: Path, job: Mapping[str, Any]) -> _Attempt:
    spool = RunFolder(folder).attempt(job["attempt"]).spool
    ending = Ending(state=AttemptState.LOST, reason="how it ended is not known")
    with closing(SpoolReader(spool)) as reader:
        while (batch := reader.read()).end_offset > batch.start_offset:
            ending = batch.ending or ending
    written = spool.stat().st_mtime if spool.exists() else file.stat().st_mtime
    return _Attempt(
        id=job["attempt_id"],
        number=job["attempt"],
        started_at=file.stat().st_mtime,
        finished_at=max(written, file.stat().st_mtime),
        ending=ending,
    )


_Place = tuple[str, dict[str, Any]]
"""A study, and the columns of a run that its plan says."""


def _planned(settings: Settings, found: FolderRuns) -> dict[tuple[str, int, str], _Place]:
    """Return config, seed and label -> what study files plan for them."""
    places: dict[tuple[str, int, str], _Place] = {}
    for file in sorted((settings.project / "studies").glob("*.yaml")):
        try:
            plan = _plan_of(settings, file)
        except AblateError as error:
            found.faults.append(f"{file}: {error.message}")
            continue
        if plan is None:
            continue
        for cell in plan.cells:
            variant = next(v for v in plan.variants if v.name == cell.variant)
            run = {
                "identity": variant.identity,
                "config": to_json(variant.config),
                "trainer": plan.trainer,
                "trainer_version": plan.trainer_version,
            }
            key = canonical_json(variant.config), cell.seed, f"{cell.variant}-s{cell.seed}"
            places.setdefault(key, (plan.study, run))
    return places


def _plan_of(settings: Settings, file: Path) -> Plan | None:
    spec, document = read_study(file)
    if spec.trainer == IMPORTED:
        return None
    with chdir(settings.project):
        return make_plan(spec, trainer_of(spec, settings.project), document)


def _add_variant(folder: _Folder, variants: dict[str, Variant]) -> StudyCell:
    """Return the place of a run that no file plans; runs of one name and config are seeds."""
    wanted = folder.label.removesuffix(f"-s{folder.seed}")
    identity = _digest([folder.train, folder.config])
    names = (wanted, *(f"{wanted}.{n}" for n in range(2, 10**6)))
    name = next(n for n in names if n not in variants or variants[n].identity == identity)
    variants.setdefault(
        name,
        Variant(
            name=name,
            identity=identity,
            config=folder.config,
            factors={},
            is_phase=True,
            is_baseline=not variants,
        ),
    )
    return StudyCell(variant=name, identity=_digest([folder.run_id]), seed=folder.seed)


def _unplanned(folder: _Folder, cell: StudyCell) -> dict[str, Any]:
    note = {"source": f"folder:{folder.run_id}", "title": folder.label, "content": folder.run_id}
    return {
        "identity": cell.identity,
        "config": to_json({**folder.config, IMPORT_NOTE: note}),
        "trainer": IMPORTED,
        "trainer_version": "1",
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(["folder/1", value]).encode()).hexdigest()


def _recovered(variants: Mapping[str, Variant], cells: list[StudyCell]) -> Plan:
    return Plan(
        study=RECOVERED,
        question="What were these runs? Their studies are not known any more.",
        trainer=IMPORTED,
        trainer_version="1",
        spec=StudySpec(study=RECOVERED, trainer=IMPORTED).to_json(),
        variants=tuple(variants.values()),
        seeds=(),
        imported=tuple(cells),
    )


def _rows(folder: _Folder, run: Mapping[str, Any]) -> list[Rows]:
    last = folder.attempts[-1].ending
    is_planned = run["trainer"] != IMPORTED
    state = last.state.run_state
    if not is_planned and state is RunState.QUEUED:
        state = RunState.FAILED  # nobody will train it
    row = {
        "id": folder.run_id,
        "seed": folder.seed,
        "state": state.value,
        "token": len(folder.attempts),
        "reason": explanation(last.reason),
        "created_at": folder.attempts[0].started_at,
        "parent_id": folder.parent[0] if folder.parent and is_planned else None,
        "parent_step": folder.parent[1] if folder.parent and is_planned else None,
        **run,
    }
    attempts = [_attempt_row(folder.run_id, attempt) for attempt in folder.attempts]
    return [_as_rows("runs", [row]), _as_rows("attempts", attempts)]


def _attempt_row(run_id: str, attempt: _Attempt) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "run_id": run_id,
        "number": attempt.number,
        "state": attempt.ending.state.value,
        "runner": "not known",
        "token": attempt.number,
        "beats": 0,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "exit_code": attempt.ending.exit_code,
        "error": explanation(attempt.ending.reason),
        "traceback": explanation(attempt.ending.traceback),
    }


def _as_rows(table: str, rows: list[dict[str, Any]]) -> Rows:
    return Rows(table, tuple(rows[0]), [list(row.values()) for row in rows])
