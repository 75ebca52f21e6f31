"""Writes what an attempt's spool says into the tables, exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, case, insert, select, text, update

from ablate.domain import Claim
from ablate.errors import LeaseLostError
from ablate.store import postgres, sqlite
from ablate.store.base import SpoolBatch, StepValues
from ablate.store.models import AttemptRow, EventRow, MetricKeyRow
from ablate.store.queries import AnyRow, chunks
from ablate.store.rows import has_repeats, point_rows
from ablate.store.text import check_name, explanation, to_json

_WRITERS = {"sqlite": sqlite.write_points, "postgresql": postgres.write_points}

_INSERT_KEY = text("INSERT INTO metric_keys (name) VALUES (:name) ON CONFLICT DO NOTHING")
_INSERT_STEP = text(
    "INSERT INTO steps (attempt_id, step, time) VALUES (:attempt_id, :step, :time)"
    " ON CONFLICT DO NOTHING"
)
_UPSERT_CHECKPOINT = text(
    "INSERT INTO checkpoints (attempt_id, step, path, sha256, size_bytes)"
    " VALUES (:attempt_id, :step, :path, :sha256, :size_bytes)"
    " ON CONFLICT (attempt_id, step) DO UPDATE SET"
    " path = excluded.path, sha256 = excluded.sha256, size_bytes = excluded.size_bytes"
)


def lease_lost(claim: Claim) -> LeaseLostError:
    """Return the error for a claim that is no longer held."""
    return LeaseLostError(
        f"run {claim.run.id} ({claim.run.label}) was taken over: attempt {claim.attempt} may not"
        " write any more"
    )


def ingest(
    connection: Connection, claim: Claim, batch: SpoolBatch, known_keys: Mapping[str, int]
) -> tuple[int, Mapping[str, int]]:
    """Write a batch in this transaction.

    Args:
        connection: In a transaction that writes.
        claim: Who may write.
        batch: What to write.
        known_keys: Ids of keys that are surely in the database.

    Returns:
        The stored offset, and the ids of all keys of the batch; they hold once it committed.
    """
    stored = _held(connection, claim)
    if stored.spool_offset != batch.start_offset:
        return stored.spool_offset, {}
    _check(batch)
    key_ids = _key_ids(connection, batch, known_keys)
    logs = [log for log in batch.logs if log.keys]
    _write_logs(connection, stored, logs, key_ids)
    _write_records(connection, claim.attempt_id, batch)
    if batch.has_started or (logs and not stored.has_started):
        _start(connection, stored, batch)
    last_step = max((log.step for log in logs), default=-1)
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.id == claim.attempt_id)
        .values(spool_offset=batch.end_offset, last_step=max(last_step, stored.last_step))
    )
    return batch.end_offset, key_ids


def _held(connection: Connection, claim: Claim) -> AnyRow:
    """Return the attempt's row, locked, if the claim still holds it."""
    row = connection.execute(
        select(
            AttemptRow.id,
            AttemptRow.run_id,
            AttemptRow.number,
            AttemptRow.spool_offset,
            AttemptRow.last_step,
            AttemptRow.has_started,
        )
        .where(
            AttemptRow.id == claim.attempt_id,
            AttemptRow.token == claim.token,
            AttemptRow.state == "running",
        )
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise lease_lost(claim)
    return row


def _check(batch: SpoolBatch) -> None:
    for event in batch.events:
        check_name(event.name, "event name")
    for checkpoint in batch.checkpoints:
        check_name(checkpoint.path, "checkpoint path")


def _key_ids(
    connection: Connection, batch: SpoolBatch, known: Mapping[str, int]
) -> Mapping[str, int]:
    """Return the ids of the batch's keys, giving new ones to new keys.

    New keys are inserted in one order, so that two transactions never wait for each other.
    """
    layouts = {log.keys for log in batch.logs}
    missing = sorted({key for keys in layouts for key in keys if key not in known})
    if not missing:
        return known
    for key in missing:
        check_name(key, "metric key")
    connection.execute(_INSERT_KEY, [{"name": key} for key in missing])
    found: dict[str, int] = {}
    for part in chunks(missing):
        rows = connection.execute(
            select(MetricKeyRow.name, MetricKeyRow.id).where(MetricKeyRow.name.in_(part))
        )
        found.update((name, id_) for name, id_ in rows)
    return {**known, **found}


def _write_logs(
    connection: Connection,
    stored: AnyRow,
    logs: Sequence[StepValues],
    key_ids: Mapping[str, int],
) -> None:
    times: dict[int, float] = {}
    for log in logs:
        times.setdefault(log.step, log.time)
    if not times:
        return
    connection.execute(
        _INSERT_STEP,
        [{"attempt_id": stored.id, "step": step, "time": time} for step, time in times.items()],
    )
    last_step = stored.last_step

    def step_time(log: StepValues) -> float | None:
        # A step that was logged before this batch may have another time already.
        is_that = log.step > last_step and log.time == times[log.step]
        return None if is_that else log.time

    def rows(part: Iterable[StepValues], step_time: Callable[[StepValues], float | None]) -> Any:
        return point_rows(stored.id, part, key_ids, step_time)

    new = [log for log in logs if log.step > last_step]
    others = [log for log in logs if log.step <= last_step]
    if has_repeats(new):
        new, others = [], list(logs)
    write = _WRITERS[connection.dialect.name]
    write(connection, rows(new, step_time), rows(others, step_time))


def _write_records(connection: Connection, attempt_id: int, batch: SpoolBatch) -> None:
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
            }
            for checkpoint in batch.checkpoints
        ]
        connection.execute(_UPSERT_CHECKPOINT, checkpoints)


def _start(connection: Connection, stored: AnyRow, batch: SpoolBatch) -> None:
    """Keep from where the attempt trains, and cut the earlier attempts there."""
    cut = -1 if batch.start_step is None else batch.start_step
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.id == stored.id)
        .values(has_started=True, start_step=batch.start_step, inexact=explanation(batch.inexact))
    )
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.run_id == stored.run_id, AttemptRow.number < stored.number)
        .values(cut_step=case((AttemptRow.cut_step < cut, AttemptRow.cut_step), else_=cut))
    )
