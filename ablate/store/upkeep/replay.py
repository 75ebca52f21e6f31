"""Fills an empty database with what is on the disk: the journal's rows, then the spools' content.

The spools of a run are read in the order of its attempts, as they were read at first, so that what
a resume replaced is replaced again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Table, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from ablate.domain import IMPORTED, AttemptState, Claim, Run, RunState
from ablate.errors import StoreError
from ablate.spool.spool import SpoolReader
from ablate.store.schema.changes import TABLES
from ablate.store.schema.journal import Deleted, Rows
from ablate.store.schema.models import AttemptRow, JournalRow, RunRow, TransitionRow
from ablate.store.schema.statements import AnyRow
from ablate.store.writing.ingest import Known, ingest
from ablate.store.writing.orphans import delete_rows

STARTED_OVER = "started over"
"""Reason of the transition after which earlier attempts count no more."""
FROM_SPOOLS: Mapping[str, Any] = {
    "has_started": False,
    "start_step": None,
    "first_step": None,
    "code_id": None,
    "cut_step": None,
    "last_step": -1,
    "spool_offset": 0,
    "inexact": None,
}
"""Columns of an attempt that follow from spools, and what they are before anything was read."""
_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Spool(NamedTuple):
    """Where the content of an attempt lies."""

    path: Path
    until: int | None = None
    """Up to which byte it counts, None for all of it."""


SpoolOf = Callable[[str, int, int, bool], Spool]
"""Run id, number and id of the attempt, whether it was imported -> its spool."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoolFault:
    """Why not all of an attempt is there."""

    run_id: str
    attempt: int
    kind: Literal["missing", "damaged"]
    text: str


@dataclass(slots=True)
class _Noted:
    """What the journal says of an attempt beside what is written at once."""

    run_id: str
    state: str
    followed: Mapping[str, Any]
    """The columns `FROM_SPOOLS` as they were when it was written down."""


