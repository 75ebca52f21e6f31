"""What a training step pays for MLflow: directly, by the mirror, by one whose server is ill."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from common import KEYS, Row, arguments, report

from ablate.testing.tracking_server import FaultyProxy, ServerFault, tracking_server

CHECKPOINTS = 100
SERVERS: dict[str, ServerFault | None] = {
    "up": None,
    "refuses connections": None,
    "answers after 3 s": ServerFault(delay_s=3),
    "answers 500": ServerFault(status=500),
}
TRAINER = """
import json, time
from pathlib import Path


def train(config, run):
    values = {key: 0.5 for key in config["keys"]}
    logs, whole = [], []
    for step in range(config["steps"] + 1):
        begin = time.perf_counter()
        sum(range(config["work"]))
        logged = time.perf_counter()
        run.log(values, step)
        end = time.perf_counter()
        logs.append(end - logged)
        whole.append(end - begin)
        if step % config["save_every"] == 0 and step:
            run.save(step, {"step": step})
    Path(config["out"], f"{run.seed('name')}.json").write_text(json.dumps([logs, whole]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("direct", "trouble"), help="one of the two tables")
    parser.add_argument("--loggers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100, help="of each logger")
    parser.add_argument("--server", choices=SERVERS, action="append", help="for --only trouble")
    parser.add_argument("--trouble-steps", type=int, default=2000)
    parser.add_argument("--work", type=int, default=500_000, help="additions of a step")
    options = arguments(parser)
    with tempfile.TemporaryDirectory() as name, tracking_server(Path(name), workers=2) as port:
        folder = Path(name)
        if options.only != "trouble":
            rows = [
                direct(folder, port, options.loggers, options.steps),
                mirrored(folder, port, options.loggers, options.steps),
            ]
            title = f"{options.loggers} runs of {options.steps} steps of {len(KEYS)} scalars"
            report(f"{title}, back to back", rows, options.json)
        if options.only != "direct":
            print()
            servers = options.server or list(SERVERS)
            rows = trouble(folder, port, servers, options.trouble_steps, options.work)
            title = f"One run of {options.trouble_steps:,} steps of {len(KEYS)} scalars with work"
            target = options.json and options.json.with_stem(f"{options.json.stem}-trouble")
            report(f"{title} between them", rows, target)


def direct(folder: Path, port: int, loggers: int, steps: int) -> Row:
    """Let processes log to the server, step by step, and wait for each answer."""
    import mlflow  # noqa: F401 - once here, and not in each process

    jobs = [(f"http://127.0.0.1:{port}", steps)] * loggers
    with multiprocessing.get_context("fork").Pool(loggers) as pool:
        begin = time.perf_counter()
        found = pool.starmap(log_directly, jobs, chunksize=1)
        wall_s = time.perf_counter() - begin
    check(folder, "Default", loggers * steps * len(KEYS))
    return row("MLflow, synchronous", [s for calls in found for s in calls], wall_s)


def log_directly(url: str, steps: int) -> list[float]:
    """Log every step; return the seconds of each call."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(url)
    run = client.create_run("0").info.run_id
    calls: list[float] = []
    for step in range(steps):
        now_ms = round(time.time() * 1000)
        metrics = [Metric(key, 0.5, now_ms, step) for key in KEYS]
        begin = time.perf_counter()
        client.log_batch(run, metrics=metrics)
        calls.append(time.perf_counter() - begin)
    return calls


def mirrored(folder: Path, port: int, loggers: int, steps: int) -> Row:
    """Let `ablate run` train as many runs at once; wait until the mirror has every point."""
    project = make_project(folder / "mirrored", "mirrored", steps - 1, seeds=loggers, work=0)
    begin = time.perf_counter()
    train(project, f"http://127.0.0.1:{port}", workers=loggers)
    while stored(folder, "ablate/mirrored") < loggers * steps * len(KEYS):
        time.sleep(0.05)
    wall_s = time.perf_counter() - begin
    check(folder, "ablate/mirrored", loggers * steps * len(KEYS))
    return row("ablate with the mirror", timings(project)[0], wall_s)


def trouble(folder: Path, port: int, servers: Sequence[str], steps: int, work: int) -> list[Row]:
    """Train one run for each thing that a server can do, and one without a mirror at both ends."""
    rows: list[Row] = []
    for place, name in enumerate(("no mirror", *servers, "no mirror")):
        project = make_project(folder / f"t{place}", f"t{place}", steps, seeds=1, work=work)
        proxy = FaultyProxy(port)
        fault = SERVERS.get(name)
        proxy.fault = lambda _path, _body, fault=fault: fault
        if name != "refuses connections":
            proxy.up()
        train(project, proxy.url if name in SERVERS else None, workers=1)
        logs, whole = timings(project)
        rows.append(
            {
                "server": name,
                "step ms, median": median(whole) * 1e3,
                "step p99": quantiles(whole, n=100)[98] * 1e3,
                **stall(logs),
                "requests": float(proxy.requests),
                "points missing in SQL": float((steps + 1) * len(KEYS) - in_sql(project)),
            }
        )
        proxy.down()
    return rows


def in_sql(project: Path) -> int:
    """Return how many points are in the results database."""
    with contextlib.closing(sqlite3.connect(project / ".ablate" / "ablate.db")) as connection:
        return connection.execute("SELECT count(*) FROM run_metrics").fetchone()[0]


def make_project(folder: Path, study: str, steps: int, *, seeds: int, work: int) -> Path:
    """Create a study of one phase in a folder of its own."""
    folder.mkdir()
    (folder / "studies").mkdir()
    (folder / "out").mkdir()
    (folder / "benchtrain.py").write_text(TRAINER)
    base = {"steps": steps, "keys": KEYS, "work": work, "save_every": CHECKPOINTS, "out": "out"}
    content = {"study": study, "question": "How long?", "trainer": "benchtrain:train"}
    content |= {"base": base, "phases": {"only": {"baseline": True}}, "seeds": seeds}
    (folder / "studies" / f"{study}.yaml").write_text(json.dumps(content))
    ablate(folder, "study", "create", study)
    return folder


def train(project: Path, uri: str | None, *, workers: int) -> None:
    """Train what is queued, with a mirror on the server if there is one."""
    chosen = {"ABLATE_MLFLOW": "1" if uri else "0", "ABLATE_MLFLOW_MAX_POINTS": "1000000"}
    if uri:
        chosen["ABLATE_MLFLOW_URI"] = uri
    ablate(project, "run", "--workers", str(workers), **chosen, ABLATE_SYSTEM_METRICS_S="0")


def ablate(folder: Path, *words: str, **environment: str) -> None:
    """Run a command."""
    command = [sys.executable, "-P", "-m", "ablate.cli", *words]
    subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True
    )


def timings(project: Path) -> tuple[list[float], list[float]]:
    """Return the seconds of every call of ``log`` and of every step."""
    found = [json.loads(path.read_text()) for path in sorted((project / "out").glob("*.json"))]
    return [s for logs, _ in found for s in logs], [s for _, whole in found for s in whole]


def stored(folder: Path, experiment: str) -> int:
    """Return how many points of active runs are in MLflow's tables."""
    query = """
        SELECT count(*) FROM metrics JOIN runs USING (run_uuid)
        JOIN experiments USING (experiment_id)
        WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'
        AND metrics.key LIKE 'train/%'
    """
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db", timeout=30)) as connection:
        return connection.execute(query, (experiment,)).fetchone()[0]


def check(folder: Path, experiment: str, points: int) -> None:
    if (found := stored(folder, experiment)) != points:
        raise SystemExit(f"{points} points were logged, {found} are in MLflow")


def stall(calls: Sequence[float]) -> dict[str, float]:
    """Return milliseconds of a call of ``log``."""
    p99, worst = quantiles(calls, n=100)[98], max(calls)
    return {"log ms, median": median(calls) * 1e3, "log p99": p99 * 1e3, "log max": worst * 1e3}


def row(name: str, calls: Sequence[float], wall_s: float) -> Row:
    return {"how": name, **stall(calls), "s until all is in MLflow": wall_s}


if __name__ == "__main__":
    main()
