"""What is particular to PostgreSQL: points by COPY."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL

from ablate.errors import StoreUnavailableError
from ablate.store.rows import PointRow

_COLUMNS = "(attempt_id, key_id, step, value, kind, time)"
_TYPES = ("int4", "int4", "int8", "float8", "int2", "float8")
_COPY = f"COPY points {_COLUMNS} FROM STDIN (FORMAT binary)"
_UPSERT = f"""
    INSERT INTO points {_COLUMNS} VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (attempt_id, key_id, step)
    DO UPDATE SET value = excluded.value, kind = excluded.kind, time = excluded.time
"""  # noqa: S608 - made of constants


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


def write_points(
    connection: Connection, new: Iterable[PointRow], others: Iterable[PointRow]
) -> None:
    """Store points; of one (attempt, key, step) the last counts.

    Args:
        connection: In a transaction that writes.
        new: Points that are surely not stored yet, none twice: COPY knows no conflicts.
        others: Points that may be.
    """
    cursor: Any = connection.connection.cursor()
    first = next(iter(new := iter(new)), None)
    if first is not None:
        with cursor.copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for row in chain((first,), new):
                copy.write_row(row)
    cursor.executemany(_UPSERT, others)
    cursor.close()
