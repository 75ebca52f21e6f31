"""Many processes that write to one database: points a second, commit times, what is missing.

Ours on SQLite and PostgreSQL beside raw rows with BEGIN IMMEDIATE and raw COPY, which do the same
work: transactions of 50 steps of 20 keys, each writer its own run, as fast as the store takes them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import quantiles
from typing import Any, TypeAlias

import numpy as np
from bounds import COPY, INSERT, POINTS, SERVER_POINTS, open_sqlite, tuples
from common import KEYS, Row, arguments, claimed, fresh, is_installed, postgres, report, scratch
from ingest import SERVER
from stores import Block, spool_batch

from ablate.domain import Claim
from ablate.store import open_store

STEPS = 50
"""Of a transaction."""
N_POINTS = STEPS * len(KEYS)
Write: TypeAlias = Callable[[int, Block], object]
Open: TypeAlias = Callable[[str, Any], Write]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A store, and how a writer opens and feeds it."""

    open: Open
    """From the URL and what names the writer's run to what writes the steps from one on."""
    table: str
    """What has a row for each point."""
    needs: tuple[str, ...] = ()


def ours(url: str, claim: Claim) -> Write:
    """Write as a runner does."""
    store = open_store(url)
    return lambda start, block: store.ingest(claim, spool_batch(start, block))


def raw_sqlite(url: str, run: int) -> Write:
    """Write rows, with the lock from the start."""
    connection = connect(url)

    def write(start: int, block: Block) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(INSERT, tuples(run, start, block))
            connection.execute("COMMIT")
        except sqlite3.Error:
            connection.execute("ROLLBACK")
            raise

    return write


def raw_copy(url: str, run: int) -> Write:
    """Write rows by COPY, each a transaction."""
    connection = connect(url)

    def write(start: int, block: Block) -> None:
        with connection.cursor().copy(COPY) as copy:
            copy.set_types(["int4", "int4", "int4", "float8"])
            for row in tuples(run, start, block):
                copy.write_row(row)

    return write


KINDS = {
    "raw SQLite rows": Kind(open=raw_sqlite, table="points"),
    "ablate, SQLite": Kind(open=ours, table="run_metrics"),
    "raw COPY": Kind(open=raw_copy, table="points", needs=SERVER),
    "ablate, PostgreSQL": Kind(open=ours, table="run_metrics", needs=SERVER),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = arguments(parser)
    names = [name for name, kind in KINDS.items() if is_installed(name, kind.needs)]
    rows = [turn(name, options.writers, options.seconds) for name in names]
    title = f"{options.writers} writers for {options.seconds:g} s, {STEPS} steps a transaction"
    report(title, rows, options.json)


def turn(name: str, n_writers: int, seconds: float) -> Row:
    """Measure one store below a process of its own."""
    with scratch() as folder:
        return fresh(measure, name, n_writers, seconds, folder, folder=folder)


def measure(name: str, n_writers: int, seconds: float, folder: Path) -> Row:
    """Let processes write at the same time; count afterwards what is there."""
    kind = KINDS[name]
    with made(kind, folder, n_writers) as (url, runs):
        found = race(kind.open, url, runs, seconds)
        stored = dict(execute(url, f"SELECT run, count(*) FROM {kind.table} GROUP BY run"))
    commits = [ms for turn in found for ms in turn.commits_ms]
    each = [len(turn.commits_ms) for turn in found]
    names = [run.run.id if isinstance(run, Claim) else run for run in runs]
    missing = [n * N_POINTS - stored.get(name, 0) for n, name in zip(each, names, strict=True)]
    percents = quantiles(commits, n=100)
    return {
        "store": name,
        "points/s": len(commits) * N_POINTS / max(turn.busy_s for turn in found),
        "commit ms, median": percents[49],
        "p99": percents[98],
        "max": max(commits),
        "fewest commits": min(each),
        "most": max(each),
        "lost": sum(n for n in missing if n > 0),
        "doubled": -sum(n for n in missing if n < 0),
        "errors": sum(turn.errors for turn in found),
    }


@contextmanager
def made(kind: Kind, folder: Path, n: int) -> Generator[tuple[str, Sequence[Claim | int]]]:
    """Yield the URL of a new store and the writers' runs."""
    url = postgres(folder) if kind.needs else f"sqlite:///{folder}/points.db"
    if kind.open is ours:
        with claimed(url, n) as (_, claims):
            yield url, claims
    else:
        execute(url, SERVER_POINTS if kind.needs else POINTS)
        yield url, range(n)


def execute(url: str, statement: str) -> list[Any]:
    """Execute one statement; return its rows."""
    connection = connect(url)
    try:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def connect(url: str) -> Any:
    """Open a database without anything of ours."""
    if url.startswith("sqlite:///"):
        return open_sqlite(Path(url.removeprefix("sqlite:///")))
    import psycopg

    return psycopg.connect(url, autocommit=True)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one writer did."""

    commits_ms: list[float]
    errors: int
    busy_s: float


def race(open_: Open, url: str, runs: Sequence[Claim | int], seconds: float) -> list[Turn]:
    """Return what each writer did, all in processes that begin at once."""
    context = multiprocessing.get_context("spawn")
    barrier, done = context.Barrier(len(runs)), context.SimpleQueue()
    writers = [
        context.Process(target=write, args=(number, open_, url, run, seconds, barrier, done))
        for number, run in enumerate(runs)
    ]
    for writer in writers:
        writer.start()
    found = dict(done.get() for _ in writers)
    for writer in writers:
        writer.join()
    return [found[number] for number in range(len(runs))]


def write(
    number: int,
    open_: Open,
    url: str,
    run: Claim | int,
    seconds: float,
    barrier: Barrier,
    done: SimpleQueue[tuple[int, Turn]],
) -> None:
    """Write until the time is over; what failed is tried again."""
    write_block = open_(url, run)
    commits: list[float] = []
    errors = 0
    barrier.wait()
    begun = time.perf_counter()
    while (start := time.perf_counter()) < begun + seconds:
        block = np.full((STEPS, len(KEYS)), 0.5 * len(commits))
        try:
            write_block(len(commits) * STEPS, block)
        except Exception:
            errors += 1
            continue
        commits.append((time.perf_counter() - start) * 1000)
    done.put((number, Turn(commits, errors, time.perf_counter() - begun)))


if __name__ == "__main__":
    main()
