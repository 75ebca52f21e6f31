"""Writes what an attempt's spool says into the tables, exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, case, delete, insert, select, text, update

from ablate.domain import AttemptState, Claim
from ablate.errors import LeaseLostError
from ablate.provenance import Code
from ablate.spool.batch import SpoolBatch, StepValues
from ablate.storable import check_name, explanation, to_json
from ablate.store.reading.queries import counts
from ablate.store.schema import postgres, sqlite
from ablate.store.schema.models import (
    AttemptRow,
    CheckpointRow,
    CodeRow,
    EventRow,
    MetricKeyRow,
    MirrorCursorRow,
    PointRow,
    SeriesRow,
)
from ablate.store.schema.rollups import Tail, joined, stale_buckets, summarise, tail_of
from ablate.store.schema.rows import has_repeats, new_rows, rows_in_order
from ablate.store.schema.statements import AnyRow, chunks

_DIALECTS = {"sqlite": sqlite, "postgresql": postgres}

_INSERT_KEY = text("INSERT INTO metric_keys (name) VALUES (:name) ON CONFLICT DO NOTHING")
_INSERT_CODE = text(
    "INSERT INTO codes (sha256, content) VALUES (:sha256, :content) ON CONFLICT DO NOTHING"
)
_INSERT_SERIES = text(
    "INSERT INTO series (attempt_id, key_id) VALUES (:attempt_id, :key_id) ON CONFLICT DO NOTHING"
)
_UPSERT_CHECKPOINT = text(
    "INSERT INTO checkpoints (attempt_id, step, path, sha256, size_bytes, note_sha256)"
    " VALUES (:attempt_id, :step, :path, :sha256, :size_bytes, :note_sha256)"
    " ON CONFLICT (attempt_id, step) DO UPDATE SET"
    " path = excluded.path, sha256 = excluded.sha256, size_bytes = excluded.size_bytes,"
    " note_sha256 = excluded.note_sha256"
)


def lease_lost(claim: Claim) -> LeaseLostError:
    """Return the error for a claim that is no longer held."""
    return LeaseLostError(
        f"run {claim.run.id} ({claim.run.label}) was taken over: attempt {claim.attempt} may not"
        " write any more"
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What a process that feeds an attempt remembers of it, so as not to read it again."""

    series: Mapping[str, int] = field(default_factory=dict[str, int])
    """By key, those that are surely in the database."""
    tail: Tail | None = None
    """None when it is not known."""


def ingest(
    connection: Connection, claim: Claim, batch: SpoolBatch, known: Known, *, is_late: bool = False
) -> tuple[int, Known]:
    """Write a batch in this transaction.

    Args:
        connection: In a transaction that writes.
        claim: Who may write.
        batch: What to write.
        known: From the last batch that this process wrote for the claim.
        is_late: Whether the attempt has ended, and not by this claim.

    Returns:
        The stored offset, and what is known once this committed.
    """
    stored = _held(connection, claim, is_late=is_late)
    # Some other process has fed this attempt meanwhile, or this batch was stored and the answer
    # lost: the caller reads on from where the database is, and nothing is written twice.
    if stored.spool_offset != batch.start_offset:
        return stored.spool_offset, Known()
    _check(batch)
    logs = [log for log in batch.logs if log.keys]
    series = _series(connection, logs, claim.attempt_id, known.series)
    tail = _write_logs(connection, stored, logs, series, known.tail)
    _write_records(connection, claim.attempt_id, claim.run.id, batch)
    if is_late:
        _copy_again(connection, claim.run.id)
    if batch.has_started or (logs and not stored.has_started):
        _start(connection, stored, batch)
    if batch.code:
        _keep_code(connection, stored.id, batch.code)
    # Whether the attempt resumed is said by the frame that begins it, often in an earlier batch.
    resumed_at = batch.start_step if batch.has_started else stored.start_step
    if resumed_at is not None and stored.number > 1:
        _hand_over(connection, stored, resumed_at, [log for log in logs if log.step == resumed_at])
    last_step = max((log.step for log in logs), default=-1)
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.id == claim.attempt_id)
        # In the transaction of the points: after a crash the offset says exactly what is stored.
        .values(spool_offset=batch.end_offset, last_step=max(last_step, stored.last_step))
    )
    return batch.end_offset, Known(series, tail)


