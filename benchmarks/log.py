"""What a logged step of 20 scalars costs the training loop, beside one frame in one `write`."""

from __future__ import annotations

import argparse
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import numpy as np
from common import KEYS, Row, arguments, report

from ablate.execution.context import RunContext
from ablate.execution.job import Job
from ablate.store.spool import SpoolReader, SpoolWriter

Log = Callable[[dict[str, float], int], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--paced-ms", type=float, default=0.0, help="sleep between steps")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each")
    options = arguments(parser)
    values = np.random.default_rng(0).standard_normal((options.steps, len(KEYS))).tolist()
    metrics = [dict(zip(KEYS, row, strict=True)) for row in values]
    found: dict[str, list[list[float]]] = {"raw write": [], "ablate": []}
    for _ in range(options.repeats):
        found["raw write"].append(raw_write(metrics, options.paced_ms))
        found["ablate"].append(ablate(metrics, options.paced_ms))
    bound = median(median(turn) for turn in found["raw write"])
    rows = [row(name, turns, bound) for name, turns in found.items()]
    pace = f"{options.paced_ms:g} ms apart" if options.paced_ms else "back to back"
    report(f"{options.steps:,} steps of {len(KEYS)} scalars, {pace}", rows, options.json)


def drive(log: Log, metrics: list[dict[str, float]], paced_ms: float) -> list[float]:
    """Log every step; return the microseconds of each call."""
    found: list[float] = []
    for step, values in enumerate(metrics):
        start = time.perf_counter()
        log(values, step)
        found.append((time.perf_counter() - start) * 1e6)
        if paced_ms:
            time.sleep(paced_ms / 1000)
    return found


def raw_write(metrics: list[dict[str, float]], paced_ms: float) -> list[float]:
    """One packed frame with a checksum, and one `write`: the bound of what survives SIGKILL."""
    frame = struct.Struct(f"<qd{len(KEYS)}d")
    with tempfile.TemporaryFile() as file:
        number = file.fileno()

        def log(values: dict[str, float], step: int) -> None:
            data = frame.pack(step, time.time(), *values.values())
            os.write(number, zlib.crc32(data).to_bytes(4, "little") + data)

        return drive(log, metrics, paced_ms)


def ablate(metrics: list[dict[str, float]], paced_ms: float) -> list[float]:
    """The call that trainers make; all points have to be in the spool afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1.spool"
        with SpoolWriter(path, attempt_id=1) as spool:
            run = RunContext(make_job(Path(folder)), spool, on_step=lambda: None)
            found = drive(run.log, metrics, paced_ms)
            with SpoolReader(path) as reader:
                stored = sum(len(log.keys) for log in reader.read(max_points=10**9).logs)
        if stored != len(metrics) * len(KEYS):
            raise SystemExit(f"{stored} points are in the spool")
        return found


def make_job(folder: Path) -> Job:
    """Return a job without guards and checkpoints."""
    return Job(
        attempt_id=1,
        attempt=1,
        label="a-s0",
        run_dir=folder,
        project=None,
        train="m:train",
        config={"steps": 10**9},
        seed=0,
        device="cpu",
        gpu=None,
        threads=1,
        guards=(),
        step_limit=None,
        resume_from=(),
    )


def row(name: str, turns: list[list[float]], bound: float) -> Row:
    """Return a row of the table: medians over the turns."""
    middle = median(median(turn) for turn in turns)
    p99 = median(quantiles(turn, n=100)[98] for turn in turns)
    return {"logger": name, "median us": middle, "p99 us": p99, "x": middle / bound}


if __name__ == "__main__":
    main()
