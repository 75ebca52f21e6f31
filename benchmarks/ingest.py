"""How fast points get into SQL, durable, beside raw rows and raw COPY; and what they take.

Each batch is one transaction of 1 000 steps of 20 keys; the runs take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import cycle, repeat
from pathlib import Path
from typing import TypeAlias

import numpy as np
from common import (
    KEYS,
    RAW_INSERT,
    RAW_TABLE,
    Row,
    arguments,
    claimed,
    disk_bytes,
    postgres,
    raw_sqlite,
    report,
)

from ablate.store.base import SpoolBatch, StepValues

BATCH = 1000
Work: TypeAlias = list[tuple[int, int]]
"""(run, which of its batches), in order of arrival."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10)
    options = arguments(parser)
    n_batches = max(1, options.points // (options.runs * BATCH * len(KEYS)))
    work = [(run, part) for part in range(n_batches) for run in range(options.runs)]
    rows = [measure("raw SQLite rows", work, _raw_rows), measure("ablate, SQLite", work, _ablate)]
    rows += _duckdb(work)
    with postgres() as make:
        if make:
            for name, write in (("raw COPY", _raw_copy), ("ablate, PostgreSQL", _ablate_server)):
                url = make(write.__name__.strip("_"))
                rows.append(measure(name, work, lambda _, works, w=write, u=url: w(u, works)))
    report(f"Ingest of {len(work) * BATCH * len(KEYS):,} points", rows, options.json)


def block(run: int, part: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return steps x keys."""
    return np.random.default_rng((run, part)).standard_normal((BATCH, len(KEYS)))


def measure(
    name: str, work: Work, write: Callable[[Path, Work], Iterator[Callable[[], object]]]
) -> Row:
    """Return points a second, CPU of this process, bytes on the disk.

    Only what ``write`` yields is timed: a call for each batch, then one that makes all durable.
    """
    wall = cpu = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for step in write(Path(folder), work):
            start, start_cpu = time.perf_counter(), time.process_time()
            step()
            wall, cpu = wall + time.perf_counter() - start, cpu + time.process_time() - start_cpu
        n_points = len(work) * BATCH * len(KEYS)
        size = disk_bytes(Path(folder)) / n_points
    shown = {"points/s": n_points / wall, "CPU us/point": cpu / n_points * 1e6}
    return {"writer": name, **shown, "bytes/point": size or ""}


def tuples(run: int, part: int) -> Iterator[tuple[int, int, int, float]]:
    """Return (run, key, step, value) of one batch."""
    steps = np.arange(part * BATCH, (part + 1) * BATCH).repeat(len(KEYS)).tolist()
    return zip(repeat(run), cycle(range(len(KEYS))), steps, block(run, part).ravel().tolist())


def _raw_rows(folder: Path, work: Work) -> Iterator[Callable[[], object]]:
    connection = raw_sqlite(folder / "raw.db")

    def write(rows: Iterable[tuple[int, int, int, float]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(RAW_INSERT, rows)
        connection.execute("COMMIT")

    for run, part in work:
        yield partial(write, tuples(run, part))
    yield connection.close


def _ablate(folder: Path, work: Work) -> Iterator[Callable[[], object]]:
    return _ablate_server(f"sqlite:///{folder}/ablate.db", work)


def _ablate_server(url: str, work: Work) -> Iterator[Callable[[], object]]:
    with claimed(url, 1 + max(run for run, _ in work)) as (store, claims):
        for run, part in work:
            yield partial(store.ingest, claims[run], spool_batch(run, part))
        yield store.close


def spool_batch(run: int, part: int) -> SpoolBatch:
    """Return one batch as a reader of spools does."""
    values = map(tuple, block(run, part).tolist())
    steps = range(part * BATCH, (part + 1) * BATCH)
    made = tuple(
        StepValues(step, float(step), KEYS, row) for step, row in zip(steps, values, strict=True)
    )
    return SpoolBatch(start_offset=part, end_offset=part + 1, logs=made, has_started=part == 0)


def _raw_copy(url: str, work: Work) -> Iterator[Callable[[], object]]:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        table = RAW_TABLE.replace("REAL", "float8").replace("WITHOUT ROWID", "")
        connection.execute(table.replace("(run, key, step)", "(run, key, step) INCLUDE (value)"))

        def write(rows: Iterable[tuple[int, int, int, float]]) -> None:
            with connection.cursor().copy("COPY points FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int4", "int4", "int4", "float8"])
                for row in rows:
                    copy.write_row(row)

        for run, part in work:
            yield partial(write, tuples(run, part))


def _duckdb(work: Work) -> list[Row]:
    try:
        import duckdb  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        return []
    return [measure("DuckDB from NumPy", work, _duckdb_rows)]


def _duckdb_rows(folder: Path, work: Work) -> Iterator[Callable[[], object]]:
    import duckdb  # type: ignore[import-not-found]

    connection = duckdb.connect(folder / "points.duckdb")
    connection.execute("CREATE TABLE points (run INT, key INT, step INT, value DOUBLE)")

    def write(columns: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]) -> None:
        connection.register("columns", columns)
        connection.execute("INSERT INTO points SELECT run, key, step, value FROM columns")

    for run, part in work:
        columns = map(np.array, zip(*tuples(run, part), strict=True))
        yield partial(write, dict(zip(("run", "key", "step", "value"), columns, strict=True)))
    yield connection.close


if __name__ == "__main__":
    main()
