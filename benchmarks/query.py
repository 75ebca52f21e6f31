"""What a comparison asks of 60 runs x 20 keys x 5 000 steps, and what reading commands take.

Ours on SQLite and PostgreSQL beside raw SQLite rows, raw rollups of 100 steps, DuckDB and MLflow's
client. Each question has a fresh process: the first answer comes with the store's files dropped
from the page cache, then the median of 5 counts; every answer is compared with NumPy's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import bounds
import numpy as np
import stores
import study
from bounds import BUCKET, values
from common import (
    KEYS,
    Row,
    arguments,
    disk_bytes,
    forget,
    fresh,
    is_installed,
    medians,
    postgres,
    report,
    scratch,
    timed,
)
from ingest import BLOCK, SERVER

from ablate.store import open_store
from ablate.store.curves import Outline

STEPS, FEW, KEY, MAX_POINTS = 5000, 3, 7, 500
LONG_S = 5.0
Windows: TypeAlias = Sequence[tuple[int, int]]
Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: means over windows of all keys, or without windows a curve of one key."""

    first_step: int | None
    of_all_runs: bool = True

    def windows(self, steps: int) -> Windows:
        """Return four windows of a tenth of the steps each, both ends within."""
        assert self.first_step is not None
        size = steps // 10
        starts = [self.first_step + part * size for part in (0, 2, 4, 8)]
        return [(start, start + size - 1) for start in starts]


QUESTIONS = {
    "means 1..500, 3 runs": Question(1, of_all_runs=False),
    "means 1..500, all runs": Question(1),
    "means 0..499, 3 runs": Question(0, of_all_runs=False),
    "means 0..499, all runs": Question(0),
    "curve, all runs": Question(None),
}


