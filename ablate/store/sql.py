# ruff: noqa: D102 - the contract in `base` documents each method
"""The store in SQL: SQLite for one machine, PostgreSQL for several."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select

from ablate.domain import Attempt, Checkpoint, Claim, Event, Hold, Longer, Orphan, Plan, Run, Study
from ablate.provenance import Code
from ablate.spool.batch import Ending, SpoolBatch
from ablate.storable import check_name
from ablate.store.base import LEASE_S, ClaimFilter, ImportedRun, MirrorCursor, StudySource
from ablate.store.curves import Curve, Outline, Stretches, WindowMean
from ablate.store.reading import metrics, queries
from ablate.store.reading.means import means
from ablate.store.reading.outlines import outlines
from ablate.store.reading.streaming import stream
from ablate.store.schema.engine import Database, reading, writing
from ablate.store.schema.models import MirrorCursorRow, RunRow
from ablate.store.schema.statements import chunks
from ablate.store.writing import imports, leases, orphans, plans
from ablate.store.writing.import_spools import spooled
from ablate.store.writing.ingest import Known, ingest


class SqlStore:
    """`Store` over an SQL database. Each method is one transaction; see the contract there.

    Args:
        database: With the schema that this code knows; `ablate.store.open_store` sees to that.
        imports: The folder for the spools of imported runs; None for none.
    """

    def __init__(self, database: Database, *, imports: Path | None = None) -> None:
        self._database = database
        self._imports = imports
        self._known: dict[int, Known] = {}
        """By attempt, for those that this process feeds."""

    @property
    def url(self) -> str:
        return self._database.shown

    @property
    def is_file(self) -> bool:
        return self._database.path is not None

    def close(self) -> None:
        self._database.close()

    # Studies

    def apply_plan(
        self,
        plan: Plan,
        *,
        source: StudySource | None = None,
        longer: Sequence[Longer] = (),
        by: str = "",
    ) -> tuple[str, ...]:
        with writing(self._database) as connection:
            return plans.apply_plan(connection, plan, source, longer, by)

    def can_go_on(
        self, study: str, longer: Sequence[Longer], seeds: Collection[int]
    ) -> tuple[str, ...]:
        with reading(self._database) as connection:
            return tuple(leases.can_go_on(connection, study, longer, seeds))

    def studies(self, *, with_archived: bool = False) -> tuple[Study, ...]:
        with reading(self._database) as connection:
            return queries.studies(connection, with_archived=with_archived)

    def study(self, name: str) -> Study:
        with reading(self._database) as connection:
            return queries.study(connection, name)

    def set_archived(self, name: str, is_archived: bool) -> None:
        with writing(self._database) as connection:
            plans.set_archived(connection, name, is_archived)

    def runs(self, study: str | None = None) -> tuple[Run, ...]:
        with reading(self._database) as connection:
            return queries.runs(connection, study)

    def run(self, prefix: str) -> Run:
        with reading(self._database) as connection:
            return queries.run(connection, prefix)

    def run_ids(self) -> frozenset[str]:
        with reading(self._database) as connection:
            return frozenset(connection.execute(select(RunRow.id)).scalars())

    def orphans(self) -> tuple[Orphan, ...]:
        with reading(self._database) as connection:
            return orphans.orphans(connection)

    def delete_orphan(self, run_id: str) -> bool:
        with writing(self._database) as connection:
            return orphans.delete_orphan(connection, run_id)

    def attempts(self, run_id: str) -> tuple[Attempt, ...]:
        with reading(self._database) as connection:
            return queries.attempts(connection, run_id)

    def codes(self, run_ids: Sequence[str]) -> Mapping[str, tuple[tuple[int, Code], ...]]:
        with reading(self._database) as connection:
            return queries.codes(connection, run_ids)

    def checkpoints(self, run_id: str) -> tuple[Checkpoint, ...]:
        with reading(self._database) as connection:
            return queries.checkpoints(connection, run_id)

    # Execution

    def claim(self, runner: str, wanted: ClaimFilter, *, lease_s: float = LEASE_S) -> Claim | None:
        with writing(self._database) as connection:
            return leases.claim(connection, runner, wanted, lease_s)

    def renew(self, claims: Sequence[Claim]) -> frozenset[int]:
        with writing(self._database) as connection:
            return leases.renew(connection, claims)

    def holds(self) -> tuple[Hold, ...]:
        with writing(self._database) as connection:
            return leases.holds(connection)

    def take_over(self, runner: str, abandoned: Collection[Hold]) -> tuple[Claim, ...]:
        with writing(self._database) as connection:
            return leases.take_over(connection, runner, abandoned)

    def ingest(self, claim: Claim, batch: SpoolBatch) -> int:
        with writing(self._database) as connection:
            known = self._known.pop(claim.attempt_id, Known())
            offset, known = ingest(connection, claim, batch, known)
        self._known[claim.attempt_id] = known  # only now: of an undone transaction nothing is
        return offset

    def ingest_late(self, claim: Claim, batch: SpoolBatch) -> int:
        with writing(self._database) as connection:
            offset, _ = ingest(connection, claim, batch, Known(), is_late=True)
        return offset

    def finish(self, claim: Claim, ending: Ending) -> None:
        with writing(self._database) as connection:
            leases.finish(connection, claim, ending)
        self._known.pop(claim.attempt_id, None)

    def requeue(self, run_ids: Sequence[str], *, by: str) -> tuple[str, ...]:
        with writing(self._database) as connection:
            return leases.requeue(connection, run_ids, by)

    def start_over(self, run_ids: Sequence[str], *, by: str) -> tuple[str, ...]:
        with writing(self._database) as connection:
            return leases.start_over(connection, run_ids, by)

    def cancel(self, run_ids: Sequence[str], *, by: str) -> tuple[str, ...]:
        with writing(self._database) as connection:
            return leases.cancel(connection, run_ids, by)

    # Imports

    def import_run(self, run: ImportedRun, batches: Iterable[SpoolBatch], *, by: str) -> bool:
        with writing(self._database) as connection:
            claim = imports.begin(connection, run, by)
        if claim is None:
            return False
        for batch in spooled(batches, claim, self._imports):
            self.ingest(claim, batch)
        with writing(self._database) as connection:
            imports.end(connection, claim, run)
        self._known.pop(claim.attempt_id, None)
        return True

    # Reading

    def metric_keys(self, run_ids: Sequence[str]) -> tuple[str, ...]:
        with reading(self._database) as connection:
            return metrics.metric_keys(connection, run_ids)

    def keys_by_run(self, run_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        with reading(self._database) as connection:
            return metrics.keys_by_run(connection, run_ids)

    def curves(
        self,
        run_ids: Sequence[str],
        keys: Sequence[str],
        *,
        first_step: int = 0,
        last_step: int | None = None,
        with_times: bool = True,
    ) -> tuple[Curve, ...]:
        steps = first_step, last_step
        with reading(self._database) as connection:
            return metrics.curves(connection, run_ids, keys, steps=steps, with_times=with_times)

    def stretches(
        self, run_ids: Sequence[str], keys: Sequence[str], width: int
    ) -> tuple[Stretches, ...]:
        with reading(self._database) as connection:
            return metrics.stretches(connection, run_ids, keys, width)

    def stream(self, run_ids: Sequence[str], keys: Sequence[str]) -> Iterator[Curve]:
        with reading(self._database) as connection:
            yield from stream(connection, run_ids, keys)

    def means(
        self, run_ids: Sequence[str], keys: Sequence[str], windows: Sequence[tuple[int, int]]
    ) -> tuple[WindowMean, ...]:
        with reading(self._database) as connection:
            return means(connection, run_ids, keys, windows)

    def outlines(
        self,
        run_ids: Sequence[str],
        keys: Sequence[str],
        *,
        max_points: int,
        first_step: int = 0,
        last_step: int | None = None,
    ) -> tuple[Outline, ...]:
        steps = first_step, last_step
        with reading(self._database) as connection:
            return outlines(connection, run_ids, keys, max_points=max_points, steps=steps)

    def events(self, run_ids: Sequence[str]) -> tuple[tuple[str, Event], ...]:
        with reading(self._database) as connection:
            return metrics.events(connection, run_ids)

    # Mirrors

    def mirror_cursors(self, mirror: str) -> tuple[MirrorCursor, ...]:
        names = list(MirrorCursor.__dataclass_fields__)
        query = select(*(getattr(MirrorCursorRow, name) for name in names))
        query = query.where(MirrorCursorRow.mirror == mirror).order_by(MirrorCursorRow.run_id)
        with reading(self._database) as connection:
            return tuple(map(_cursor, connection.execute(query).mappings()))

    def move_mirror_cursor(self, mirror: str, cursor: MirrorCursor) -> None:
        check_name(mirror, "mirror name")
        check_name(cursor.remote_id, "the mirror's run id")
        row = {name: getattr(cursor, name) for name in MirrorCursor.__dataclass_fields__}
        with writing(self._database) as connection:
            _forget(connection, mirror, [cursor.run_id])
            connection.execute(insert(MirrorCursorRow).values(mirror=mirror, **row))

    def forget_mirror(self, mirror: str, run_ids: Sequence[str] | None = None) -> None:
        with writing(self._database) as connection:
            _forget(connection, mirror, run_ids)


def _cursor(row: RowMapping) -> MirrorCursor:
    fields: dict[str, Any] = dict(row)
    fields["is_finished"] = bool(row["is_finished"])
    return MirrorCursor(**fields)


def _forget(connection: Connection, mirror: str, run_ids: Sequence[str] | None) -> None:
    statement = delete(MirrorCursorRow).where(MirrorCursorRow.mirror == mirror)
    if run_ids is None:
        connection.execute(statement)
        return
    for part in chunks(run_ids):
        connection.execute(statement.where(MirrorCursorRow.run_id.in_(part)))
