"""What a transaction has changed of that which no spool has, for the journal.

Whoever changes rows of studies, runs or attempts says of which study or run they are. When the
transaction is about to commit, those rows are read as they are by then, given a number, and written
into the journal. Only the way from the spools into SQL is not in it: the spools have that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.orm import aliased

from ablate.errors import StoreGoneError
from ablate.store.schema.journal import Deleted, Journal, Rows, database_of
from ablate.store.schema.models import (
    AttemptRow,
    JournalRow,
    RunRow,
    StudyRow,
    StudyRunRow,
    TransitionRow,
    VariantRow,
)
from ablate.store.schema.statements import AnySelect, chunks

_TOUCHED = "ablate_touched"
_PART_BYTES = 1 << 20

TABLES: Mapping[str, Table] = {
    model.__tablename__: cast("Table", model.__table__)
    for model in (StudyRow, VariantRow, RunRow, StudyRunRow, AttemptRow, TransitionRow)
}
"""What the journal holds; each table behind those that it refers to."""


@dataclass(slots=True)
class _Touched:
    """What a transaction has changed."""

    studies: set[int] = field(default_factory=set[int])
    runs: set[str] = field(default_factory=set[str])
    whole_runs: set[str] = field(default_factory=set[str])
    """Those of which all attempts are written, not the newest alone."""
    deleted: set[str] = field(default_factory=set[str])


def touch_study(connection: Connection, study_id: int) -> None:
    """Say that a study, its variants, or which runs they want has changed."""
    _touched(connection).studies.add(study_id)


def touch_run(connection: Connection, run_id: str, *, with_all_attempts: bool = False) -> None:
    """Say that a run or its newest attempt has changed, or any of them."""
    touched = _touched(connection)
    (touched.whole_runs if with_all_attempts else touched.runs).add(run_id)


def touch_deleted(connection: Connection, run_id: str) -> None:
    """Say that a run was deleted."""
    _touched(connection).deleted.add(run_id)


def _touched(connection: Connection) -> _Touched:
    return connection.info.setdefault(_TOUCHED, _Touched())


def forget(connection: Connection) -> None:
    """Forget what an earlier transaction on the connection has touched, which was undone."""
    connection.info.pop(_TOUCHED, None)


def record(connection: Connection, journal: Journal | None) -> None:
    """Number what this transaction has changed, and write it down. It has to commit next.

    The number's row is locked from here to the end, so that changes are written one by one, in the
    order of their numbers.

    Raises:
        StoreUnavailableError: If it cannot be written; the transaction has to be undone.
        StoreGoneError: If the database is another than the journal's.
    """
    touched: _Touched | None = connection.info.pop(_TOUCHED, None)
    if touched is None:
        return
    number = update(JournalRow).values(seq=JournalRow.seq + 1)
    row = connection.execute(number.returning(JournalRow.database, JournalRow.seq)).one()
    if journal is None:
        return
    if row.database != database_of(journal.path):
        raise StoreGoneError(
            f"the database is another than when it was opened: {row.database}, not "
            f"{database_of(journal.path)}",
            hint="what was logged is safe in the spools: put the right one back",
        )
    journal.look()
    if journal.follows(row.seq):
        journal.append(row.seq, _changed(connection, touched))
    else:
        journal.begin_anew(row.seq, everything(connection))


def numbered(connection: Connection) -> tuple[str, int]:
    """Return the id of the database and the number of its last change."""
    row = connection.execute(select(JournalRow.database, JournalRow.seq)).one()
    return row.database, row.seq


def catch_up(connection: Connection, journal: Journal) -> None:
    """Write the journal anew if it lacks changes: those of before there was one, or of elsewhere.

    Raises:
        StoreUnavailableError: If it cannot be written.
    """
    seq = connection.execute(select(JournalRow.seq).with_for_update()).scalar_one()
    journal.look()
    if not journal.follows(seq + 1):
        journal.begin_anew(seq, everything(connection))


def everything(connection: Connection) -> Iterator[Rows]:
    """Yield all rows that a journal holds."""
    for name, table in TABLES.items():
        yield from _rows(connection, name, select(table))


def _changed(connection: Connection, touched: _Touched) -> Iterator[Rows | Deleted]:
    yield from map(Deleted, sorted(touched.deleted))
    all_runs = sorted(touched.runs | touched.whole_runs)
    yield from _of(connection, "studies", StudyRow.id, touched.studies)
    yield from _of(connection, "variants", VariantRow.study_id, touched.studies)
    yield from _of(connection, "runs", RunRow.id, all_runs)
    yield from _of(connection, "study_runs", StudyRunRow.study_id, touched.studies)
    yield from _of(connection, "attempts", AttemptRow.run_id, touched.whole_runs)
    newer = aliased(AttemptRow)
    newest = select(func.max(newer.number)).where(newer.run_id == AttemptRow.run_id)
    is_newest = AttemptRow.number == newest.scalar_subquery()
    yield from _of(connection, "attempts", AttemptRow.run_id, touched.runs, is_newest)
    token = select(RunRow.token).where(RunRow.id == TransitionRow.run_id).scalar_subquery()
    is_new = TransitionRow.token == token
    yield from _of(connection, "transitions", TransitionRow.run_id, all_runs, is_new)


def _of(
    connection: Connection, name: str, column: Any, values: Iterable[Any], *conditions: Any
) -> Iterator[Rows]:
    for part in chunks(sorted(values)):
        query = select(TABLES[name]).where(column.in_(part), *conditions)
        yield from _rows(connection, name, query)


def _rows(connection: Connection, name: str, query: AnySelect) -> Iterator[Rows]:
    """Yield rows in pieces of about a megabyte."""
    columns = tuple(TABLES[name].columns.keys())
    rows: list[list[Any]] = []
    size = 0
    for row in connection.execute(query, execution_options={"yield_per": 500}):
        rows.append(list(row))
        size += sum(len(value) for value in row if isinstance(value, str))
        if size > _PART_BYTES or len(rows) >= 10_000:
            yield Rows(name, columns, rows)
            rows, size = [], 0
    if rows:
        yield Rows(name, columns, rows)
