"""Curves as few points for the eye: peaks stay, and most points are never read."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from sqlalchemy import Connection

from ablate.errors import UsageError
from ablate.store.curves import MIN_OUTLINE, Outline
from ablate.store.reading.metrics import CountingSteps, counting_steps
from ablate.store.reading.spans import Span, cover, key_names, read_points, read_rollups
from ablate.store.schema.rollups import WIDTH, stored_columns
from ablate.store.schema.rows import decode
from ablate.store.schema.statements import MAX_STEP

_COLUMNS = (
    *("bucket", "n_nan", "n_pos_inf", "n_neg_inf", "series_id"),
    *("first_at", "first", "min_at", "min", "max_at", "max", "last_at", "last"),
)
_OF_A_RANGE = 4
"""Points that stand for a range whose values are all finite."""


def outlines(
    connection: Connection,
    run_ids: Sequence[str],
    keys: Sequence[str],
    *,
    max_points: int,
    steps: tuple[int, int | None],
) -> tuple[Outline, ...]:
    """Return curves of few points, ordered by run, then by key; ``steps`` is first and last."""
    if max_points < MIN_OUTLINE:
        raise UsageError(f"an outline has at least {MIN_OUTLINE} points, not {max_points}")
    names = key_names(connection, keys)
    counting = counting_steps(connection, run_ids, *steps)
    places = {run_id: place for place, run_id in enumerate(counting)}
    widths = {run_id: _width(parts, max_points) for run_id, parts in counting.items()}
    points = _points(connection, counting, widths, names)
    key_ids = {name: id_ for id_, name in names.items()}
    found: list[Outline] = []
    for run_id in run_ids:
        for key in keys:
            if curve := points.get((places.get(run_id, -1), key_ids.get(key, -1))):
                steps_, values, width = _thin(sorted(curve.items()), max_points, widths[run_id])
                found.append(
                    Outline(run_id=run_id, key=key, steps=steps_, values=values, width=width)
                )
    return tuple(found)


def _width(parts: Iterable[CountingSteps], max_points: int) -> int:
    """Return the steps of a range, as their number suggests; 1 for every point."""
    n_steps = sum(max(0, min(part.last_step, part.written) - part.first_step + 1) for part in parts)
    if n_steps <= max_points:
        return 1
    width = math.ceil(n_steps * _OF_A_RANGE / max_points)
    # Short ranges want points; a bucket says too little where few of them make the curve.
    return width if n_steps <= 2 * max_points else math.ceil(width / WIDTH) * WIDTH


_Points = dict[tuple[int, int], dict[int, float]]
"""(place of the run, key id) -> step -> value"""


def _points(
    connection: Connection,
    counting: dict[str, list[CountingSteps]],
    widths: dict[str, int],
    key_ids: Iterable[int],
) -> _Points:
    """Return what to choose the points from."""
    whole: list[Span] = []
    rest: list[Span] = []
    for place, (run_id, parts) in enumerate(counting.items()):
        for part in parts:
            if widths[run_id] < WIDTH:
                rest.append(Span(place, part.attempt_id, part.first_step, part.last_step))
                continue
            found = cover(part.first_step, part.last_step, part.written)
            if found.buckets:
                whole.append(Span(place, part.attempt_id, *found.buckets))
            rest += (Span(place, part.attempt_id, *steps) for steps in found.rest)
    points: _Points = defaultdict(dict)
    for place, key_id, *bucket in read_rollups(connection, whole, key_ids, _COLUMNS):
        points[place, key_id].update(_of_bucket(connection, bucket))
    for place, key_id, step, value, kind in read_points(connection, rest, key_ids):
        points[place, key_id][step] = decode(value, kind)
    return points


def _of_bucket(connection: Connection, row: Sequence[int | float]) -> Iterable[tuple[int, float]]:
    bucket, n_nan, n_pos, n_neg, series_id, *outline = row
    before = (int(bucket) - 1) * WIDTH
    if n_nan or n_pos or n_neg:
        return _of_points(connection, int(series_id), before)
    first_at, first, min_at, low, max_at, high, last_at, last = outline
    return (
        (before + int(first_at), first),
        (before + int(min_at), low),
        (before + int(max_at), high),
        (before + int(last_at), last),
    )


def _of_points(connection: Connection, series_id: int, before: int) -> Iterator[tuple[int, float]]:
    last = min(before + WIDTH, MAX_STEP)
    for column in stored_columns(connection, [series_id], before + 1, last):
        yield from zip(column.steps, column.values, strict=True)


def _thin(
    points: Sequence[tuple[int, float]], max_points: int, width: int
) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Return steps, values and width: doubled until the points are few enough."""
    chosen, shown = points, WIDTH if width >= WIDTH else 1
    while len(chosen) > max_points:
        groups = groupby(points, key=lambda point: -(-point[0] // width))
        chosen = [point for _, group in groups for point in _chosen(list(group))]
        width, shown = 2 * width, width
    steps, values = zip(*chosen, strict=True)
    return steps, values, shown


def _chosen(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return those that stand for a range of steps."""
    finite = [point for point in points if math.isfinite(point[1])]
    kept = {*finite[:1], *finite[-1:]}
    if finite:
        kept |= {min(finite, key=lambda p: p[1]), max(finite, key=lambda p: p[1])}
    kinds: dict[str, tuple[int, float]] = {}
    for point in points:
        if not math.isfinite(point[1]):
            kinds.setdefault(str(point[1]), point)
    return sorted(kept | set(kinds.values()))