def _held(connection: Connection, claim: Claim, *, is_late: bool) -> AnyRow:
    """Return the attempt's row, locked, if the claim still holds it, or late: if nobody does."""
    running = AttemptRow.state == AttemptState.RUNNING.value
    row = connection.execute(
        select(
            AttemptRow.id,
            AttemptRow.run_id,
            AttemptRow.number,
            AttemptRow.spool_offset,
            AttemptRow.last_step,
            AttemptRow.has_started,
            AttemptRow.start_step,
        )
        .where(
            AttemptRow.id == claim.attempt_id,
            AttemptRow.run_id == claim.run.id,  # SQLite gives the ids of deleted attempts again
            ~running if is_late else and_(running, AttemptRow.token == claim.token),
        )
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise lease_lost(claim)
    return row


def _copy_again(connection: Connection, run_id: str) -> None:
    """Have mirrors look at a run again whose end they may have copied already."""
    cursors = update(MirrorCursorRow).where(MirrorCursorRow.run_id == run_id)
    connection.execute(cursors.values(is_finished=False))


def _check(batch: SpoolBatch) -> None:
    for event in batch.events:
        check_name(event.name, "event name")
    for checkpoint in batch.checkpoints:
        check_name(checkpoint.path, "checkpoint path")


def _series(
    connection: Connection, logs: Sequence[StepValues], attempt_id: int, known: Mapping[str, int]
) -> Mapping[str, int]:
    """Return the attempt's series by key, making those of new keys.

    New keys are inserted in one order, so that two transactions never wait for each other.
    """
    # A trainer logs the same few sets of keys at every step; each is looked at once.
    layouts = {log.keys for log in logs}
    missing = sorted({key for keys in layouts for key in keys if key not in known})
    if not missing:
        return known
    for key in missing:
        check_name(key, "metric key")
    connection.execute(_INSERT_KEY, [{"name": key} for key in missing])
    found = dict(known)
    for part in chunks(missing):
        names = MetricKeyRow.name.in_(part)
        ids = connection.execute(select(MetricKeyRow.id).where(names)).scalars()
        connection.execute(
            _INSERT_SERIES, [{"attempt_id": attempt_id, "key_id": key_id} for key_id in ids]
        )
        query = select(MetricKeyRow.name, SeriesRow.id).join_from(SeriesRow, MetricKeyRow)
        rows = connection.execute(query.where(SeriesRow.attempt_id == attempt_id, names))
        found.update((name, id_) for name, id_ in rows)
    return found


def _write_logs(
    connection: Connection,
    stored: AnyRow,
    logs: Sequence[StepValues],
    series: Mapping[str, int],
    tail: Tail | None,
) -> Tail | None:
    """Write points, steps and rollups; return the new tail."""
    if not logs:
        return tail
    times: dict[int, float] = {}
    for log in logs:
        times.setdefault(log.step, log.time)
    dialect = _DIALECTS[connection.dialect.name]
    dialect.write_steps(connection, stored.id, times, stored.last_step)

    def step_time(log: StepValues) -> float | None:
        return None if log.time == times[log.step] else log.time

    # What was logged at a step before this batch may be logged again, and has another time.
    new = [log for log in logs if log.step > stored.last_step]
    others = [log for log in logs if log.step <= stored.last_step]
    if has_repeats(new):
        new, others = [], logs  # the last value counts, which only an upsert in order gives
    rows = new_rows(new, series, step_time)
    dialect.write_points(connection, rows, rows_in_order(others, series))
    if stored.last_step < 0:
        tail = Tail()  # nothing is stored yet: that is all there is to know
    columns = joined(rows.columns, tail)
    stale = stale_buckets(columns, others, series, stored.last_step if tail is None else -1)
    summaries = summarise(connection, columns, stale, tail)
    dialect.write_summaries(connection, summaries)
    # What replaced values left in the last bucket is in the database alone.
    return None if others else tail_of(columns, tail, stored.last_step)


def _write_records(connection: Connection, attempt_id: int, run_id: str, batch: SpoolBatch) -> None:
    if batch.events:
        events = [
            {
                "attempt_id": attempt_id,
                "step": event.step,
                "name": event.name,
                "data": to_json(event.data),
                "time": event.time,
            }
            for event in batch.events
        ]
        connection.execute(insert(EventRow), events)
    if batch.checkpoints:
        checkpoints = [
            {
                "attempt_id": attempt_id,
                "step": checkpoint.step,
                "path": checkpoint.path,
                "sha256": checkpoint.sha256,
                "size_bytes": checkpoint.size_bytes,
                "note_sha256": checkpoint.note_sha256,
            }
            for checkpoint in batch.checkpoints
        ]
        connection.execute(_UPSERT_CHECKPOINT, checkpoints)
    if batch.pruned:
        _forget_checkpoints(connection, run_id, batch.pruned)


def _forget_checkpoints(connection: Connection, run_id: str, paths: Sequence[str]) -> None:
    attempts = select(AttemptRow.id).where(AttemptRow.run_id == run_id)
    for part in chunks(paths):
        gone = CheckpointRow.path.in_(part), CheckpointRow.attempt_id.in_(attempts)
        connection.execute(delete(CheckpointRow).where(*gone))


def _start(connection: Connection, stored: AnyRow, batch: SpoolBatch) -> None:
    """Keep from where the attempt trains, and cut the earlier attempts there."""
    cut = -1 if batch.start_step is None else batch.start_step
    if batch.first_step is not None:
        cut = batch.first_step - 1
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.id == stored.id)
        .values(
            has_started=True,
            start_step=batch.start_step,
            first_step=batch.first_step,
            inexact=explanation(batch.inexact),
        )
    )
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.run_id == stored.run_id, AttemptRow.number < stored.number)
        # The smallest of all cuts: an attempt that was cut once does not count again behind it.
        .values(cut_step=case((AttemptRow.cut_step < cut, AttemptRow.cut_step), else_=cut))
    )


