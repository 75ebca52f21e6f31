"""What is particular to PostgreSQL: points by COPY."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL

from ablate.errors import StoreUnavailableError
from ablate.store.rows import FullRow, NewRows

_COPY_PLAIN = "COPY points (series_id, step, value) FROM STDIN (FORMAT binary)"
_PLAIN_TYPES = ("int4", "int8", "float8")
_COPY = "COPY points (series_id, step, value, kind, time) FROM STDIN (FORMAT binary)"
_TYPES = (*_PLAIN_TYPES, "int2", "float8")
_UPSERT = """
    INSERT INTO points (series_id, step, value, kind, time) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (series_id, step)
    DO UPDATE SET value = excluded.value, kind = excluded.kind, time = excluded.time
"""


def make_engine(url: URL, *, read_only: bool) -> Engine:
    """Return an engine for a server.

    Raises:
        StoreUnavailableError: If psycopg is not installed.
    """
    arguments: dict[str, Any] = {"connect_timeout": 10, "application_name": "ablate"}
    if read_only:
        arguments["options"] = "-c default_transaction_read_only=on"
    try:
        return create_engine(
            url, pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args=arguments
        )
    except ModuleNotFoundError as error:
        raise StoreUnavailableError(
            "PostgreSQL needs the package psycopg",
            hint="pip install 'ablate-studies[postgres]'",
        ) from error


def write_points(connection: Connection, new: NewRows, others: Iterable[FullRow]) -> None:
    """Store points; of one (series, step) the last counts.

    Args:
        connection: In a transaction that writes.
        new: Points that are surely not stored yet: COPY knows no conflicts.
        others: Points that may be, also twice.
    """
    cursor: Any = connection.connection.cursor()
    _copy(cursor, _COPY_PLAIN, _PLAIN_TYPES, new.plain)
    _copy(cursor, _COPY, _TYPES, new.full)
    cursor.executemany(_UPSERT, others)
    cursor.close()


def _copy(cursor: Any, statement: str, types: Sequence[str], rows: Iterable[Any]) -> None:
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    with cursor.copy(statement) as copy:
        copy.set_types(types)
        copy.write_row(first)
        for row in rows:
            copy.write_row(row)
