"""Runs of other tools: staged out of sight, whole or not at all. In their caller's transaction.

A staged run is in no study, which is what hides it: every view of runs goes through ``study_runs``.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, insert, select, update

from ablate.domain import IMPORTED, AttemptState, Claim, Run, RunState
from ablate.storable import check_name, explanation, to_json
from ablate.store.base import ImportedRun
from ablate.store.schema.changes import touch_run
from ablate.store.schema.clock import db_now
from ablate.store.schema.models import AttemptRow, RunRow
from ablate.store.writing import leases
from ablate.store.writing.ingest import lease_lost
from ablate.store.writing.orphans import lock_plans


def begin(connection: Connection, run: ImportedRun, by: str) -> Claim | None:
    """Return the right to write the points of a run, or None when they are there."""
    check_name(run.identity, "identity")
    lock_plans(connection)
    query = select(RunRow.id, RunRow.token).with_for_update()
    query = query.where(RunRow.identity == run.identity, RunRow.seed == run.seed)
    found = connection.execute(query).one_or_none()
    if found is not None and _is_whole(connection, found.id):
        return None
    run_id, token = (found.id, found.token + 1) if found else (secrets.token_hex(8), 1)
    if found:
        _end_earlier(connection, run_id, token)
    else:
        _add_run(connection, run, run_id, token)
    touch_run(connection, run_id, with_all_attempts=True)
    attempt = leases.add_attempt(connection, run_id, explanation(by) or "", token)
    return Claim(
        attempt_id=attempt.id, attempt=attempt.number, run=_shown(run, run_id), token=token
    )


def _is_whole(connection: Connection, run_id: str) -> bool:
    """Whether the last import of a run came to its end; one that still trains stays running."""
    newest = select(AttemptRow.finished_at).where(AttemptRow.run_id == run_id)
    newest = newest.order_by(AttemptRow.number.desc()).limit(1)
    return connection.execute(newest).scalar() is not None


def _end_earlier(connection: Connection, run_id: str, token: int) -> None:
    change = update(RunRow).where(RunRow.id == run_id)
    connection.execute(change.values(token=token, created_at=db_now()))
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.run_id == run_id, AttemptRow.state == AttemptState.RUNNING.value)
        .values(state=AttemptState.LOST.value, finished_at=db_now(), error="begun anew")
    )


def _add_run(connection: Connection, run: ImportedRun, run_id: str, token: int) -> None:
    connection.execute(
        insert(RunRow).values(
            id=run_id,
            identity=run.identity,
            seed=run.seed,
            config=to_json(run.config),
            trainer=IMPORTED,
            trainer_version="1",
            state=RunState.RUNNING.value,
            token=token,
            created_at=db_now(),
        )
    )


def _shown(run: ImportedRun, run_id: str) -> Run:
    """Return the run as no study sees it yet."""
    return Run(
        id=run_id,
        study="",
        variant=IMPORTED,
        seed=run.seed,
        identity=run.identity,
        config=run.config,
        trainer=IMPORTED,
        state=RunState.RUNNING,
        attempts=1,
        step=None,
        checkpoint_step=None,
        reason=None,
        wall_s=0.0,
    )


def end(connection: Connection, claim: Claim, run: ImportedRun) -> None:
    """End the attempt as the other tool said, with its times.

    A run that its tool still trains stays running, and its last point says until when it came.
    """
    if run.ending.state is not AttemptState.RUNNING:
        leases.finish(connection, claim, run.ending)
    change = update(AttemptRow).where(AttemptRow.id == claim.attempt_id)
    change = change.where(AttemptRow.state == run.ending.state.value)
    times = change.values(started_at=run.started_at, finished_at=run.finished_at)
    if connection.execute(times).rowcount == 0:
        raise lease_lost(claim)
    touch_run(connection, claim.run.id)
