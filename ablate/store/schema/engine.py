"""Connections and transactions, and the one place where a driver's error becomes ours."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from ablate.addresses import is_secret, masked
from ablate.errors import StoreError, StoreUnavailableError, UsageError
from ablate.store.schema import changes, postgres, sqlite
from ablate.store.schema.filesystems import refuse_network_fs
from ablate.store.schema.journal import Journal
from ablate.store.schema.open_file import OpenFile
from ablate.text import text_fault

for _library in ("sqlalchemy", "psycopg"):
    # What they log of a lost connection they raise too; without a handler it would be printed.
    logging.getLogger(_library).addHandler(logging.NullHandler())

_HINTS = {
    "database is locked": "another process holds it; try again when it is done",
    "database or disk is full": "free some space; nothing that was stored is lost",
    "I/O error": "check the disk and its free space; nothing that was stored is lost",
    "readonly": "the file and its folder must be writable",
    "unable to open": "check that the folder exists and may be written",
    "malformed": "`ablate db check` says more; points can be read again from the spools",
    "not a database": "the file is something else; name another one",
    "could not connect": "check that the server runs and the URL is right",
    "connection": "check that the server runs and the URL is right",
}


@dataclass(frozen=True, slots=True)
class Database:
    """A database that can be connected to."""

    engine: Engine
    shown: str
    """Its URL without a password."""
    path: Path | None
    """Its file, None for a server."""
    journal: Journal | None = None
    """Where changes are written down; None for nowhere."""
    file: OpenFile | None = None
    """Tells when the file is another; None for a server, and for who reads only."""

    def close(self) -> None:
        """Give its connections back."""
        self.engine.dispose()


def parse_url(url: str) -> URL:
    """Return the URL of a database, given that or the path of an SQLite file.

    Raises:
        UsageError: If it is neither.
    """
    try:
        parsed = make_url(url) if "://" in url else URL.create("sqlite", database=url)
    except (ArgumentError, ValueError) as error:  # no number for a port, no end of an IPv6 address
        raise UsageError("the database URL cannot be read", hint=_URL_FORMS) from error
    backend = parsed.get_backend_name()
    file = (parsed.database or "").strip()
    if backend == "sqlite" and file not in ("", ":memory:") and not parsed.query:
        return parsed
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise UsageError(f"database URL '{_masked(parsed)}' is not supported", hint=_URL_FORMS)


_URL_FORMS = "use sqlite:///PATH or postgresql://USER@HOST/NAME"


def sqlite_path(url: URL) -> Path | None:
    """Return the file of an SQLite URL, None for a server."""
    return Path(cast("str", url.database)).absolute() if url.drivername == "sqlite" else None


WAIT_S = 60.0
"""How long a command waits for others who write."""


def connect(url: str, *, read_only: bool = False, wait_s: float = WAIT_S) -> Database:
    """Return the database; nothing is opened yet.

    Args:
        url: Of the database.
        read_only: Open it without the right to write.
        wait_s: How long what is written waits for others who write.

    Raises:
        UsageError: If the URL is not supported.
        StoreUnavailableError: If its driver is not installed.
        StoreError: If it is to be written to over a network; see `refuse_network_fs`.
    """
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path and read_only:
        return Database(sqlite.make_engine(path, None, wait_s), f"sqlite:///{path}", path)
    if path:
        refuse_network_fs(path)
        file = OpenFile(path)
        engine = sqlite.make_engine(path, file, wait_s)
        return Database(engine, f"sqlite:///{path}", path, file=file)
    try:
        engine = postgres.make_engine(parsed, read_only=read_only, wait_s=wait_s)
    except (ArgumentError, ValueError) as error:  # parameters that its driver does not take
        said = masked(" ".join(str(error).split()), _secrets(parsed))
        raise UsageError(f"database URL '{_masked(parsed)}': {said}", hint=_URL_FORMS) from error
    return Database(engine, _masked(parsed), None)


@contextmanager
def reading(database: Database) -> Generator[Connection]:
    """Open a transaction that sees one snapshot."""
    with _translated(database), database.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def writing(database: Database) -> Generator[Connection]:
    """Open a transaction that may write; an exception undoes it.

    On SQLite it holds the write lock from the start: a transaction that reads first and then
    writes fails at once when another wrote in between. What was changed is in the journal before it
    is committed.

    Raises:
        StoreGoneError: If the file is another than the one that was opened.
    """
    if database.file:
        database.file.check()
    with _translated(database), database.engine.connect() as connection:
        connection.execution_options(**{sqlite.WRITES: True})
        with connection.begin():
            changes.forget(connection)
            yield connection
            changes.record(connection, database.journal)


@contextmanager
def autocommit(database: Database) -> Generator[Any]:
    """Open the driver's own connection outside of any transaction, for what cannot be in one."""
    with _translated(database), closing(database.engine.raw_connection()) as connection:
        driver: Any = connection.driver_connection
        if database.path is None:
            driver.autocommit = True
        yield driver
        if database.path is None:
            driver.autocommit = False


@contextmanager
def _translated(database: Database) -> Generator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _store_error(database, error.orig or error) from error
    except SQLAlchemyError as error:
        raise _store_error(database, error) from error
    except database.engine.dialect.loaded_dbapi.Error as error:
        raise _store_error(database, error) from error
    except UnicodeEncodeError as error:  # bytes that are no UTF-8, typed as a name
        raise UsageError(f"{error.object[:60]!a} {text_fault(error.object)}") from error


def _store_error(database: Database, error: BaseException) -> StoreError:
    """Say which database, what its driver said, and what to do."""
    text = masked(" ".join(str(error).split()), _secrets(database.engine.url))
    text = text or type(error).__name__
    hint = next((hint for part, hint in _HINTS.items() if part in text), None)
    kind = StoreUnavailableError if _is_outage(error) else StoreError
    return kind(f"database {database.shown}: {text}", hint=hint)


def _is_outage(error: BaseException) -> bool:
    """Whether it may pass by itself. A file that is damaged, or no database, will not heal."""
    names = {kind.__name__ for kind in type(error).__mro__}
    faults = {"IntegrityError", "ProgrammingError", "DataError", "NotSupportedError"}
    return not names & faults and type(error).__name__ != "DatabaseError"


def _masked(url: URL) -> str:
    return masked(url.render_as_string(hide_password=True), _secrets(url))


def _secrets(url: URL) -> list[str]:
    """Return the password of a URL and what its parameters keep secret."""
    values = [value for name, value in url.normalized_query.items() if is_secret(name)]
    return [*([str(url.password)] if url.password else []), *chain.from_iterable(values)]
