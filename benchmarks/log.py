"""What a logged step of 20 scalars costs the training loop and the machine, ours beside peers.

Each tracker has a fresh process, home and folder, and they take turns. With ``--kill`` the process
is killed right after its last call, once alone and once with all its descendants.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import psutil
from common import (
    KEYS,
    Row,
    arguments,
    cpu_s,
    disk_bytes,
    end,
    fresh,
    is_installed,
    medians,
    report,
    scratch,
)
from trackers import TRACKERS

SETTLE_S = 3
"""What a daemon has from the kill to the count."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trackers", default=",".join(TRACKERS), help="names with commas between")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--paced-ms", type=float, default=0.0, help="sleep between steps")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each")
    parser.add_argument("--kill", action="store_true", help="count what outlives SIGKILL instead")
    options = arguments(parser)
    names = [n for n in options.trackers.split(",") if is_installed(n, TRACKERS[n].needs)]
    steps, paced_ms = options.steps, options.paced_ms
    pace = f"{paced_ms:g} ms apart" if paced_ms else "back to back"
    title = f"{steps:,} steps of {len(KEYS)} scalars, {pace}"
    if options.kill:
        rows = [killed(name, steps, paced_ms) for name in names]
        report(f"Points that outlive SIGKILL after {title}", rows, options.json)
        return
    turns = [{name: turn(name, steps, paced_ms) for name in names} for _ in range(options.repeats)]
    rows = [{"tracker": name} | medians([turn[name] for turn in turns]) for name in names]
    report(f"{title}, medians of {options.repeats} turns", against_bound(rows), options.json)


def turn(name: str, steps: int, paced_ms: float) -> Row:
    """Measure one run, and count it from another process."""
    with scratch() as folder:
        (store := folder / "store").mkdir()
        row = fresh(measure, name, store, steps, paced_ms, folder=folder)
        return row | {"points read": fresh(count, name, store, folder=folder)}


def measure(name: str, store: Path, steps: int, paced_ms: float) -> Row:
    """Log one run in this process."""
    rows = metrics(steps)
    tracker = TRACKERS[name]()
    tracker.open(str(store), "run", KEYS)
    size, cpu = disk_bytes(store), cpu_s()
    calls = drive(tracker, rows, paced_ms)
    start = time.perf_counter()
    tracker.close()
    return {
        "median us": median(calls),
        "x": 0.0,
        "p99 us": quantiles(calls, n=100)[98],
        "CPU us/step": (cpu_s() - cpu) / steps * 1e6,
        "close s": time.perf_counter() - start,
        "bytes/point": (disk_bytes(store) - size) / (steps * len(KEYS)),
    }


def metrics(steps: int) -> list[dict[str, float]]:
    """Return what each step logs."""
    values = np.random.default_rng(0).standard_normal((steps, len(KEYS))).tolist()
    return [dict(zip(KEYS, row, strict=True)) for row in values]


def drive(tracker: Any, rows: list[dict[str, float]], paced_ms: float) -> list[float]:
    """Log every step; return the microseconds of each call."""
    found: list[float] = []
    for step, values in enumerate(rows):
        start = time.perf_counter()
        tracker.log(step, values)
        found.append((time.perf_counter() - start) * 1e6)
        if paced_ms:
            time.sleep(paced_ms / 1000)
    return found


def count(name: str, store: Path) -> int:
    """Return how many points can be read."""
    return TRACKERS[name].count(str(store))


def against_bound(rows: list[dict[str, float | str]]) -> list[Row]:
    """Set the ratio to the first tracker."""
    bound = float(rows[0]["median us"])
    return [row | {"x": float(row["median us"]) / bound} for row in rows]


def killed(name: str, steps: int, paced_ms: float) -> Row:
    """Return how many of the acknowledged points outlive a kill."""
    row: dict[str, float | str] = {"tracker": name, "acknowledged": steps * len(KEYS)}
    for column, with_descendants in (("killed alone", False), ("with all descendants", True)):
        with scratch() as folder:
            (store := folder / "store").mkdir()
            fresh(die, name, store, steps, paced_ms, with_descendants, folder=folder)
            time.sleep(SETTLE_S)
            try:
                row[column] = fresh(count, name, store, folder=folder)
            except RuntimeError as error:
                print(error, file=sys.stderr)
                row[column] = "unreadable"
    return row


def die(name: str, store: Path, steps: int, paced_ms: float, with_descendants: bool) -> None:
    """Log one run in this process, and be killed."""
    rows = metrics(steps)
    tracker = TRACKERS[name]()
    tracker.open(str(store), "run", KEYS)
    drive(tracker, rows, paced_ms)
    if with_descendants:
        end(psutil.Process().children(recursive=True))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
