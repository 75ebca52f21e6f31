"""Makes a database anew from the journal and the spools, whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from ablate.errors import StoreError, UsageError
from ablate.files import force_to_disk
from ablate.store.schema.engine import Database, connect, parse_url, reading, sqlite_path, writing
from ablate.store.schema.journal import Deleted, Journal, Rows, database_of
from ablate.store.schema.models import (
    AttemptRow,
    PointRow,
    RunRow,
    SeriesRow,
    StudyRow,
    StudyRunRow,
    VariantRow,
)
from ablate.store.schema.revision import peek
from ablate.store.upkeep.migrate import upgrade
from ablate.store.upkeep.replay import Replay, SpoolFault, SpoolOf

_BESIDE = ("", "-wal", "-shm", "-journal")
"""What may belong to an SQLite file, as ends of its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoredRun:
    """A run that is in the database again."""

    run_id: str
    label: str
    """``study/variant-s0``, the id alone for a run that is in no study."""
    attempts: int
    points: int
    faults: tuple[str, ...]
    """What is not there again, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What was restored."""

    studies: int
    runs: tuple[RestoredRun, ...]
    set_aside: Path | None = None
    """The file that was there before."""


def rebuild(
    url: str, journal: Journal | None, more: Iterable[Rows | Deleted], spool_of: SpoolOf
) -> Restored:
    """Make a database anew.

    Args:
        url: Where. An SQLite file that is there is set aside, never deleted; a server's database
            must be empty.
        journal: Of the database that was lost, None where there is none.
        more: Rows that the journal lacks.
        spool_of: Where the spools are.

    Raises:
        UsageError: If a server's database has rows.
        StoreError: If it cannot be written; then what is there stays as it is.
    """
    path = sqlite_path(parse_url(url))
    if path is None:
        _refuse_rows(url)
        upgrade(url)
        return _fill(connect(url), journal, more, spool_of)
    aside = path.with_name(f"{path.name}.rebuilding")
    _remove(aside)
    try:
        upgrade(f"sqlite:///{aside}")
        restored = _fill(connect(f"sqlite:///{aside}"), journal, more, spool_of)
        _make_one_file(aside)
        old = _set_aside(path)
        aside.replace(path)
        force_to_disk(path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be made anew: {error.strerror}") from error
    finally:
        with suppress(OSError):
            _remove(aside)
    return replace(restored, set_aside=old)


def _fill(
    database: Database,
    journal: Journal | None,
    more: Iterable[Rows | Deleted],
    spool_of: SpoolOf,
) -> Restored:
    with closing(database), writing(database) as connection:
        replay = Replay(connection, spool_of)
        replay.put(chain(journal.read() if journal else (), more))
        replay.read_spools()
        if journal and journal.changes:
            replay.number(database_of(journal.path), journal.changes[-1].seq)
        else:
            replay.number(None, 0)
        studies = connection.execute(select(func.count()).select_from(StudyRow)).scalar_one()
        runs = tuple(_restored(connection, replay.faults))
    return Restored(studies=studies, runs=runs)


def _restored(connection: Connection, faults: list[SpoolFault]) -> Iterable[RestoredRun]:
    labels = _labels(connection)
    points = (
        select(AttemptRow.run_id, func.count())
        .join(SeriesRow, SeriesRow.attempt_id == AttemptRow.id)
        .join(PointRow, PointRow.series_id == SeriesRow.id)
        .group_by(AttemptRow.run_id)
    )
    counted = {row[0]: row[1] for row in connection.execute(points)}
    made = select(AttemptRow.run_id, func.count()).group_by(AttemptRow.run_id)
    attempts = {row[0]: row[1] for row in connection.execute(made)}
    for run_id in connection.execute(select(RunRow.id).order_by(RunRow.created_at)).scalars():
        yield RestoredRun(
            run_id=run_id,
            label=labels.get(run_id, run_id),
            attempts=attempts.get(run_id, 0),
            points=counted.get(run_id, 0),
            faults=tuple(f"attempt {f.attempt}: {f.text}" for f in faults if f.run_id == run_id),
        )


def _labels(connection: Connection) -> dict[str, str]:
    """Return run id -> how it is called in the oldest study that wants it."""
    query = (
        select(RunRow.id, RunRow.seed, StudyRow.name.label("study"), VariantRow.name)
        .join(StudyRunRow, StudyRunRow.run_id == RunRow.id)
        .join(StudyRow, StudyRow.id == StudyRunRow.study_id)
        .join(VariantRow, VariantRow.id == StudyRunRow.variant_id)
        .order_by(StudyRunRow.is_wanted, StudyRow.id.desc())
    )
    rows = connection.execute(query)
    return {row.id: f"{row.study}/{row.name}-s{row.seed}" for row in rows}


def _refuse_rows(url: str) -> None:
    schema = peek(url)
    if schema.is_empty:
        return
    is_empty = schema.revision is not None
    with closing(connect(url, read_only=True)) as database, reading(database) as connection:
        for name in ("runs", "studies") if is_empty else ():
            found = connection.execute(text(f"SELECT 1 FROM {name} LIMIT 1"))  # noqa: S608
            is_empty = is_empty and found.first() is None
    if not is_empty:
        raise UsageError(
            f"database {schema.shown} is not empty",
            hint="make an empty one, name it with --db or in ablate.toml, and rebuild that",
        )


def _make_one_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    force_to_disk(path)


def _set_aside(path: Path) -> Path | None:
    """Rename a file that is there, with what belongs to it; return its new name."""
    present = [end for end in _BESIDE if Path(f"{path}{end}").exists()]
    if not present:
        return None
    names = (
        path.with_name(f"{path.name}.damaged{n}") for n in chain([""], map(".{}".format, count(2)))
    )
    free = next(name for name in names if not any(Path(f"{name}{e}").exists() for e in _BESIDE))
    for end in reversed(present):  # the file itself last: what is beside it must not outlive it
        Path(f"{path}{end}").replace(f"{free}{end}")
    return free


def _remove(path: Path) -> None:
    for end in _BESIDE:
        Path(f"{path}{end}").unlink(missing_ok=True)
