"""What a comparison asks of 20 keys x 5 000 steps, beside the same from raw SQLite rows."""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from common import KEYS, RAW_INSERT, Row, arguments, claimed, raw_sqlite, report, timed
from ingest import BATCH, spool_batch, tuples

from ablate.store.base import Store

PARTS = 5
WINDOWS = [(1, 500), (1001, 1500), (2001, 2500), (4500, 4999)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = arguments(parser)
    with tempfile.TemporaryDirectory() as folder:
        raw = raw_sqlite(Path(folder) / "raw.db")
        raw.execute("BEGIN")
        for run in range(options.runs):
            for part in range(PARTS):
                raw.executemany(RAW_INSERT, tuples(run, part))
        raw.execute("COMMIT")
        with claimed(f"sqlite:///{folder}/ablate.db", options.runs) as (store, claims):
            for run, claim in enumerate(claims):
                for part in range(PARTS):
                    store.ingest(claim, spool_batch(run, part))
            ids = [claim.run.id for claim in claims]
            rows = compare(raw, store, ids, options.repeats)
    report(f"{options.runs} runs x {len(KEYS)} keys x {PARTS * BATCH:,} steps", rows, options.json)


def compare(raw: sqlite3.Connection, store: Store, ids: list[str], repeats: int) -> list[Row]:
    """Return milliseconds of each question, ours and from raw rows; the answers are compared."""
    rows: list[Row] = []
    for n_runs in (3, len(ids)):
        found = [mean.mean for mean in store.means(ids[:n_runs], KEYS, WINDOWS)]
        np.testing.assert_allclose(found, raw_means(raw, n_runs), rtol=1e-9, atol=1e-12)
        ours = timed(lambda n=n_runs: store.means(ids[:n], KEYS, WINDOWS), repeats)
        bound = timed(lambda n=n_runs: raw_means(raw, n), repeats)
        rows.append(row(f"means in 4 windows of 20 keys, {n_runs} runs", ours, bound))
    ours = timed(lambda: store.outlines(ids, KEYS[7:8], max_points=500), repeats)
    bound = timed(lambda: raw_curves(raw), repeats)
    return [*rows, row(f"one key's curve of at most 500 points, {len(ids)} runs", ours, bound)]


def raw_means(raw: sqlite3.Connection, n_runs: int) -> list[float]:
    """Return the means by one index seek for each number."""
    query = "SELECT avg(value) FROM points WHERE run = ? AND key = ? AND step BETWEEN ? AND ?"
    return [
        raw.execute(query, (run, key, *window)).fetchone()[0]
        for run in range(n_runs)
        for key in range(len(KEYS))
        for window in WINDOWS
    ]


def raw_curves(raw: sqlite3.Connection) -> list[tuple[int, int, float]]:
    """Return means of 10 steps each."""
    query = "SELECT run, step / 10, avg(value) FROM points WHERE key = 7 GROUP BY 1, 2"
    return raw.execute(query).fetchall()


def row(question: str, ours: list[float], bound: list[float]) -> Row:
    """Return a row of the table, medians."""
    mine, raw = median(ours), median(bound)
    return {"question": question, "ablate ms": mine, "raw rows ms": raw, "ratio": mine / raw}


if __name__ == "__main__":
    main()
