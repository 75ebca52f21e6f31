"""Bounds and peers with the interface of `stores`: context managers that yield ``write``.

Bounds keep numbers for runs and keys and nothing else: no names, no times, no attempts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

import numpy as np
from common import KEYS, postgres
from stores import Block, Write

BUCKET = 100
"""Steps that a rollup sums up."""
POINTS = """
    CREATE TABLE points (run INTEGER NOT NULL, key INTEGER NOT NULL, step INTEGER NOT NULL,
    value REAL, PRIMARY KEY (run, key, step)) WITHOUT ROWID
"""
ROLLUPS = """
    CREATE TABLE rollups (run INTEGER NOT NULL, key INTEGER NOT NULL, bucket INTEGER NOT NULL,
    n INTEGER, total REAL, low REAL, high REAL, PRIMARY KEY (run, key, bucket)) WITHOUT ROWID
"""
SERVER_POINTS = """
    CREATE TABLE points (run int, key int, step int, value float8,
    PRIMARY KEY (run, key, step) INCLUDE (value))
"""
INSERT = "INSERT INTO points VALUES (?, ?, ?, ?)"
COPY = "COPY points FROM STDIN (FORMAT binary)"
TUPLE = np.dtype(
    [
        *(("fields", ">i2"), ("run size", ">i4"), ("run", ">i4"), ("key size", ">i4")),
        *(("key", ">i4"), ("step size", ">i4"), ("step", ">i4"), ("value size", ">i4")),
        ("value", ">f8"),
    ]
)
"""A row as PostgreSQL's binary COPY has it."""
COPY_HEAD, COPY_TAIL = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


def frames(n_runs: int, steps: int, size: int) -> Iterator[tuple[int, int, Block]]:
    """Yield (run, first step, block) as runs that train at the same time deliver them."""
    whole = [values(run, steps) for run in range(n_runs)]
    for start in range(0, steps, size):
        for run, block in enumerate(whole):
            yield run, start, block[start : start + size]


def values(run: int, steps: int) -> Block:
    """Return what a run logs, steps x keys."""
    return np.random.default_rng(run).standard_normal((steps, len(KEYS)))


def tuples(run: int, start: int, block: Block) -> Iterator[tuple[int, int, int, float]]:
    """Return the points of a block as (run, key, step, value)."""
    steps = np.arange(start, start + len(block)).repeat(block.shape[1]).tolist()
    return zip(repeat(run), cycle(range(block.shape[1])), steps, block.ravel().tolist())


def open_sqlite(path: Path) -> sqlite3.Connection:
    """Open a file as the product's store does: WAL, synced at checkpoints."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


@contextmanager
def sqlite_rows(folder: str | Path) -> Generator[Write]:
    """SQLite rows, and nothing beside them."""
    with closing(open_sqlite(Path(folder, "points.db"))) as connection:
        connection.execute(POINTS)

        def write(run: int, start: int, block: Block) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, tuples(run, start, block))
            connection.execute("COMMIT")

        yield write


@contextmanager
def sqlite_rollups(folder: str | Path) -> Generator[Write]:
    """SQLite rows with a rollup of each hundred steps; blocks have to be whole hundreds."""
    with closing(open_sqlite(Path(folder, "points.db"))) as connection:
        connection.execute(POINTS)
        connection.execute(ROLLUPS)
        insert = "INSERT INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?)"

        def write(run: int, start: int, block: Block) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, tuples(run, start, block))
            connection.executemany(insert, _rollups(run, start, block))
            connection.execute("COMMIT")

        yield write


def _rollups(run: int, start: int, block: Block) -> Iterator[tuple[Any, ...]]:
    parts = block.reshape(-1, BUCKET, block.shape[1])
    for number, part in enumerate(parts, start // BUCKET):
        numbers = zip(*(f(part, axis=0).tolist() for f in (np.sum, np.min, np.max)), strict=True)
        for key, (total, low, high) in enumerate(numbers):
            yield run, key, number, BUCKET, total, low, high


@contextmanager
def copy_rows(folder: str | Path) -> Generator[Write]:
    """PostgreSQL by binary COPY, row by row from Python objects."""
    with _server(folder) as connection:

        def write(run: int, start: int, block: Block) -> None:
            with connection.cursor().copy(COPY) as copy:
                copy.set_types(["int4", "int4", "int4", "float8"])
                for row in tuples(run, start, block):
                    copy.write_row(row)

        yield write


@contextmanager
def copy_arrays(folder: str | Path) -> Generator[Write]:
    """PostgreSQL by binary COPY whose bytes NumPy lays out."""
    with _server(folder) as connection:

        def write(run: int, start: int, block: Block) -> None:
            made = np.full(block.size, np.array((4, 4, run, 4, 0, 4, 0, 8, 0.0), TUPLE))
            made["key"] = np.tile(np.arange(block.shape[1]), len(block))
            made["step"] = np.arange(start, start + len(block)).repeat(block.shape[1])
            made["value"] = block.ravel()
            with connection.cursor().copy(COPY) as copy:
                copy.write(COPY_HEAD + made.tobytes() + COPY_TAIL)

        yield write


@contextmanager
def _server(folder: str | Path) -> Generator[Any]:
    import psycopg

    with psycopg.connect(postgres(folder), autocommit=True) as connection:
        connection.execute(SERVER_POINTS)
        yield connection


@contextmanager
def duckdb_arrow(folder: str | Path) -> Generator[Write]:
    """DuckDB's own file, from Arrow tables."""
    import duckdb  # type: ignore[import-not-found]
    import pyarrow

    with duckdb.connect(Path(folder, "points.duckdb")) as connection:
        connection.execute("CREATE TABLE points (run INT, key INT, step INT, value DOUBLE)")

        def write(run: int, start: int, block: Block) -> None:
            columns = {
                "run": np.full(block.size, run, np.int32),
                "key": np.tile(np.arange(block.shape[1], dtype=np.int32), len(block)),
                "step": np.arange(start, start + len(block), dtype=np.int32).repeat(block.shape[1]),
                "value": block.ravel(),
            }
            connection.register("arrived", pyarrow.table(columns))
            connection.execute("INSERT INTO points SELECT * FROM arrived")

        yield write
