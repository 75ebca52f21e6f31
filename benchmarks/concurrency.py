"""Many processes that write to one database: points a second, commit times, what is missing."""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from statistics import median, quantiles

from common import KEYS, Row, arguments, claimed, postgres, report

from ablate.domain import Claim
from ablate.store import open_store
from ablate.store.base import SpoolBatch, StepValues

STEPS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = arguments(parser)
    with tempfile.TemporaryDirectory() as folder, postgres() as make:
        urls = {"SQLite": f"sqlite:///{folder}/ablate.db"}
        if make:
            urls["PostgreSQL"] = make("concurrency")
        rows = [measure(name, url, options.writers, options.seconds) for name, url in urls.items()]
    title = f"{options.writers} writers for {options.seconds:g} s, {STEPS} steps a transaction"
    report(title, rows, options.json)


def measure(name: str, url: str, n_writers: int, seconds: float) -> Row:
    """Let processes write at the same time; count afterwards what is there."""
    context = multiprocessing.get_context("spawn")
    with claimed(url, n_writers) as (store, claims):
        with context.Pool(n_writers) as pool:
            jobs = [(url, claim, seconds) for claim in claims]
            found = pool.starmap(write, jobs, chunksize=1)
        curves = store.curves([claim.run.id for claim in claims], KEYS)
    commits = [ms for times, _ in found for ms in times]
    written = len(commits) * STEPS * len(KEYS)
    stored = sum(len(curve.steps) for curve in curves)
    return {
        "store": name,
        "points/s": written / seconds,
        "commit ms, median": median(commits),
        "p99": quantiles(commits, n=100)[98],
        "max": max(commits),
        "lost or doubled": float(abs(written - stored)),
        "errors": float(sum(errors for _, errors in found)),
    }


def write(url: str, claim: Claim, seconds: float) -> tuple[list[float], int]:
    """Write batches until the time is over; return milliseconds of each and how many failed."""
    store = open_store(url)
    times: list[float] = []
    errors = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        n = len(times)
        steps = range(n * STEPS, (n + 1) * STEPS)
        made = tuple(StepValues(s, float(s), KEYS, (0.5 * s,) * len(KEYS)) for s in steps)
        batch = SpoolBatch(start_offset=n, end_offset=n + 1, logs=made, has_started=n == 0)
        start = time.perf_counter()
        try:
            store.ingest(claim, batch)
        except Exception:
            errors += 1
            continue
        times.append((time.perf_counter() - start) * 1000)
    store.close()
    return times, errors


if __name__ == "__main__":
    main()
