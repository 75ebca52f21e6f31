"""Points as a source has them: exact, by name, and every one that is left out is counted."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ablate.errors import UsageError
from ablate.spool.batch import SpoolBatch, StepValues
from ablate.store.curves import Curve

MAX_STEP = 2**63 - 1
_BATCH = 100_000
"""Points of one transaction: a fraction of a second, so that other writers wait no longer."""


@dataclass(slots=True)
class Counts:
    """How many values a source had, and what became of them."""

    read: int = 0
    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter[str])
    """Why -> how many."""

    def skip(self, why: str, count: int = 1) -> None:
        """Count values that are left out."""
        self.read += count
        self.skipped[why] += count

    def add(self, other: Counts) -> None:
        """Add the counts of another."""
        self.read += other.read
        self.kept += other.kept
        self.skipped.update(other.skipped)


class _Column:
    """The points of one key, in the order in which they were read."""

    __slots__ = ("steps", "times", "values")

    def __init__(self) -> None:
        self.steps = array("q")
        self.values = array("d")
        self.times = array("d")


@dataclass(frozen=True, slots=True)
class Extent:
    """From where to where a metric was logged."""

    first: int
    last: int
    gap: int
    """The largest between two neighbours; 0 for a single point."""


def _extent(steps: array[int]) -> Extent:
    gaps = (b - a for a, b in pairwise(steps))
    return Extent(steps[0], steps[-1], max(gaps, default=0))


def _chained(old: _Column, new: _Column) -> _Column:
    both = _Column()
    for part in (old, new):
        both.steps.extend(part.steps)
        both.values.extend(part.values)
        both.times.extend(part.times)
    return both


REPLACED = "replaced by a later value"
"""Why a value was dropped: another of the same metric came later for the same step."""


class Points:
    """The points of one run under the names of its source: 24 bytes each.

    Args:
        time: Stands in where the source says none, in Unix seconds.
    """

    def __init__(self, *, time: float = 0.0) -> None:
        self.counts = Counts()
        self._time = time
        self._columns: dict[str, _Column] = {}
        self._has_times = False

    def add(self, name: str, step: int, value: float, time: float | None = None) -> None:
        """Keep a value, or count why not."""
        if not 0 <= step <= MAX_STEP:
            self.counts.skip("step is negative or too large")
            return
        self.counts.read += 1
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = _Column()
        if time is not None and math.isfinite(time):
            self._has_times = True
        else:
            time = self._time
        column.steps.append(step)
        column.values.append(value)
        column.times.append(time)

    def take_curve(self, key: str, curve: Curve) -> None:
        """Take a curve that was stored; it is not counted as read."""
        column = self._columns[key] = _Column()
        column.steps.extend(curve.steps)
        column.values.extend(curve.values)
        column.times.extend(curve.times)
        self._has_times = True

    def drop_from(self, step: int) -> None:
        """Drop what was added at this step or later: the source began there anew."""
        for name, column in self._columns.items():
            kept = [i for i, s in enumerate(column.steps) if s < step]
            self._keep(name, kept, "replaced when the source began anew")

    def settle(self) -> None:
        """Sort by step; of one (name, step) the later value stays. Call when all is added."""
        for name in sorted(self._columns):
            steps = self._columns[name].steps
            newest = {step: i for i, step in enumerate(steps)}
            self._keep(name, [newest[step] for step in sorted(newest)], REPLACED)
        self._columns = {k: c for k, c in sorted(self._columns.items()) if c.steps}
        self.counts.kept = sum(len(c.steps) for c in self._columns.values())

    def _keep(self, name: str, indices: list[int], why: str) -> None:
        column = self._columns[name]
        dropped = len(column.steps) - len(indices)
        if dropped:
            self.counts.skipped[why] += dropped
        if indices == list(range(len(column.steps))):
            return
        kept = _Column()
        kept.steps.extend(column.steps[i] for i in indices)
        kept.values.extend(column.values[i] for i in indices)
        kept.times.extend(column.times[i] for i in indices)
        self._columns[name] = kept

    def under(self, key_of: Callable[[str], str | None]) -> Points:
        """Return settled points under other names; those without a new name are left out.

        Raises:
            UsageError: If two names would become one.
        """
        was: dict[str, str] = {}
        other = Points(time=self._time)
        other._has_times = self._has_times
        other.counts.add(self.counts)
        for name, column in self._columns.items():
            key = key_of(name)
            if key is None:
                other.counts.skipped["left out by --map"] += len(column.steps)
            elif was.setdefault(key, name) != name:
                raise UsageError(
                    f"'{was[key]}' and '{name}' would both be {key}",
                    hint=f"give one another key: --map '{name}=split/group/name'",
                )
            else:
                other._columns[key] = column
        other._columns = dict(sorted(other._columns.items()))
        other.counts.kept = sum(len(c.steps) for c in other._columns.values())
        return other

    def continued_by(self, later: Points) -> Points:
        """Return both as one: where the steps of a name overlap, only the later ones count."""
        both = Points(time=self._time)
        both._has_times = self._has_times or later._has_times
        for part in (self, later):
            both.counts.add(part.counts)
        for name in {**self._columns, **later._columns}:
            new = later._columns.get(name, _Column())
            both._columns[name] = self._columns.get(name, _Column())
            if new.steps:
                steps = both._columns[name].steps
                kept = [i for i, s in enumerate(steps) if not new.steps[0] <= s <= new.steps[-1]]
                both._keep(name, kept, "replaced by a later file")
                both._columns[name] = _chained(both._columns[name], new)
        both.settle()
        return both

    @property
    def names(self) -> tuple[str, ...]:
        """What was logged."""
        return tuple(self._columns)

    @property
    def span(self) -> tuple[float, float]:
        """Unix seconds of the first and the last point."""
        times = [c.times for c in self._columns.values()]
        if not times:
            return self._time, self._time
        return min(map(min, times)), max(map(max, times))

    @property
    def extents(self) -> dict[str, Extent]:
        """Name -> the steps at which it was logged, in short."""
        return {name: _extent(column.steps) for name, column in self._columns.items()}

    @property
    def has_times(self) -> bool:
        """Whether the source says when its values were logged."""
        return self._has_times

    def curves(self) -> dict[str, tuple[Sequence[int], Sequence[float]]]:
        """Name -> steps and values."""
        return {name: (c.steps, c.values) for name, c in self._columns.items()}

    def digest(self, *, with_times: bool = True) -> bytes:
        """Return what is equal only for equal points; times that stand in do not count."""
        total = hashlib.sha256()
        for name, column in self._columns.items():
            times = column.times.tobytes() if with_times and self._has_times else b""
            for part in (name.encode(), column.steps.tobytes(), column.values.tobytes(), times):
                total.update(len(part).to_bytes(8, "little") + part)
        return total.digest()

    def batches(self) -> Iterator[SpoolBatch]:
        """Yield the points by step, in batches of one transaction each."""
        logs: list[StepValues] = []
        size = offset = 0
        for log in self._logs():
            if size >= _BATCH and log.step != logs[-1].step:
                yield _batch(offset, logs)
                logs, size, offset = [], 0, offset + 1
            logs.append(log)
            size += len(log.keys)
        yield _batch(offset, logs)

    def _logs(self) -> Iterator[StepValues]:
        """Yield what was logged together: the same step at the same time."""
        import numpy as np

        columns = list(self._columns.items())
        if not columns:
            return
        keys = [key for key, _ in columns]
        steps = np.concatenate([np.asarray(c.steps) for _, c in columns])
        times = np.concatenate([np.asarray(c.times) for _, c in columns])
        values = np.concatenate([np.asarray(c.values) for _, c in columns])
        which = np.repeat(np.arange(len(keys)), [len(c.steps) for _, c in columns])
        order = np.lexsort((which, times, steps))
        is_new = np.ones(len(order), dtype=bool)
        is_new[1:] = (np.diff(steps[order]) != 0) | (np.diff(times[order]) != 0)
        bounds = [*np.flatnonzero(is_new).tolist(), len(order)]
        for i in range(len(bounds) - 1):
            rows = order[bounds[i] : bounds[i + 1]]
            yield StepValues(
                int(steps[rows[0]]),
                float(times[rows[0]]),
                tuple(keys[n] for n in which[rows].tolist()),
                tuple(values[rows].tolist()),
            )


def _batch(offset: int, logs: list[StepValues]) -> SpoolBatch:
    return SpoolBatch(
        start_offset=offset, end_offset=offset + 1, logs=tuple(logs), has_started=offset == 0
    )
