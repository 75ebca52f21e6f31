"""How a SQLite database behaves as it grows: ingest, means, curves and bytes at each size.

Runs of 8 334 steps of 20 keys, one after the other; 600 of them are 100 million points, which take
about 10 minutes and 3 GB of disk. ``--plot FILE.svg`` draws the table.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from bounds import values
from common import KEYS, Row, arguments, disk_bytes, report, scratch, timed
from stores import MAX_RUNS, Write, ablate_sqlite

from ablate.store import open_store
from ablate.store.base import Store

STEPS, BLOCK, FEW, MAX_POINTS = 8334, 1000, 3, 500
N_POINTS = STEPS * len(KEYS)
"""Of a run."""
MILESTONES = tuple(factor * 10**power for power in (6, 7, 8) for factor in (1, 3))
WINDOWS = [(start, start + 499) for start in (1, 2001, 4001, 7801)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10_000_000, help="at most 100 million")
    parser.add_argument("--repeats", type=int, default=3, help="answers to each question")
    parser.add_argument("--plot", type=Path, help="draw the table into this SVG file")
    options = arguments(parser)
    with scratch() as folder:
        rows = list(grow(folder, options.points, options.repeats))
    title = f"SQLite, runs of {STEPS:,} steps x {len(KEYS)} keys"
    report(f"{title}, medians of {options.repeats} answers", rows, options.json)
    if options.plot:
        options.plot.write_text(drawn(rows))


def grow(folder: Path, n_points: int, repeats: int) -> Iterator[Row]:
    """Fill a database; yield a row at each milestone."""
    n_runs = 0
    with ablate_sqlite(folder) as write:
        for goal in [size for size in MILESTONES if size <= n_points]:
            wanted = min(MAX_RUNS, round(goal / N_POINTS))
            start = time.perf_counter()
            for run in range(n_runs, wanted):
                fill(write, run)
            rate = (wanted - n_runs) * N_POINTS / (time.perf_counter() - start)
            n_runs = wanted
            yield measure(folder, n_runs, rate, repeats)


def fill(write: Write, run: int) -> None:
    """Write one run."""
    whole = values(run, STEPS)
    for start in range(0, STEPS, BLOCK):
        write(run, start, whole[start : start + BLOCK])


def measure(folder: Path, n_runs: int, rate: float, repeats: int) -> Row:
    """Ask the database; compare one answer with NumPy's."""
    store = open_store(f"sqlite:///{folder}/ablate.db", read_only=True)
    run_ids = [run.id for run in store.runs()][:n_runs]
    check(store, run_ids[-1], n_runs - 1)
    few = run_ids[:FEW]

    def means(ids: Sequence[str]) -> float:
        return median(timed(lambda: store.means(ids, KEYS, WINDOWS), repeats))

    def curves(ids: Sequence[str]) -> float:
        asked = {"max_points": MAX_POINTS}
        return median(timed(lambda: store.outlines(ids, KEYS[:1], **asked), repeats))

    row: Row = {
        "points": n_runs * N_POINTS,
        "runs": n_runs,
        "ingest, points/s": rate,
        "means of 3 runs, ms": means(few),
        "means of all runs, ms": means(run_ids),
        "curve of 3 runs, ms": curves(few),
        "curve of all runs, ms": curves(run_ids),
        "bytes/point": disk_bytes(folder) / (n_runs * N_POINTS),
    }
    store.close()
    return row


def check(store: Store, run_id: str, run: int) -> None:
    """Stop when the newest run does not have the means that it should have."""
    found = [mean.mean for mean in store.means([run_id], KEYS, WINDOWS)]
    whole = values(run, STEPS)
    truth = np.array([whole[low : high + 1].mean(0) for low, high in WINDOWS]).T.ravel()
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-12)


WIDTH, HEIGHT, LEFT, RIGHT, EDGE = 760, 420, 60, 190, 40
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def drawn(rows: Sequence[Row]) -> str:
    """Return a picture of all columns over the points, both axes logarithmic."""
    names = [name for name in rows[0] if name not in ("points", "runs")]
    points = [float(row["points"]) for row in rows]
    columns = {name: [float(row[name]) for row in rows] for name in names}
    across = decades(points)
    up = decades([value for column in columns.values() for value in column])
    parts = [*_grid(across, up)]
    for number, (name, column) in enumerate(columns.items()):
        at = [(_x(p, across), _y(v, up)) for p, v in zip(points, column, strict=True)]
        parts += _line(name, at, COLOURS[number % len(COLOURS)], number)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    body = "\n".join([ground, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{body}\n</svg>\n'


def decades(numbers: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten that enclose the numbers."""
    low, high = math.log10(min(numbers)), math.log10(max(numbers))
    return math.floor(low + 0.01), max(math.ceil(high - 0.01), math.floor(low + 0.01) + 1)


def _x(value: float, span: tuple[int, int]) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - span[0]) / (span[1] - span[0])


def _y(value: float, span: tuple[int, int]) -> float:
    return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (math.log10(value) - span[0]) / (span[1] - span[0])


def _grid(across: tuple[int, int], up: tuple[int, int]) -> Iterator[str]:
    style = 'stroke="#ddd"'
    right, bottom = WIDTH - RIGHT, HEIGHT - EDGE
    for power in range(across[0], across[1] + 1):
        x = _x(10**power, across)
        yield f'<path d="M{x:.1f} {EDGE}V{bottom}" {style}/>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{10**power:,}</text>'
    for power in range(up[0], up[1] + 1):
        y = _y(10.0**power, up)
        yield f'<path d="M{LEFT} {y:.1f}H{right}" {style}/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>'
    middle = (LEFT + right) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">points in the database</text>'


def _line(name: str, at: list[tuple[float, float]], colour: str, number: int) -> Iterator[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at)
    y = EDGE + 8 + 20 * number
    yield f'<text x="{WIDTH - RIGHT + 14}" y="{y}" fill="{colour}">{name}</text>'


if __name__ == "__main__":
    main()