def _hand_over(
    connection: Connection, stored: AnyRow, step: int, logs: Sequence[StepValues]
) -> None:
    """Keep what the attempt logs at the step it resumed from, where the earlier ones have not.

    The step belongs to the attempt that made the checkpoint, so that is given the points. A trainer
    that logs a step before its update had not come to log it when it was killed.
    """
    query = (
        select(AttemptRow.id, AttemptRow.last_step)
        .where(AttemptRow.run_id == stored.run_id, AttemptRow.number < stored.number, counts(step))
        .order_by(AttemptRow.number.desc())
        .limit(1)
    )
    owner = connection.execute(query).one_or_none() if logs else None
    if owner is None:
        return
    has = (
        select(MetricKeyRow.name)
        .join(SeriesRow, SeriesRow.key_id == MetricKeyRow.id)
        .join(PointRow, PointRow.series_id == SeriesRow.id)
        .where(SeriesRow.attempt_id == owner.id, PointRow.step == step)
    )
    known = set(connection.execute(has).scalars())
    for log in logs:
        pairs = zip(log.keys, log.values, strict=True)
        missing = {key: value for key, value in pairs if key not in known}
        if missing:
            part = StepValues(step, log.time, tuple(missing), tuple(missing.values()))
            series = _series(connection, [part], owner.id, {})
            _write_logs(connection, owner, [part], series, None)
    change = update(AttemptRow).where(AttemptRow.id == owner.id)
    connection.execute(change.values(last_step=max(step, owner.last_step)))


def _keep_code(connection: Connection, attempt_id: int, code: Code) -> None:
    content = to_json(code.to_json())
    digest = hashlib.sha256(content.encode()).hexdigest()
    connection.execute(_INSERT_CODE, {"sha256": digest, "content": content})
    code_id = select(CodeRow.id).where(CodeRow.sha256 == digest).scalar_subquery()
    change = update(AttemptRow).where(AttemptRow.id == attempt_id)
    connection.execute(change.values(code_id=code_id))
