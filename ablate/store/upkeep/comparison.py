"""Two databases side by side, row by row, in the same order; each difference as a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, zip_longest
from typing import Any

from sqlalchemy import Connection, and_, func, select, text

from ablate.domain import AttemptState
from ablate.store.schema.changes import TABLES
from ablate.store.schema.models import (
    AttemptRow,
    CheckpointRow,
    CodeRow,
    EventRow,
    MetricKeyRow,
    PointRow,
    RollupRow,
    SeriesRow,
    StepRow,
)
from ablate.store.schema.revision import VERSION_TABLE
from ablate.store.schema.rollups import bucket_of, rollup
from ablate.store.schema.rows import decode
from ablate.store.schema.statements import AnyRow, AnySelect
from ablate.store.upkeep.replay import FROM_SPOOLS

_STREAM = {"yield_per": 2000}
_MASTER = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
_ROLLUP = tuple(RollupRow.__table__.columns.keys())[1:]


class DatabaseComparison:
    """Gathers how a database differs from one that was made anew.

    Args:
        here: The database.
        there: What it should be, as far as ``whole`` says.
        whole: Runs whose spools were all read to the end.
    """

    def __init__(self, here: Connection, there: Connection, whole: Collection[str]) -> None:
        self._here = here
        self._there = there
        self._whole = whole
        self.differences: list[str] = []

    def compare_schema(self) -> None:
        """Compare how tables, indexes and views are defined, in SQLite."""
        if self._here.dialect.name == "sqlite":
            here, there = (
                [(*row[:3], " ".join((row[3] or "").split())) for row in rows]
                for rows in (c.execute(text(_MASTER)).all() for c in (self._here, self._there))
            )
            names = {row[1] for row in there}
            # The planner's own tables, and those of others, are none of ours.
            mine = [row for row in here if row[1] in names or row[2] in {r[2] for r in there}]
            self._pair("definition of", mine, there, ("type", "name", "table", "text"))
        version = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
        here, there = (c.execute(version).all() for c in (self._here, self._there))
        self._pair("revision", here, there, ("number",))

    def compare_rows(self) -> None:
        """Compare the tables that the journal has."""
        for name, table in TABLES.items():
            query = select(table).order_by(*table.primary_key)
            columns = tuple(table.columns.keys())
            here, there = (self._rows(c, name, columns, query) for c in (self._here, self._there))
            self._pair(name, here, there, columns)

    def _rows(
        self, connection: Connection, name: str, columns: Sequence[str], query: AnySelect
    ) -> Iterator[tuple[Any, ...]]:
        for row in connection.execute(query, execution_options=_STREAM):
            yield tuple(self._attempt(row)) if name == "attempts" else _plain(row)

    def _attempt(self, row: AnyRow) -> Iterator[Any]:
        """Yield the columns of an attempt, ``…`` for those that are not known a second time."""
        is_running = row.state == AttemptState.RUNNING.value
        for name, value in zip(TABLES["attempts"].columns.keys(), _plain(row), strict=True):
            is_open = name in FROM_SPOOLS and row.run_id not in self._whole
            is_open = is_open or name == "code_id" or (name == "beats" and is_running)
            yield "…" if is_open else value

    def compare_content(self) -> None:
        """Compare what the spools have; of runs without them, rollups with points."""
        query = select(AttemptRow.id, AttemptRow.run_id, AttemptRow.number).order_by(AttemptRow.id)
        for attempt in self._there.execute(query).all():
            where = f"run {attempt.run_id}, attempt {attempt.number}"
            if attempt.run_id in self._whole:
                self._compare_attempt(attempt.id, where)
            else:
                for name, series_id in _series(self._here, attempt.id):
                    self._compare_rollups(series_id, f"{where}, {name}")
        self._find_strays()

    def _compare_attempt(self, attempt_id: int, where: str) -> None:
        steps = select(StepRow.step, StepRow.time).where(StepRow.attempt_id == attempt_id)
        self._both(f"{where}, steps", steps.order_by(StepRow.step))
        events = select(EventRow.step, EventRow.name, EventRow.data, EventRow.time)
        events = events.where(EventRow.attempt_id == attempt_id).order_by(EventRow.id)
        self._both(f"{where}, events", events)
        made = select(CheckpointRow.__table__).where(CheckpointRow.attempt_id == attempt_id)
        self._both(f"{where}, checkpoints", made.order_by(CheckpointRow.step))
        code = select(CodeRow.sha256).join(AttemptRow, AttemptRow.code_id == CodeRow.id)
        self._both(f"{where}, code", code.where(AttemptRow.id == attempt_id))
        here, there = (sorted(_series(c, attempt_id)) for c in (self._here, self._there))
        ours, theirs = ([(name,) for name, _ in each] for each in (here, there))
        if self._pair(f"{where}, metric keys", ours, theirs, ("name",)):
            return
        for (name, ours), (_, theirs) in zip(here, there, strict=True):
            points = _points(self._here, ours), _points(self._there, theirs)
            self._pair(f"{where}, {name}", points[0], points[1], _POINT)
            rollups = _stored_rollups(self._here, ours), _stored_rollups(self._there, theirs)
            self._pair(f"{where}, rollups of {name}", rollups[0], rollups[1], _ROLLUP)

    def _compare_rollups(self, series_id: int, where: str) -> None:
        found = _stored_rollups(self._here, series_id)
        right = _right_rollups(self._here, series_id)
        self._pair(f"{where}: rollups", found, right, _ROLLUP)

    def _find_strays(self) -> None:
        """Find rows that belong to no attempt, series or key, and codes under a wrong digest."""
        for part in (StepRow, EventRow, CheckpointRow, SeriesRow):
            table = part.__tablename__
            stray = part.attempt_id.not_in(select(AttemptRow.id))
            self._count(f"{table} of no attempt", select(func.count()).where(stray))
        for part in (PointRow, RollupRow):
            stray = part.series_id.not_in(select(SeriesRow.id))
            self._count(f"{part.__tablename__} of no series", select(func.count()).where(stray))
        stray = SeriesRow.key_id.not_in(select(MetricKeyRow.id))
        self._count("series of no key", select(func.count()).where(stray))
        for row in self._here.execute(select(CodeRow.sha256, CodeRow.content)):
            if hashlib.sha256(row.content.encode()).hexdigest() != row.sha256:
                self._add(f"codes: the content of {row.sha256[:12]}… has another digest")

    def _count(self, what: str, query: AnySelect) -> None:
        if number := self._here.execute(query).scalar_one():
            self._add(f"{number} {what}")

    def _both(self, what: str, query: AnySelect) -> None:
        here, there = (
            map(_plain, c.execute(query, execution_options=_STREAM))
            for c in (self._here, self._there)
        )
        self._pair(what, here, there, tuple(query.selected_columns.keys()))

    def _pair(
        self,
        what: str,
        here: Iterable[Sequence[Any]],
        there: Iterable[Sequence[Any]],
        columns: Sequence[str],
    ) -> bool:
        """Take note of the first row that differs; return whether one does."""
        for ours, theirs in zip_longest(here, there):
            if repr(ours) != repr(theirs):  # tells 1 from 1.0
                self._add(f"{what}: {_difference(ours, theirs, columns)}")
                return True
        return False

    def _add(self, difference: str) -> None:
        self.differences.append(difference)


_POINT = ("step", "value", "kind", "time")


def _points(connection: Connection, series_id: int) -> Iterator[tuple[Any, ...]]:
    """Yield points with the time that they have; where it is written depends on the batches."""
    time = func.coalesce(PointRow.time, StepRow.time)
    of_step = and_(StepRow.attempt_id == SeriesRow.attempt_id, StepRow.step == PointRow.step)
    query = (
        select(PointRow.step, PointRow.value, PointRow.kind, time)
        .join(SeriesRow, SeriesRow.id == PointRow.series_id)
        .outerjoin(StepRow, of_step)
        .where(PointRow.series_id == series_id)
        .order_by(PointRow.step)
    )
    return map(_plain, connection.execute(query, execution_options=_STREAM))


def _series(connection: Connection, attempt_id: int) -> list[tuple[str, int]]:
    query = select(MetricKeyRow.name, SeriesRow.id).join_from(SeriesRow, MetricKeyRow)
    rows = connection.execute(query.where(SeriesRow.attempt_id == attempt_id))
    return [(row[0], row[1]) for row in rows]


def _stored_rollups(connection: Connection, series_id: int) -> Iterator[tuple[Any, ...]]:
    query = select(*(getattr(RollupRow, name) for name in _ROLLUP))
    query = query.where(RollupRow.series_id == series_id).order_by(RollupRow.bucket)
    return map(_plain, connection.execute(query, execution_options=_STREAM))


def _right_rollups(connection: Connection, series_id: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rollups that follow from the points of a series."""
    points = _points(connection, series_id)
    for bucket, group in groupby(points, key=lambda point: bucket_of(point[0])):
        rows = list(group)
        values = [decode(value, kind) for _, value, kind, _ in rows]
        yield _plain(rollup(series_id, bucket, [row[0] for row in rows], values)[1:])


def _plain(row: Iterable[Any]) -> tuple[Any, ...]:
    """Return a row as SQLite gives it back: flags are numbers, and zero has no sign."""
    return tuple(map(_plain_value, row))


def _plain_value(value: Any) -> Any:
    if type(value) is float:
        return value + 0.0
    return int(value) if type(value) is bool else value


def _difference(
    ours: Sequence[Any] | None, theirs: Sequence[Any] | None, columns: Sequence[str]
) -> str:
    if ours is None:
        return f"the row {_shown(theirs)} is missing"
    if theirs is None:
        return f"the row {_shown(ours)} is too much"
    parts = [
        f"{name} is {_short(our)}, should be {_short(their)}"
        for name, our, their in zip(columns, ours, theirs, strict=True)
        if repr(our) != repr(their)
    ]
    return f"in the row of {_short(ours[0])} {'; '.join(parts[:3])}"


def _shown(row: Sequence[Any] | None) -> str:
    return ", ".join(_short(value) for value in (row or ())[:4])


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