class Rows:
    """Raw SQLite rows: one seek of the index for each number, all in one statement."""

    needs = ()
    writer = staticmethod(bounds.sqlite_rows)
    mean = """
        SELECT avg(value) FROM points
        WHERE run = runs.value AND key = keys.value AND step BETWEEN first AND last
    """

    def __init__(self, folder: Path) -> None:
        self.ask = bounds.open_sqlite(folder / "points.db").execute

    def means(self, n_runs: int, windows: Windows) -> Numbers:
        asked = [
            (low, high, -(-low // BUCKET) * BUCKET, (high + 1) // BUCKET * BUCKET)
            for low, high in windows
        ]
        query = f"""
            WITH windows (first, last, inner_first, inner_end) AS MATERIALIZED (
                SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)
            ) SELECT ({self.mean})
            FROM json_each(?) AS runs CROSS JOIN json_each(?) AS keys CROSS JOIN windows
        """
        lists = asked, list(range(n_runs)), list(range(len(KEYS)))
        return np.array([row[0] for row in self.ask(query, tuple(map(json.dumps, lists)))])

    def curve(self, n_runs: int) -> Numbers:
        width = STEPS // MAX_POINTS
        query = (
            f"SELECT avg(value) FROM points WHERE run = ? AND key = {KEY} GROUP BY step / {width}"
        )
        return np.array([row[0] for run in range(n_runs) for row in self.ask(query, (run,))])

    def is_curve(self, answer: Numbers, truth: list[Numbers]) -> bool:
        """Return whether these are means of equal parts."""
        means = np.concatenate([curve.reshape(MAX_POINTS, -1).mean(1) for curve in truth])
        return np.allclose(answer, means, rtol=1e-9, atol=1e-12)


class Rollups(Rows):
    """Raw SQLite rollups of the steps 0..99, 100..199; rows where a window cuts one."""

    writer = staticmethod(bounds.sqlite_rollups)
    _rows = "SELECT total(value) FROM points WHERE run = runs.value AND key = keys.value"
    mean = f"""
        SELECT (total(total)
            + iif(first < inner_first, ({_rows} AND step >= first AND step < inner_first), 0)
            + iif(inner_end <= last, ({_rows} AND step >= inner_end AND step <= last), 0)
        ) / (last - first + 1) FROM rollups WHERE run = runs.value AND key = keys.value
        AND bucket >= inner_first / {BUCKET} AND bucket < inner_end / {BUCKET}
    """


class Duckdb(Rows):
    """DuckDB's own file: one pass over its columns for each question."""

    needs = ("duckdb", "pyarrow")
    writer = staticmethod(bounds.duckdb_arrow)

    def __init__(self, folder: Path) -> None:
        import duckdb  # type: ignore[import-not-found]

        self.ask = duckdb.connect(folder / "points.duckdb", read_only=True).execute

    def means(self, n_runs: int, windows: Windows) -> Numbers:
        parts = [f"avg(value) FILTER (step BETWEEN {low} AND {high})" for low, high in windows]
        return self._numbers(f"{', '.join(parts)} FROM points WHERE run < {n_runs}", "run, key")

    def curve(self, n_runs: int) -> Numbers:
        where = f"WHERE run < {n_runs} AND key = {KEY}"
        return self._numbers(
            f"avg(value) FROM points {where}", f"run, step // {STEPS // MAX_POINTS}"
        )

    def _numbers(self, query: str, order: str) -> Numbers:
        found = self.ask(f"SELECT {query} GROUP BY {order} ORDER BY {order}").fetchnumpy()
        return np.column_stack(list(found.values())).ravel()


class Ours(Rows):
    """The product's store on SQLite."""

    writer = staticmethod(stores.ablate_sqlite)

    def __init__(self, folder: Path) -> None:
        self.store = open_store(self.url(folder))
        self.run_ids = [run.id for run in self.store.runs()]

    @staticmethod
    def url(folder: Path) -> str:
        return f"sqlite:///{folder}/ablate.db"

    def means(self, n_runs: int, windows: Windows) -> Numbers:
        found = self.store.means(self.run_ids[:n_runs], KEYS, windows)
        return np.array([mean.mean for mean in found])

    def curve(self, n_runs: int) -> Any:
        return self.store.outlines(
            self.run_ids[:n_runs], KEYS[KEY : KEY + 1], max_points=MAX_POINTS
        )

    def is_curve(self, answer: Any, truth: list[Numbers]) -> bool:
        """Return whether these are points of the curves, the peaks among them."""
        return len(answer) == len(truth) and all(map(self._outlines, answer, truth))

    @staticmethod
    def _outlines(outline: Outline, curve: Numbers) -> bool:
        steps, found = np.array(outline.steps), np.array(outline.values)
        has_peaks = found.max() == curve.max() and found.min() == curve.min()
        return has_peaks and len(steps) <= MAX_POINTS and bool((curve[steps] == found).all())


class OursOnServer(Ours):
    """The product's store on PostgreSQL."""

    needs = SERVER
    writer = staticmethod(stores.ablate_postgres)

    @staticmethod
    def url(folder: Path) -> str:
        return postgres(folder)


class Mlflow:
    """MLflow's client: the whole history of each key of a run, as objects."""

    needs = ("mlflow",)

    def __init__(self, folder: Path) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(f"sqlite:///{folder}/mlflow.db")

    def means(self, n_runs: int, windows: Windows) -> Numbers:
        found = self.client.search_runs(["0"], order_by=["attributes.run_name"], max_results=n_runs)
        curves = [self._curve(run.info.run_id, key) for run in found for key in KEYS]
        return np.array([curve[low : high + 1].mean() for curve in curves for low, high in windows])

    def _curve(self, run_id: str, key: str) -> Numbers:
        points = self.client.get_metric_history(run_id, key)
        return np.array([point.value for point in sorted(points, key=lambda point: point.step)])

    def fill(self, steps: int) -> None:
        from mlflow.entities import Metric

        size = 1000 // len(KEYS)  # what a batch may have
        for number in range(FEW):
            run_id = self.client.create_run("0", run_name=f"run{number}").info.run_id
            for start in range(0, steps, size):
                rows = enumerate(values(number, steps)[start : start + size].tolist(), start)
                batch = [
                    Metric(key, value, 0, step)
                    for step, row in rows
                    for key, value in zip(KEYS, row, strict=True)
                ]
                self.client.log_batch(run_id, batch)


STORES: dict[str, Any] = {
    "sqlite_rows": Rows,
    "sqlite_rollups": Rollups,
    "ablate_sqlite": Ours,
    "ablate_postgres": OursOnServer,
    "duckdb": Duckdb,
    "mlflow": Mlflow,
}
COMMANDS = {
    f"compare of {len(study.PHASES)} phases": ["compare", *study.PHASES, "--study", study.STUDY],
    "status": ["status", study.STUDY],
    "sql, mean of a key": ["sql", "SELECT avg(value) FROM run_metrics WHERE key='train/loss/l1'"],
    "report": ["report", study.STUDY, "--output", "report.html"],
}
COMMANDS |= {
    f"export --format {kind}": ["export", study.STUDY, "--format", kind, "--output", "points.out"]
    for kind in ("csv", "ndjson", "parquet")
}
"""Into the scratch folder: `export` renames its file into place, so it must never be a device."""
PROBE = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
took = {"seconds": time.perf_counter() - start, "peak MiB": usage.ru_maxrss / 1024}
print("\\n" + json.dumps(took | {"code": os.waitstatus_to_exitcode(status)}))
"""
"""Starts a command from a small process: a child's peak begins with the memory of its parent."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", default=",".join(STORES), help="names with commas between")
    parser.add_argument("--runs", type=int, default=60, help="a multiple of 3")
    parser.add_argument("--cache", type=Path, help="keep the stores in this folder (2 GB)")
    parser.add_argument("--mlflow-steps", type=int, default=500, help="filling 5 000 takes minutes")
    parser.add_argument("--only", choices=("questions", "commands"))
    options = arguments(parser)
    with nullcontext(options.cache.absolute()) if options.cache else scratch() as cache:
        if options.only != "commands":
            ask_stores(cache, options)
        if options.only != "questions":
            rows = run_commands(cache, options.runs)
            size = f"{options.runs} runs x {len(KEYS)} keys x {STEPS:,} steps"
            title = f"Commands on a study of {size}, process start included"
            report(f"{title}, 3 turns, 1 of what is long", rows, options.json)


def ask_stores(cache: Path, options: argparse.Namespace) -> None:
    """Print two tables: warm answers, and first ones."""
    warm: list[Row] = []
    cold: list[Row] = []
    for name in options.stores.split(","):
        if not is_installed(name, STORES[name].needs):
            continue
        steps = options.mlflow_steps if name == "mlflow" else STEPS
        n_runs = FEW if name == "mlflow" else options.runs
        store = built(cache, f"{name}-{n_runs}-{steps}", fill, name, n_runs, steps)
        found = {q: ask(name, store, q, n_runs, steps) for q in asked_of(name)}
        shown = {"store": f"{name}, {steps} steps" if steps < STEPS else name}
        size = {"bytes/point": disk_bytes(store) / (n_runs * steps * len(KEYS))}
        warm.append(shown | {q: median(times[1:]) for q, times in found.items()} | size)
        cold.append(shown | {q: times[0] for q, times in found.items()})
    title = f"{options.runs} runs x {len(KEYS)} keys x {STEPS:,} steps, milliseconds"
    report(f"{title}, median of 5 warm answers", warm, options.json)
    report(f"{title}, first answer, files dropped from the page cache", cold, options.json)


def built(cache: Path, name: str, make: Callable[..., None], *given: Any) -> Path:
    """Return a folder that a fresh process has filled, now or before."""
    folder, is_whole = cache / name, cache / f"{name}.whole"
    if not is_whole.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with scratch() as home:
            fresh(make, folder, *given, folder=home)
        is_whole.touch()
    return folder


def fill(folder: Path, name: str, n_runs: int, steps: int) -> None:
    """Fill a store."""
    if name == "mlflow":
        Mlflow(folder).fill(steps)
        return
    with STORES[name].writer(folder) as write:
        for frame in bounds.frames(n_runs, steps, BLOCK):
            write(*frame)


def asked_of(name: str) -> Sequence[str]:
    """Return what a store is asked: MLflow the first question alone, about its three runs."""
    return list(QUESTIONS)[:1] if name == "mlflow" else list(QUESTIONS)


def ask(name: str, store: Path, question: str, n_runs: int, steps: int) -> list[float]:
    """Return milliseconds of six answers of a fresh process."""
    with scratch() as home:
        return fresh(answer, name, store, question, n_runs, steps, folder=home)


def answer(name: str, folder: Path, asked: str, n_runs: int, steps: int) -> list[float]:
    """Ask a store in this process."""
    question = QUESTIONS[asked]
    n_runs = n_runs if question.of_all_runs else FEW
    forget(folder)
    store = STORES[name](folder)
    answers: list[Any] = []
    whole = [values(run, steps) for run in range(n_runs)]
    if question.first_step is None:
        times = timed(lambda: answers.append(store.curve(n_runs)), 6)
        assert all(store.is_curve(found, [run[:, KEY] for run in whole]) for found in answers)
        return times
    windows = question.windows(steps)
    times = timed(lambda: answers.append(store.means(n_runs, windows)), 6)
    truth = [run[low : high + 1].mean(0) for run in whole for low, high in windows]
    ordered = np.array(truth).reshape(n_runs, len(windows), len(KEYS)).transpose(0, 2, 1).ravel()
    for found in answers:
        np.testing.assert_allclose(found, ordered, rtol=1e-9, atol=1e-12)
    return times


def run_commands(cache: Path, n_runs: int) -> list[Row]:
    """Return wall time and peak memory of what reads."""
    folder = built(cache, f"study-{n_runs}", fill_study, n_runs)
    with scratch() as work:
        return [
            {"command": name} | medians(probes(command, folder, work))
            for name, command in COMMANDS.items()
        ]


def fill_study(folder: Path, n_runs: int) -> None:
    """Fill the database of the commands."""
    study.fill(f"sqlite:///{folder}/ablate.db", n_runs, STEPS)


def probes(command: list[str], folder: Path, work: Path) -> list[Row]:
    """Run one command three times, or once where that takes long."""
    first = probe(command, folder, work)
    if float(first["seconds"]) > LONG_S:
        return [first]
    return [first, *(probe(command, folder, work) for _ in range(2))]


def probe(command: list[str], folder: Path, work: Path) -> Row:
    """Run one command in a process of its own."""
    ours = [sys.executable, "-m", "ablate.cli", "--db", f"{folder}/ablate.db", *command]
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROBE, *ours],
        check=False,
        cwd=work,
        capture_output=True,
        text=True,
    )
    row = json.loads(done.stdout.splitlines()[-1])
    if row.pop("code"):
        raise RuntimeError(f"{command} failed:\n{done.stderr}")
    return row


if __name__ == "__main__":
    main()
