"""Connections and transactions, and the one place where a driver's error becomes ours."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from ablate.errors import StoreError, StoreUnavailableError, UsageError
from ablate.store import postgres, sqlite

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
    except ArgumentError as error:
        raise UsageError("the database URL cannot be read", hint=_URL_FORMS) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database not in (None, "", ":memory:") and not parsed.query:
        return parsed
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise UsageError(f"database URL '{_masked(parsed)}' is not supported", hint=_URL_FORMS)


_URL_FORMS = "use sqlite:///PATH or postgresql://USER@HOST/NAME"


def sqlite_path(url: URL) -> Path | None:
    """Return the file of an SQLite URL, None for a server."""
    return Path(cast("str", url.database)).absolute() if url.drivername == "sqlite" else None


def connect(url: str, *, read_only: bool = False) -> Database:
    """Return the database; nothing is opened yet.

    Raises:
        UsageError: If the URL is not supported.
        StoreUnavailableError: If its driver is not installed.
    """
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path:
        return Database(sqlite.make_engine(path, read_only=read_only), f"sqlite:///{path}", path)
    return Database(postgres.make_engine(parsed, read_only=read_only), _masked(parsed), None)


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
    writes fails at once when another wrote in between.
    """
    with _translated(database), database.engine.connect() as connection:
        connection.execution_options(**{sqlite.WRITES: True})
        with connection.begin():
            yield connection


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


def _store_error(database: Database, error: BaseException) -> StoreError:
    """Say which database, what its driver said, and what to do."""
    password = database.engine.url.password
    text = " ".join(str(error).split()) or type(error).__name__
    if password:
        text = text.replace(str(password), "***")
    hint = next((hint for part, hint in _HINTS.items() if part in text), None)
    kind = StoreUnavailableError if _is_outage(error) else StoreError
    return kind(f"database {database.shown}: {text}", hint=hint)


def _is_outage(error: BaseException) -> bool:
    """Whether it may pass by itself. A file that is damaged, or no database, will not heal."""
    names = {kind.__name__ for kind in type(error).__mro__}
    faults = {"IntegrityError", "ProgrammingError", "DataError", "NotSupportedError"}
    return not names & faults and type(error).__name__ != "DatabaseError"


def _masked(url: URL) -> str:
    secret = {"password": "***"} if "password" in url.query else {}
    return url.update_query_dict(secret).render_as_string(hide_password=True)
