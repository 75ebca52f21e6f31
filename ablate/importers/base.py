"""What every importer gives: runs with points, and counts of what was read, kept and skipped."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ablate.domain import AttemptState, Json
from ablate.identity import canonical_json
from ablate.importers.names import KeyMap
from ablate.store.base import SpoolBatch, StepValues

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


class Points:
    """The points of one run: 24 bytes each.

    Args:
        names: From the source's names to metric keys.
        time: Stands in where the source says none, in Unix seconds.
    """

    def __init__(self, names: KeyMap, *, time: float = 0.0) -> None:
        self.counts = Counts()
        self._names = names
        self._time = time
        self._columns: dict[str, _Column] = {}
        self._has_times = False

    def add(self, name: str, step: int, value: float, time: float | None = None) -> None:
        """Keep a value under the key that its name stands for, or count why not."""
        key = self._names.key(name)
        if key is None:
            self.counts.skip("left out by --map")
            return
        if not 0 <= step <= MAX_STEP:
            self.counts.skip("step is negative or too large")
            return
        self.counts.read += 1
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = _Column()
        if time is not None and math.isfinite(time):
            self._has_times = True
        else:
            time = self._time
        column.steps.append(step)
        column.values.append(value)
        column.times.append(time)

    def drop_from(self, step: int) -> None:
        """Drop what was added at this step or later: the source began there anew."""
        for key, column in self._columns.items():
            kept = [i for i, s in enumerate(column.steps) if s < step]
            self._keep(key, kept, "replaced when the source began anew")

    def settle(self) -> None:
        """Sort by step; of one (key, step) the later value stays. Call once, when all is added."""
        for key in sorted(self._columns):
            steps = self._columns[key].steps
            newest = {step: i for i, step in enumerate(steps)}
            self._keep(key, [newest[step] for step in sorted(newest)], "replaced by a later value")
        self._columns = {k: c for k, c in sorted(self._columns.items()) if c.steps}
        self.counts.kept = sum(len(c.steps) for c in self._columns.values())

    def _keep(self, key: str, indices: list[int], why: str) -> None:
        column = self._columns[key]
        dropped = len(column.steps) - len(indices)
        if dropped:
            self.counts.skipped[why] += dropped
        if indices == list(range(len(column.steps))):
            return
        kept = _Column()
        kept.steps.extend(column.steps[i] for i in indices)
        kept.values.extend(column.values[i] for i in indices)
        kept.times.extend(column.times[i] for i in indices)
        self._columns[key] = kept

    @property
    def span(self) -> tuple[float, float]:
        """Unix seconds of the first and the last point."""
        times = [c.times for c in self._columns.values()]
        if not times:
            return self._time, self._time
        return min(map(min, times)), max(map(max, times))

    def digest(self) -> bytes:
        """Return what is equal only for equal points; times that stand in do not count."""
        total = hashlib.sha256()
        for key, column in self._columns.items():
            times = column.times.tobytes() if self._has_times else b""
            for part in (key.encode(), column.steps.tobytes(), column.values.tobytes(), times):
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


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRun:
    """One run as its source has it."""

    source: str
    """What names it for good: ``mlflow:<run id>``, ``csv:<path>``."""
    name: str
    """What the source calls it; the variant's name by default."""
    points: Points
    """Settled."""
    seed: int | None = None
    config: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """What it was trained with, as far as the source says."""
    state: AttemptState = AttemptState.SUCCEEDED
    reason: str | None = None

    def identity(self) -> str:
        """Return 64 hex digits of where it came from and what it says."""
        said = canonical_json([self.source, dict(self.config), self.state.value, self.reason])
        return hashlib.sha256(b"import/1\0" + said.encode() + self.points.digest()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What `ablate import` was asked to read."""

    source: str
    """A path, or for MLflow the URI of a tracking server."""
    names: KeyMap
    relative: Callable[[Any], str] = str
    """From a path to the text that names it, which does not depend on the current folder."""
    experiment: str | None = None
    """For MLflow: the experiment's name or id."""


@dataclass(slots=True)
class Reading:
    """The runs of a source, with what was left out before it could belong to one."""

    runs: list[SourceRun] = field(default_factory=list[SourceRun])
    counts: Counts = field(default_factory=Counts)
    notes: list[str] = field(default_factory=list[str])
    """What the user should know, a sentence each."""

    def total(self) -> Counts:
        """Return the counts of everything."""
        total = Counts()
        total.add(self.counts)
        for run in self.runs:
            total.add(run.points.counts)
        return total


def plain_config(config: Mapping[str, Any]) -> dict[str, Json]:
    """Return a config that is canonical JSON: numbers that are not finite become their words."""
    return {str(key): _plain(value) for key, value in config.items()}


def _plain(value: Any) -> Json:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return plain_config(value)  # pyright: ignore[reportUnknownArgumentType]
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return str(value)
