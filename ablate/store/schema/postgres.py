"""What is particular to PostgreSQL: points by COPY."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from ablate.errors import StoreUnavailableError
from ablate.store.schema.rollups import Summaries
from ablate.store.schema.rows import FullRow, NewRows

_INSERT_STEPS = """
    INSERT INTO steps (attempt_id, step, time)
    SELECT %s::int4, * FROM unnest(%s::int8[], %s::float8[]) ON CONFLICT DO NOTHING
"""
_COPY_STEPS = "COPY steps (attempt_id, step, time) FROM STDIN (FORMAT binary)"
_COPY_PLAIN = "COPY points (series_id, step, value) FROM STDIN (FORMAT binary)"
_THREE_FIELDS = [
    ("n_fields", ">i2"),
    ("owner_bytes", ">i4"),
    ("owner", ">i4"),
    ("step_bytes", ">i4"),
    ("step", ">i8"),
    ("number_bytes", ">i4"),
    ("number", ">f8"),
]
_COPY_START, _COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_COPY = "COPY points (series_id, step, value, kind, time) FROM STDIN (FORMAT binary)"
_TYPES = ("int4", "int8", "float8", "int2", "float8")
_UPSERT = """
    INSERT INTO points (series_id, step, value, kind, time) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (series_id, step)
    DO UPDATE SET value = excluded.value, kind = excluded.kind, time = excluded.time
"""


_COPY_ROLLUPS = (
    "COPY rollups (series_id, n, n_nan, n_pos_inf, n_neg_inf, first_at, min_at, max_at, last_at,"
    " bucket, sum, first, min, max, last) FROM STDIN (FORMAT binary)"
)
_ROLLUP_TYPES = ("int4", *["int2"] * 8, "int8", *["float8"] * 5)
_DELETE_ROLLUPS = """
    DELETE FROM rollups USING unnest(%s::int4[], %s::int8[]) AS old(series_id, bucket)
    WHERE rollups.series_id = old.series_id AND rollups.bucket = old.bucket
"""


_LIVENESS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""Seconds, the last in ms: a server that vanished without a word is noticed in half a minute."""


def make_engine(url: URL, *, read_only: bool, wait_s: float) -> Engine:
    """Return an engine for a server; its statements wait so long for the locks of others.

    Raises:
        StoreUnavailableError: If psycopg is not installed.
    """
    arguments: dict[str, Any] = {"application_name": "ablate", **_LIVENESS}
    if read_only:
        arguments["options"] = "-c default_transaction_read_only=on"
    try:
        engine = create_engine(
            url, pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args=arguments
        )
    except ModuleNotFoundError as error:
        raise StoreUnavailableError(
            "PostgreSQL needs the package psycopg",
            hint="pip install 'ablate-studies[postgres]'",
        ) from error
    if not read_only:
        event.listen(engine, "connect", partial(_limit_waits, wait_s))
    return engine


def _limit_waits(wait_s: float, connection: Any, _record: object) -> None:
    """Have the server end what would wait for hours: for a lock, or for a client that vanished."""
    connection.execute("SET idle_in_transaction_session_timeout = '60s'")
    connection.execute(f"SET lock_timeout = '{wait_s * 1000:.0f}ms'")
    connection.commit()


def write_steps(
    connection: Connection, attempt_id: int, times: Mapping[int, float], last_step: int
) -> None:
    """Store when steps were logged; of a step that is stored already the time stays.

    Args:
        connection: In a transaction that writes.
        attempt_id: Whose steps they are.
        times: Step -> Unix seconds.
        last_step: The largest step that is stored, -1 for none.
    """
    new = {step: time for step, time in times.items() if step > last_step}
    others = {step: time for step, time in times.items() if step <= last_step}
    cursor: Any = connection.connection.cursor()
    if new:
        _copy_columns(cursor, _COPY_STEPS, [(attempt_id, list(new.keys()), list(new.values()))])
    if others:
        cursor.execute(_INSERT_STEPS, (attempt_id, list(others.keys()), list(others.values())))
    cursor.close()


def write_points(connection: Connection, new: NewRows, others: Iterable[FullRow]) -> None:
    """Store points; of one (series, step) the last counts.

    Args:
        connection: In a transaction that writes.
        new: Points that are surely not stored yet: COPY knows no conflicts.
        others: Points that may be, also twice.
    """
    cursor: Any = connection.connection.cursor()
    if new.plain:
        _copy_columns(cursor, _COPY_PLAIN, new.plain)
    _copy(cursor, _COPY, _TYPES, new.full)
    cursor.executemany(_UPSERT, others)
    cursor.close()


def write_summaries(connection: Connection, summaries: Summaries) -> None:
    """Store summaries, instead of older ones of the same buckets."""
    cursor: Any = connection.connection.cursor()
    if summaries.replaced:
        cursor.execute(_DELETE_ROLLUPS, tuple(map(list, zip(*summaries.replaced, strict=True))))
    _copy(cursor, _COPY_ROLLUPS, _ROLLUP_TYPES, summaries.rollups)
    cursor.close()


def _copy_columns(
    cursor: Any, statement: str, columns: Iterable[tuple[int, Sequence[int], Sequence[float]]]
) -> None:
    """Copy (owner, step, number), laid out by NumPy as COPY wants it: no Python object for each.

    Source: PostgreSQL documentation, "COPY", section "Binary Format".
    """
    import numpy as np

    with cursor.copy(statement) as copy:
        copy.write(_COPY_START)
        for owner, steps, numbers in columns:
            rows = np.empty(len(steps), _THREE_FIELDS)
            rows["n_fields"], rows["owner_bytes"], rows["owner"] = 3, 4, owner
            rows["step_bytes"], rows["step"] = 8, steps
            rows["number_bytes"], rows["number"] = 8, numbers
            copy.write(rows.tobytes())
        copy.write(_COPY_END)


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