class Replay:
    """Fills a database; all in the transaction of a connection.

    Args:
        connection: To a database with the newest schema and without rows.
        spool_of: Where the spools are.
    """

    def __init__(self, connection: Connection, spool_of: SpoolOf) -> None:
        self._connection = connection
        self._spool_of = spool_of
        self._noted: dict[int, _Noted] = {}
        self.faults: list[SpoolFault] = []

    def put(self, content: Iterable[Rows | Deleted]) -> None:
        """Write what a journal says; of an attempt what follows from spools is left open."""
        parents: dict[str, str] = {}
        for part in content:
            if isinstance(part, Deleted):
                delete_rows(self._connection, part.run_id)
                self._noted = {k: a for k, a in self._noted.items() if a.run_id != part.run_id}
                parents.pop(part.run_id, None)
                continue
            rows: list[dict[str, Any]] = [
                dict(zip(part.columns, row, strict=True)) for row in part.rows
            ]
            if part.table == "runs":  # a run may come before the one that it begins from
                parents |= {row["id"]: row["parent_id"] for row in rows if row["parent_id"]}
                rows = [row | {"parent_id": None} for row in rows]
            if part.table == "attempts":
                self._noted.update((row["id"], _noted(row)) for row in rows)
                rows = [{**row, **FROM_SPOOLS} for row in rows]
            _put(self._connection, TABLES[part.table], rows)
        for run_id, parent_id in parents.items():
            change = update(RunRow).where(RunRow.id == run_id)
            self._connection.execute(change.values(parent_id=parent_id))

    def read_spools(self) -> None:
        """Write what the spools hold; what is missing or damaged is in ``faults`` then."""
        query = (
            select(
                AttemptRow.id,
                AttemptRow.run_id,
                AttemptRow.number,
                AttemptRow.token,
                AttemptRow.state,
                RunRow.trainer,
            )
            .join(RunRow, RunRow.id == AttemptRow.run_id)
            .order_by(RunRow.created_at, AttemptRow.run_id, AttemptRow.number)
        )
        rows = self._connection.execute(query).all()
        for run_id, attempts in groupby(rows, key=lambda row: row.run_id):
            self._read_run(run_id, list(attempts))

    def _read_run(self, run_id: str, attempts: list[AnyRow]) -> None:
        query = select(TransitionRow.token).where(TransitionRow.run_id == run_id)
        query = query.where(TransitionRow.reason == STARTED_OVER).order_by(TransitionRow.token)
        starts = list(self._connection.execute(query).scalars())
        for attempt in attempts:
            while starts and starts[0] < attempt.token:
                self._cut_before(run_id, starts.pop(0))
            self._read_attempt(attempt)
        if starts:
            self._cut_before(run_id, starts[-1])

    def _cut_before(self, run_id: str, token: int) -> None:
        change = update(AttemptRow).where(AttemptRow.run_id == run_id, AttemptRow.token < token)
        self._connection.execute(change.values(cut_step=-1))

    def _read_attempt(self, attempt: AnyRow) -> None:
        noted = self._noted[attempt.id]
        is_imported = attempt.trainer == IMPORTED
        spool = self._spool_of(attempt.run_id, attempt.number, attempt.id, is_imported)
        this = update(AttemptRow).where(AttemptRow.id == attempt.id)
        self._connection.execute(this.values(state=AttemptState.RUNNING.value))
        is_there = self._ingest(attempt, spool)
        values: dict[str, Any] = {"state": noted.state}
        if not is_there:
            values |= {name: noted.followed[name] for name in noted.followed if name != "code_id"}
        elif is_imported:  # counts batches, not bytes
            values["spool_offset"] = noted.followed["spool_offset"]
        self._connection.execute(this.values(**values))

    def _ingest(self, attempt: AnyRow, spool: Spool) -> bool:
        """Write one spool; return whether there is one."""
        claim = Claim(
            attempt_id=attempt.id,
            attempt=attempt.number,
            run=_run(attempt.run_id),
            token=attempt.token,
        )
        known = Known()
        try:
            with closing(SpoolReader(spool.path)) as reader:
                owner = reader.attempt_id()
                if owner is None:
                    if self._never_wrote(attempt, spool):
                        return True
                    self._fault(attempt, "missing", f"{spool.path} is not there")
                    return False
                if owner != attempt.id:
                    self._fault(attempt, "missing", f"{spool.path} is of attempt {owner}")
                    return False
                while (batch := reader.read(until=spool.until)).end_offset > batch.start_offset:
                    _, known = ingest(self._connection, claim, batch, known)
        except StoreError as error:
            self._fault(attempt, "damaged", error.message)
        return True

    def _never_wrote(self, attempt: AnyRow, spool: Spool) -> bool:
        """Whether it was over before its trainer began: then there is no spool to miss."""
        noted = self._noted[attempt.id]
        is_over = noted.state != AttemptState.RUNNING.value
        return spool.until == 0 or (is_over and noted.followed["spool_offset"] == 0)

    def _fault(self, attempt: AnyRow, kind: Literal["missing", "damaged"], said: str) -> None:
        fault = SpoolFault(run_id=attempt.run_id, attempt=attempt.number, kind=kind, text=said)
        self.faults.append(fault)

    def number(self, database: str | None, seq: int) -> None:
        """Say which database it is, None for a new one, and how many changes it has seen."""
        values: dict[str, Any] = {"seq": seq} | ({"database": database} if database else {})
        self._connection.execute(update(JournalRow).values(**values))
        if self._connection.dialect.name == "postgresql":
            _move_sequences(self._connection)


def _noted(row: Mapping[str, Any]) -> _Noted:
    followed = {name: row.get(name, default) for name, default in FROM_SPOOLS.items()}
    return _Noted(row["run_id"], row["state"], followed)


def _put(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Write rows, each instead of the one with its key."""
    keys = [column.name for column in table.primary_key]
    statement = _INSERT[connection.dialect.name](table)
    others = {n: statement.excluded[n] for n in rows[0] if n not in keys}
    upsert = statement.on_conflict_do_update(index_elements=keys, set_=others)
    for start in range(0, len(rows), 1000):
        connection.execute(upsert, rows[start : start + 1000])


def _run(run_id: str) -> Run:
    """Return as much of a run as whoever ingests looks at."""
    return Run(
        id=run_id,
        study="",
        variant="",
        seed=0,
        identity="",
        config={},
        trainer="",
        state=RunState.RUNNING,
        attempts=1,
        step=None,
        checkpoint_step=None,
        reason=None,
        wall_s=0.0,
    )


def _move_sequences(connection: Connection) -> None:
    """Have PostgreSQL give new rows numbers behind those that were written with theirs."""
    for name in ("studies", "variants", "attempts", "transitions"):
        sequence = f"pg_get_serial_sequence('{name}', 'id')"
        last = f"(SELECT coalesce(max(id), 0) + 1 FROM {name})"  # noqa: S608 - names of our own
        connection.execute(text(f"SELECT setval({sequence}, {last}, false)"))
