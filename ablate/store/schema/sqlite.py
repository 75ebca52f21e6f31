"""What is particular to SQLite: one writer at a time, WAL, and points by ``executemany``."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from ablate.files import make_empty
from ablate.store.schema.open_file import OpenFile
from ablate.store.schema.rollups import Summaries
from ablate.store.schema.rows import FullRow, NewRows

WRITES = "ablate_writes"
"""Execution option of a connection: its next transaction writes."""
BUSY_TIMEOUT_S = 15.0
_INSERT_STEP = "INSERT OR IGNORE INTO steps (attempt_id, step, time) VALUES (?, ?, ?)"
# Constants in the statement instead of parameters: a third faster.
_INSERT_PLAIN = "INSERT INTO points (series_id, step, value, kind, time) VALUES (?, ?, ?, 0, NULL)"
_INSERT = (
    "INSERT OR REPLACE INTO points (series_id, step, value, kind, time) VALUES (?, ?, ?, ?, ?)"
)

_ROLLUP = (
    "INSERT OR REPLACE INTO rollups (series_id, n, n_nan, n_pos_inf, n_neg_inf, first_at, min_at,"
    " max_at, last_at, bucket, sum, first, min, max, last)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def make_engine(path: Path, file: OpenFile | None, wait_s: float) -> Engine:
    """Return an engine for a file, only to read without an `OpenFile`.

    Its transactions wait so long for their turn to write.
    """

    def connect() -> sqlite3.Connection:
        if file is None:
            return _connect(path, read_only=True)
        file.check()  # a file that is gone must not be made anew, empty
        connection = _connect(path, read_only=False)
        file.check()
        return connection

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0
    )
    event.listen(engine, "begin", partial(_begin, wait_s))
    return engine


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
    cursor: Any = connection.connection.cursor()
    cursor.executemany(_INSERT_STEP, zip(repeat(attempt_id), times.keys(), times.values()))
    cursor.close()


def write_points(connection: Connection, new: NewRows, others: Iterable[FullRow]) -> None:
    """Store points; of one (series, step) the last counts.

    Args:
        connection: In a transaction that writes.
        new: Points that are surely not stored yet.
        others: Points that may be, also twice.
    """
    cursor: Any = connection.connection.cursor()
    for series_id, steps, values in new.plain:
        cursor.executemany(_INSERT_PLAIN, zip(repeat(series_id), steps, values))
    cursor.executemany(_INSERT, new.full)
    cursor.executemany(_INSERT, others)
    cursor.close()


def write_summaries(connection: Connection, summaries: Summaries) -> None:
    """Store summaries, instead of older ones of the same buckets."""
    cursor: Any = connection.connection.cursor()
    cursor.executemany(_ROLLUP, summaries.rollups)
    cursor.close()


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = f"{path.as_uri()}?mode={'ro' if read_only else 'rwc'}"
    if read_only and not _can_share(path):
        uri += "&immutable=1"
    if not read_only:
        make_empty(path)
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA foreign_keys = ON")
    if not read_only:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _can_share(path: Path) -> bool:
    """Whether a reader can make the WAL's index; else nobody else can be writing either."""
    return os.access(path.parent, os.W_OK) or Path(f"{path}-shm").exists()


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, which the file remembers.

    Switching needs the file alone and does not wait for the busy timeout.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin(wait_s: float, connection: Connection) -> None:
    if not connection.get_execution_options().get(WRITES, False):
        connection.exec_driver_sql("BEGIN")
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        _wait_for_turn(driver, wait_s)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")


def _wait_for_turn(driver: sqlite3.Connection, wait_s: float) -> None:
    """Begin to write once nobody else does.

    SQLite's own wait asks ever more rarely, so that with many writers the newest come first and
    some starve. Here whoever has waited longest asks most often.
    """
    began = time.monotonic()
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            waited = time.monotonic() - began
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or waited > wait_s:
                raise
            time.sleep(random.uniform(0.5, 1.5) * max(3e-4, 5e-3 / (1 + 20 * waited)))
        else:
            return
