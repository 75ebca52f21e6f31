"""Copies and compacts a database while others use it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from ablate.errors import NotFoundError, StoreError, UsageError
from ablate.files import force_to_disk, make_empty
from ablate.store.schema.engine import Database, autocommit, connect
from ablate.store.schema.revision import check_usable, peek


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a database takes on the disk."""

    before_bytes: int
    after_bytes: int


def back_up(url: str, target: Path | None = None) -> Path:
    """Copy an SQLite database as it is at one moment; others may read and write meanwhile.

    Args:
        url: Of the database.
        target: The file to make; None for one beside the database with the time in its name.

    Returns:
        The copy, which is on the disk.

    Raises:
        NotFoundError: If there is no database.
        UsageError: If the target exists, or the database is a server's.
        StoreError: If the copy cannot be made; then no file is left.
    """
    with closing(connect(url, read_only=True)) as database:
        if database.path is None:
            raise UsageError(
                "ablate db backup copies SQLite files; this database is a server's",
                hint=f"run: pg_dump --format=custom --file=FILE '{database.shown}'",
            )
        source = _existing(url, database)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = (target or source.with_name(f"{source.name}.{stamp}.bak")).absolute()
    if target.exists():
        raise UsageError(f"{target} exists already", hint="name another file")
    copy_file(source, target)
    return target


def _existing(url: str, database: Database) -> Path:
    path = database.path
    if path is None or not path.exists():
        raise NotFoundError(f"there is no database {database.shown}")
    check_usable(peek(url))
    return path


def copy_file(source: Path, target: Path) -> None:
    """Copy an SQLite file that others may use meanwhile, to where nothing is yet.

    The copy is made under another name first, so that a name never stands for half of it.

    Raises:
        StoreError: If the copy cannot be made; then no file is left.
    """
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    make_empty(part)
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(part)) as copy,
        ):
            original.backup(copy)
        force_to_disk(part)
        part.rename(target)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        hint = "check that its folder exists, may be written and has space"
        raise StoreError(f"{target} cannot be written: {error}", hint=hint) from error


def running_runners(connection: Connection) -> frozenset[str]:
    """Return the runners that hold runs, of whatever revision the schema is."""
    query = """
        SELECT DISTINCT attempts.runner FROM attempts JOIN runs ON runs.id = attempts.run_id
        WHERE attempts.state = 'running' AND runs.trainer <> 'imported'
    """
    return frozenset(connection.execute(text(query)).scalars())


def vacuum(url: str) -> Sizes:
    """Give the space of removed rows back and let the planner count rows anew.

    Raises:
        NotFoundError: If there is no database.
        StoreUnavailableError: If another process holds it for too long.
    """
    with closing(connect(url)) as database:
        if database.path is None:
            check_usable(peek(url))
            return _vacuum_server(database)
        return _vacuum_file(database, _existing(url, database))


def _vacuum_file(database: Database, path: Path) -> Sizes:
    before = path.stat().st_size
    with autocommit(database) as connection:
        connection.execute("VACUUM")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Sizes(before, path.stat().st_size)


def _vacuum_server(database: Database) -> Sizes:
    size = "SELECT pg_database_size(current_database())"
    with autocommit(database) as connection:
        before = connection.execute(size).fetchone()[0]
        connection.execute("VACUUM (ANALYZE)")
        return Sizes(before, connection.execute(size).fetchone()[0])
