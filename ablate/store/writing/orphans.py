"""Runs that no study wants any more: which there are, and their end. In their caller's transaction.

What is deleted is a whole run with all that refers to it. A run that an attempt holds stays, and so
does one from whose checkpoint another run begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, Select, and_, delete, func, or_, select, text
from sqlalchemy.sql import ColumnElement

from ablate.domain import IMPORTED, Orphan, Run, RunState
from ablate.storable import from_json
from ablate.store.reading.queries import former_runs, is_wanted, run_by_link
from ablate.store.schema.changes import touch_deleted
from ablate.store.schema.clock import db_now
from ablate.store.schema.models import (
    AttemptRow,
    CheckpointRow,
    EventRow,
    MirrorCursorRow,
    PointRow,
    RollupRow,
    RunRow,
    SeriesRow,
    StepRow,
    StudyRunRow,
    TransitionRow,
)
from ablate.store.schema.statements import chunks

_IMPORT_S = 3600.0
"""An import that began so long ago and has not ended was broken off."""

PLAN_LOCK = 0x61626C61
"""Advisory lock of PostgreSQL for whoever makes, moves or deletes runs: plans, imports, cleaning.

SQLite has one lock for all who write."""


def lock_plans(connection: Connection) -> None:
    """Wait until nobody else makes, moves or deletes runs; held to the transaction's end."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({PLAN_LOCK})"))


def orphans(connection: Connection) -> tuple[Orphan, ...]:
    """Return the runs that no study wants, of the study that changed last first."""
    runs = [*former_runs(connection), *_half_imported(connection)]
    ids = [run.id for run in runs]
    held, stays = _held(connection), _branches(connection, ids)
    points, checkpoints = (_counts(connection, query, ids) for query in (_POINTS, _CHECKPOINTS))
    return tuple(
        Orphan(
            run=run,
            points=points.get(run.id, 0),
            checkpoints=checkpoints.get(run.id, 0),
            is_held=run.id in held,
            branches=tuple(stays.get(run.id, ())),
        )
        for run in runs
    )


def _is_held() -> ColumnElement[bool]:
    """Whether an attempt holds the run. An import holds its runs for `_IMPORT_S`."""
    is_recent = RunRow.created_at > db_now() - _IMPORT_S
    return or_(
        and_(RunRow.trainer != IMPORTED, RunRow.state == RunState.RUNNING.value),
        and_(RunRow.trainer == IMPORTED, ~_was_linked(), is_recent),
    )


def _was_linked() -> ColumnElement[bool]:
    return select(StudyRunRow.run_id).where(StudyRunRow.run_id == RunRow.id).exists()


def _held(connection: Connection) -> frozenset[str]:
    query = select(RunRow.id).where(~is_wanted(), _is_held())
    return frozenset(connection.execute(query).scalars())


def _half_imported(connection: Connection) -> list[Run]:
    """Return imported runs that were never put into a study."""
    query = select(RunRow.id, RunRow.seed, RunRow.identity, RunRow.config, RunRow.state)
    rows = connection.execute(query.where(~_was_linked()).order_by(RunRow.created_at)).all()
    return [
        Run(
            id=row.id,
            study="",
            variant=IMPORTED,
            seed=row.seed,
            identity=row.identity,
            config=from_json(row.config),
            trainer=IMPORTED,
            state=RunState(row.state),
            attempts=1,
            step=None,
            checkpoint_step=None,
            reason=None,
            wall_s=0.0,
        )
        for row in rows
    ]


_POINTS = (
    select(AttemptRow.run_id, func.count())
    .join(SeriesRow, SeriesRow.attempt_id == AttemptRow.id)
    .join(PointRow, PointRow.series_id == SeriesRow.id)
    .group_by(AttemptRow.run_id)
)
_CHECKPOINTS = (
    select(AttemptRow.run_id, func.count())
    .join(CheckpointRow, CheckpointRow.attempt_id == AttemptRow.id)
    .group_by(AttemptRow.run_id)
)


def _counts(
    connection: Connection, query: Select[str, int], run_ids: Iterable[str]
) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for part in chunks(run_ids):
        rows = connection.execute(query.where(AttemptRow.run_id.in_(part)))
        found.update((run_id, count) for run_id, count in rows)
    return found


def _branches(connection: Connection, orphaned: Sequence[str]) -> dict[str, list[str]]:
    """Return orphan -> the runs that stay and begin from its checkpoint, as ``study/phase-s0``."""
    query = select(RunRow.id, RunRow.parent_id).where(RunRow.parent_id.is_not(None))
    parents = {row.id: row.parent_id for row in connection.execute(query)}
    orphans = frozenset(orphaned)
    found: dict[str, list[str]] = {}
    stays = [run_id for run_id in parents if run_id not in orphans]
    while stays:
        child = stays.pop()
        parent = parents.get(child)
        if parent not in orphans:
            continue
        if parent not in found:
            stays.append(parent)  # it stays itself, for its child
        run = run_by_link(connection, child)
        found.setdefault(parent, []).append(f"{run.study}/{run.label}")
    return found


def delete_orphan(connection: Connection, run_id: str) -> bool:
    """Delete a run that nobody wants, holds or begins from; return whether it was deleted."""
    lock_plans(connection)
    query = select(RunRow.id).where(RunRow.id == run_id, ~is_wanted(), ~_is_held())
    if connection.execute(query.with_for_update()).one_or_none() is None:
        return False
    branches = select(RunRow.id).where(RunRow.parent_id == run_id).limit(1)
    if connection.execute(branches).one_or_none() is not None:
        return False
    delete_rows(connection, run_id)
    touch_deleted(connection, run_id)
    return True


def delete_rows(connection: Connection, run_id: str) -> None:
    """Delete a run and every row that refers to it."""
    attempts = select(AttemptRow.id).where(AttemptRow.run_id == run_id)
    series = select(SeriesRow.id).where(SeriesRow.attempt_id.in_(attempts))
    for part in (PointRow, RollupRow):
        connection.execute(delete(part).where(part.series_id.in_(series)))
    for part in (SeriesRow, StepRow, EventRow, CheckpointRow):
        connection.execute(delete(part).where(part.attempt_id.in_(attempts)))
    for part in (AttemptRow, TransitionRow, MirrorCursorRow, StudyRunRow):
        connection.execute(delete(part).where(part.run_id == run_id))
    connection.execute(delete(RunRow).where(RunRow.id == run_id))
