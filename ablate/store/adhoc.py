"""A question in SQL that somebody typed: answered in pieces, and unable to change anything.

SQLite: the file is opened read-only, and an authorizer lets through what reads alone; PRAGMA,
ATTACH and VACUUM INTO could otherwise write other files. PostgreSQL: a read-only transaction with
a cursor declared for the query, which takes one SELECT and no COPY, in the extended protocol, which
takes one statement. What a server's functions may do is up to the account's rights.
"""

from __future__ import annotations

import math
import re
import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from ablate.domain import POINT_COLUMNS
from ablate.errors import StoreUnavailableError, UsageError, closest
from ablate.store import prepare
from ablate.store.schema.engine import Database, connect, reading
from ablate.store.schema.models import Base
from ablate.text import text_fault

_ROWS = 5_000
"""Rows that a server sends at once."""
_CHECK_EVERY = 10_000
"""Instructions of SQLite's machine between two looks at the clock: well under a millisecond."""
_READS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"}
)
_FUNCTIONS_THAT_ACT = frozenset({"load_extension", "writefile", "edit"})
_NO_COLUMN = re.compile(
    r"no such column: (?:\w+\.)*(\w+)|column \"?(?:\w+\.)*(\w+)\"? does not exist"
)
_NO_TABLE = re.compile(r"no such table: (?:\w+\.)*(\w+)|relation \"(?:\w+\.)*(\w+)\" does not")
_HINT = "it takes one SELECT; the view run_metrics has the points"


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a query."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    """Read as it is consumed."""


@contextmanager
def querying(url: str, query: str, *, timeout_s: float | None = None) -> Generator[Answer]:
    """Open the answer to a query; it ends with the context.

    Args:
        url: Of the results database.
        query: One statement that reads.
        timeout_s: Give up after so many seconds; None for never.

    Raises:
        UsageError: If it is no such statement, cannot be understood, or took too long.
        NotFoundError: If there is no database.
        StoreError: If the database cannot be read.
    """
    text = query.strip().rstrip(";").strip()
    if not text:
        raise UsageError("the query is empty", hint=_HINT)
    if fault := text_fault(text):
        raise UsageError(f"the query {fault}", hint=_HINT)
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise UsageError(f"a timeout of {timeout_s} s is none", hint="write a number of seconds")
    prepare(url, read_only=True)
    with closing(connect(url, read_only=True)) as database, reading(database) as connection:
        ask = _ask_sqlite if database.path else _ask_postgres
        with ask(database, connection, text, timeout_s) as answer:
            yield answer


@contextmanager
def _ask_sqlite(
    database: Database, connection: Connection, query: str, timeout_s: float | None
) -> Generator[Answer]:
    raw: Any = connection.connection.dbapi_connection
    deadline = None if timeout_s is None else time.monotonic() + timeout_s

    def is_late() -> bool:
        return deadline is not None and time.monotonic() > deadline

    raw.execute("PRAGMA query_only = ON")
    raw.set_authorizer(_authorize)
    raw.set_progress_handler(is_late, _CHECK_EVERY)
    cursor = raw.cursor()
    try:
        with _explained(database, timeout_s):
            cursor.execute(query)
            yield _answer(cursor)
    finally:
        cursor.close()
        raw.set_progress_handler(None, 0)
        raw.set_authorizer(None)


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action == sqlite3.SQLITE_FUNCTION:
        is_harmless = (second or "").lower() not in _FUNCTIONS_THAT_ACT
    elif action == sqlite3.SQLITE_PRAGMA:
        is_harmless = (first or "").lower() in _PRAGMAS
    else:
        is_harmless = action in _READS
    return sqlite3.SQLITE_OK if is_harmless else sqlite3.SQLITE_DENY


@contextmanager
def _ask_postgres(
    database: Database, connection: Connection, query: str, timeout_s: float | None
) -> Generator[Answer]:
    raw: Any = connection.connection.dbapi_connection
    with _explained(database, timeout_s):
        raw.execute("SET TRANSACTION READ ONLY")
        if timeout_s is not None:
            raw.execute(f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))}")
        with raw.cursor(name="ablate_sql") as cursor:
            cursor.itersize = _ROWS
            cursor.execute(query)
            yield _answer(cursor)


def _answer(cursor: Any) -> Answer:
    if cursor.description is None:
        raise UsageError("the query has no result", hint=_HINT)
    return Answer(tuple(column[0] for column in cursor.description), iter(cursor))


@contextmanager
def _explained(database: Database, timeout_s: float | None) -> Generator[None]:
    """Say what is wrong with a query in one line, without the driver's decoration."""
    driver = database.engine.dialect.loaded_dbapi
    try:
        yield
    except (driver.Error, sqlite3.Warning) as error:
        diagnosis = getattr(error, "diag", None)
        said = getattr(diagnosis, "message_primary", None) or " ".join(str(error).split())
        if "interrupted" in said or "statement timeout" in said:
            raise UsageError(
                f"the query took longer than {timeout_s:g} s",
                hint="raise --timeout, or ask for less",
            ) from error
        if isinstance(error, driver.OperationalError) and _is_outage(said, diagnosis):
            raise StoreUnavailableError(f"database {database.shown}: {said}") from error
        raise UsageError(f"SQL: {said}", hint=_name_hint(said) or _HINT) from error


def _name_hint(said: str) -> str | None:
    """Return the column of the view, or the table, that was meant where a query names none."""
    if found := _NO_TABLE.search(said):
        meant = closest(found[1] or found[2], [*Base.metadata.tables, "run_metrics"])
        return f"did you mean {meant}? the view run_metrics has the points" if meant else None
    found = _NO_COLUMN.search(said)
    meant = closest(found[1] or found[2], POINT_COLUMNS) if found else None
    return f"did you mean {meant}? run_metrics has {', '.join(POINT_COLUMNS)}" if meant else None


def _is_outage(said: str, diagnosis: Any) -> bool:
    """Whether the database failed, not the query: SQLite calls both operational errors."""
    if diagnosis is not None:
        return diagnosis.sqlstate is None
    return any(part in said for part in ("locked", "disk", "unable to open", "malformed"))
