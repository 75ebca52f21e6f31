"""Who may train which run: claims, leases, take-overs, ends. Each in its caller's transaction.

Rows are locked in one order, runs before attempts and runs by id, so that nobody waits in a circle.
On SQLite the transaction holds the write lock anyway and ``FOR UPDATE`` is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, delete, func, insert, or_, select, text, update
from sqlalchemy.orm import aliased
from sqlalchemy.sql import ColumnElement

from ablate.domain import IMPORTED, AttemptState, Claim, Hold, Longer, RunState
from ablate.spool.batch import Ending
from ablate.storable import explanation
from ablate.store.base import LEASE_S, ClaimFilter
from ablate.store.reading import queries
from ablate.store.schema.changes import touch_run
from ablate.store.schema.clock import db_now
from ablate.store.schema.models import (
    AttemptRow,
    MirrorCursorRow,
    RunRow,
    StudyRow,
    StudyRunRow,
    TransitionRow,
    VariantRow,
)
from ablate.store.schema.statements import AnyRow, AnySelect, chunks
from ablate.store.writing.ingest import lease_lost

_RUNNING = RunState.RUNNING.value
_CAN_GO_ON = (RunState.SUCCEEDED, RunState.QUEUED)
"""A run that ended otherwise did so for a reason that more steps do not change."""


def claim(connection: Connection, runner: str, wanted: ClaimFilter, lease_s: float) -> Claim | None:
    """Take a queued run, first in plan order of the oldest study."""
    # Rows that another runner is just claiming are passed over, so that nobody waits in a queue.
    # SQLite has no row locks and needs none: its transactions that write come one after the other.
    query = _select_queued(wanted).limit(1).with_for_update(of=RunRow, skip_locked=True)
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    # Whoever held the run before writes with the old token, and is refused from here on.
    token = found.token + 1
    connection.execute(
        update(RunRow).where(RunRow.id == found.id).values(state=_RUNNING, token=token, reason=None)
    )
    _record(connection, found.id, RunState.QUEUED, RunState.RUNNING, by=runner, token=token)
    attempt = add_attempt(connection, found.id, runner, token, lease_s)
    run = queries.run_by_link(connection, found.id, found.variant_id)
    return Claim(
        attempt_id=attempt.id,
        attempt=attempt.number,
        run=run,
        token=token,
        resume_from=queries.checkpoints(connection, found.id, before_attempt=attempt.number),
        branch_from=queries.branch_point(connection, run),
        branch_steps=queries.branch_steps(connection, found.id),
    )


def _select_queued(wanted: ClaimFilter) -> AnySelect:
    query = (
        select(RunRow.id, RunRow.token, StudyRunRow.variant_id)
        .join(StudyRunRow, StudyRunRow.run_id == RunRow.id)
        .join(StudyRow, StudyRow.id == StudyRunRow.study_id)
        .where(RunRow.state == RunState.QUEUED.value, RunRow.trainer != IMPORTED)
        .where(StudyRunRow.is_wanted.is_(True), StudyRow.is_archived.is_(False))
        .where(_can_begin())
        .order_by(StudyRow.id, StudyRunRow.position)
    )
    if wanted.studies:
        query = query.where(StudyRow.name.in_(sorted(wanted.studies)))
    if wanted.excluded_studies:
        query = query.where(StudyRow.name.not_in(sorted(wanted.excluded_studies)))
    if wanted.only:
        only = sorted(wanted.only)
        query = query.join(VariantRow, VariantRow.id == StudyRunRow.variant_id)
        query = query.where(or_(VariantRow.name.in_(only), RunRow.id.in_(only)))
    if wanted.excluded_runs:
        query = query.where(RunRow.id.not_in(sorted(wanted.excluded_runs)))
    if wanted.below_step is not None:
        reached = func.coalesce(queries.checkpoint_step(), RunRow.parent_step, -1)
        query = query.where(reached < wanted.below_step)
    return query


def _can_begin() -> ColumnElement[bool]:
    """Whether there is a checkpoint to begin from, for a run that needs one."""
    return or_(
        RunRow.parent_id.is_(None),
        queries.checkpoint_step().is_not(None),
        queries.has_parent_checkpoint(),
    )


def add_attempt(
    connection: Connection, run_id: str, runner: str, token: int, lease_s: float = LEASE_S
) -> AnyRow:
    """Add the next attempt of a run; return its id and number."""
    number = select(func.count() + 1).where(AttemptRow.run_id == run_id).scalar_subquery()
    statement = insert(AttemptRow).values(
        run_id=run_id,
        number=number,
        state=AttemptState.RUNNING.value,
        runner=runner,
        token=token,
        beats=0,
        lease_s=lease_s,
        started_at=db_now(),
        has_started=False,
        last_step=-1,
        spool_offset=0,
    )
    return connection.execute(statement.returning(AttemptRow.id, AttemptRow.number)).one()


def renew(connection: Connection, claims: Sequence[Claim]) -> frozenset[int]:
    """Show that the runner lives; return the attempt ids of claims that are no longer held."""
    lost: set[int] = set()
    # In one order in every process: two that lock the same rows never wait for each other.
    for held in sorted(claims, key=lambda claim: claim.attempt_id):
        change = (
            update(AttemptRow)
            .where(AttemptRow.id == held.attempt_id, AttemptRow.run_id == held.run.id)
            .where(AttemptRow.token == held.token)
            .where(AttemptRow.state == AttemptState.RUNNING.value)
            .values(beats=AttemptRow.beats + 1)
        )
        if connection.execute(change).rowcount == 0:
            lost.add(held.attempt_id)
    return frozenset(lost)


def holds(connection: Connection) -> tuple[Hold, ...]:
    """Return the claims that are held, as their runners last showed them.

    Takes the locks of one who writes: who waits here knows that nobody could renew meanwhile.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE attempts IN ROW EXCLUSIVE MODE"))
    query = (
        select(
            AttemptRow.id,
            AttemptRow.runner,
            AttemptRow.token,
            AttemptRow.beats,
            AttemptRow.lease_s,
        )
        .join(RunRow, RunRow.id == AttemptRow.run_id)
        .where(AttemptRow.state == AttemptState.RUNNING.value, RunRow.trainer != IMPORTED)
        .order_by(AttemptRow.id)
    )
    return tuple(Hold(*row) for row in connection.execute(query))


def take_over(
    connection: Connection, runner: str, abandoned: Collection[Hold]
) -> tuple[Claim, ...]:
    """Claim the attempts of runners that have given no sign since they were seen like this."""
    taken: list[Claim] = []
    for hold in sorted(abandoned, key=lambda hold: hold.attempt_id):
        query = (
            select(AttemptRow.id, AttemptRow.number, AttemptRow.run_id, RunRow.token)
            .join(RunRow, RunRow.id == AttemptRow.run_id)
            .where(AttemptRow.id == hold.attempt_id, AttemptRow.runner == hold.runner)
            # One more beat than was seen, and its runner lives after all.
            .where(AttemptRow.token == hold.token, AttemptRow.beats == hold.beats)
            .where(AttemptRow.state == AttemptState.RUNNING.value, RunRow.trainer != IMPORTED)
            .with_for_update(of=[RunRow, AttemptRow], skip_locked=True)
        )
        row = connection.execute(query).one_or_none()
        if row is not None:
            taken.append(_take_over(connection, row, runner))
    return tuple(taken)


def _take_over(connection: Connection, row: AnyRow, runner: str) -> Claim:
    token = row.token + 1
    connection.execute(update(RunRow).where(RunRow.id == row.run_id).values(token=token))
    touch_run(connection, row.run_id)
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.id == row.id)
        # The beat tells other observers that what they saw is no longer so.
        .values(token=token, runner=runner, beats=AttemptRow.beats + 1)
    )
    return Claim(
        attempt_id=row.id,
        attempt=row.number,
        run=queries.run_by_link(connection, row.run_id),
        token=token,
        resume_from=queries.checkpoints(connection, row.run_id, before_attempt=row.number),
    )


def finish(connection: Connection, held: Claim, ending: Ending) -> None:
    """End the attempt and move its run to the state that follows from it."""
    state, reason = ending.state.run_state, explanation(ending.reason)
    change = (
        update(RunRow)
        .where(RunRow.id == held.run.id, RunRow.token == held.token, RunRow.state == _RUNNING)
        .values(state=state.value, reason=reason)
    )
    if connection.execute(change).rowcount == 0:
        raise lease_lost(held)
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.id == held.attempt_id)
        .values(
            state=ending.state.value,
            finished_at=db_now(),
            error=reason,
            traceback=explanation(ending.traceback),
            exit_code=ending.exit_code,
        )
    )
    runner = select(AttemptRow.runner).where(AttemptRow.id == held.attempt_id)
    by = connection.execute(runner).scalar_one()
    _record(
        connection, held.run.id, RunState.RUNNING, state, by=by, token=held.token, reason=reason
    )


def requeue(connection: Connection, run_ids: Sequence[str], by: str) -> tuple[str, ...]:
    """Put finished runs, not succeeded ones, back into the queue."""
    states = [s for s in RunState if s.is_finished and s is not RunState.SUCCEEDED]
    moved = _move(connection, run_ids, states, RunState.QUEUED, by)
    return tuple(run_id for run_id in dict.fromkeys(run_ids) if run_id in moved)


def start_over(connection: Connection, run_ids: Sequence[str], by: str) -> tuple[str, ...]:
    """Put finished and queued runs back to their beginning, with the config of their variant."""
    states = [state for state in RunState if state is not RunState.RUNNING]
    moved = _move(connection, run_ids, states, RunState.QUEUED, by, reason="started over")
    for part in chunks(sorted(moved)):
        of_runs = AttemptRow.run_id.in_(part)
        # Nothing that was logged counts any more, and all of it stays.
        connection.execute(update(AttemptRow).where(of_runs).values(cut_step=-1))
        for run_id in part:
            touch_run(connection, run_id, with_all_attempts=True)
        config = (
            select(VariantRow.config)
            .join(StudyRunRow, StudyRunRow.variant_id == VariantRow.id)
            .where(StudyRunRow.run_id == RunRow.id, VariantRow.identity == RunRow.identity)
            .order_by(StudyRunRow.is_wanted.desc(), StudyRunRow.study_id)
            .limit(1)
            .scalar_subquery()
        )
        change = update(RunRow).where(RunRow.id.in_(part))
        connection.execute(change.values(config=func.coalesce(config, RunRow.config)))
    return tuple(run_id for run_id in dict.fromkeys(run_ids) if run_id in moved)


def can_go_on(
    connection: Connection, study: str, longer: Sequence[Longer], seeds: Collection[int]
) -> dict[str, Longer]:
    """Return run id -> what becomes of it, for the runs that can be trained on from a checkpoint.

    Not one that another study wants as it is, one from which another run begins, or one whose
    longer version is there already.
    """
    there, child = aliased(RunRow), aliased(RunRow)
    elsewhere = (
        select(StudyRunRow.run_id)
        .join(StudyRow, StudyRow.id == StudyRunRow.study_id)
        .where(StudyRunRow.run_id == RunRow.id, StudyRunRow.is_wanted.is_(True))
        .where(StudyRow.name != study)
    )
    found: dict[str, Longer] = {}
    for one in longer:
        query = select(RunRow.id).where(
            RunRow.identity == one.former,
            RunRow.seed.in_(sorted(seeds)),
            RunRow.state.in_([state.value for state in _CAN_GO_ON]),
            RunRow.trainer != IMPORTED,
            queries.checkpoint_step().is_not(None),
            ~elsewhere.exists(),
            ~select(child.id).where(child.parent_id == RunRow.id).exists(),
            ~select(there.id)
            .where(there.identity == one.identity, there.seed == RunRow.seed)
            .exists(),
        )
        rows = connection.execute(query.order_by(RunRow.seed)).scalars()
        found |= dict.fromkeys(rows, one)
    return found


def go_on(
    connection: Connection, runs: Mapping[str, Longer], configs: Mapping[str, str], by: str
) -> tuple[str, ...]:
    """Make runs those of the longer variants, to be trained on; return those that were moved.

    Args:
        connection: In the transaction of `can_go_on`.
        runs: From there.
        configs: Identity -> config as JSON.
        by: Who asked for it.
    """
    moved: list[str] = []
    for run_id, one in runs.items():
        reason = f"trained on: {one.change}"
        if not _move(connection, [run_id], _CAN_GO_ON, RunState.QUEUED, by, reason=reason):
            continue  # a runner was faster
        change = update(RunRow).where(RunRow.id == run_id)
        values = {"identity": one.identity, "config": configs[one.identity]}
        connection.execute(change.values(**values))
        # A mirror may not change what it was told of a config: the run is copied anew.
        connection.execute(delete(MirrorCursorRow).where(MirrorCursorRow.run_id == run_id))
        moved.append(run_id)
    return tuple(moved)


def cancel(connection: Connection, run_ids: Sequence[str], by: str) -> tuple[str, ...]:
    """End queued and running runs; a running attempt loses its lease."""
    states = [RunState.QUEUED, RunState.RUNNING]
    moved = _move(connection, run_ids, states, RunState.CANCELLED, by)
    for part in chunks(sorted(moved)):
        connection.execute(
            update(AttemptRow)
            .where(AttemptRow.run_id.in_(part), AttemptRow.state == AttemptState.RUNNING.value)
            .values(
                state=AttemptState.CANCELLED.value,
                finished_at=db_now(),
                error=f"cancelled by {explanation(by)}",
            )
        )
    return tuple(run_id for run_id in dict.fromkeys(run_ids) if run_id in moved)


def _move(
    connection: Connection,
    run_ids: Sequence[str],
    states: Sequence[RunState],
    to: RunState,
    by: str,
    reason: str | None = None,
) -> set[str]:
    """Move runs by a user's command: from any of the states; return those that were."""
    moved: set[str] = set()
    shown = f"cancelled by {explanation(by)}" if to is RunState.CANCELLED else None
    for part in chunks(sorted(set(run_ids))):
        query = select(RunRow.id, RunRow.state, RunRow.token)
        query = query.where(RunRow.id.in_(part), RunRow.state.in_([s.value for s in states]))
        query = query.where(RunRow.trainer != IMPORTED)
        rows = connection.execute(query.order_by(RunRow.id).with_for_update()).all()
        for row in rows:
            token = row.token + 1  # who trains it now holds it no longer
            connection.execute(
                update(RunRow)
                .where(RunRow.id == row.id)
                .values(state=to.value, token=token, reason=shown)
            )
            old = RunState(row.state)
            _record(connection, row.id, old, to, by=by, token=token, reason=reason)
            moved.add(row.id)
    return moved


def _record(
    connection: Connection,
    run_id: str,
    old: RunState,
    new: RunState,
    *,
    by: str,
    token: int,
    reason: str | None = None,
) -> None:
    touch_run(connection, run_id)
    connection.execute(
        insert(TransitionRow).values(
            run_id=run_id,
            at=db_now(),
            from_state=old.value,
            to_state=new.value,
            by=explanation(by),
            reason=reason,
            token=token,
        )
    )
