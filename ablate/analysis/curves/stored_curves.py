"""Curves that are read as far as a comparison asks: most of it needs the last steps alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from ablate.domain import Run
from ablate.store.base import Store
from ablate.store.curves import Curve, Stretches

MAX_POINTS = 400_000
"""Of whole curves that are kept in memory: forty megabytes."""
_OF_RANGES_AT_ONCE = 100_000
"""Points of ranges that are read together: who asks for a run's last steps asks for the next run's
too."""
_MOST_RUNS_AT_ONCE = 2_000
_OF_CURVES_AT_ONCE = 4_000
"""Points of whole curves that are read together: many short ones cost as much as one long one, and
a hundred times as many are kept."""


class StoredCurves(Mapping[tuple[str, str], "StoredCurve"]):
    """(run id, key) -> curve.

    Args:
        store: It has to stay open.
        runs: Whose curves.
        keys: Run id -> keys to read, of those that it has logged.
    """

    def __init__(
        self, store: Store, runs: Sequence[Run], keys: Mapping[str, Sequence[str]]
    ) -> None:
        reader = _Reader(store, runs, keys)
        self._curves = {
            (run.id, key): StoredCurve(reader, run.id, key)
            for run in runs
            for key in keys.get(run.id, ())
        }

    def __getitem__(self, place: tuple[str, str]) -> StoredCurve:
        return self._curves[place]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._curves)

    def __len__(self) -> int:
        return len(self._curves)


class _Reader:
    """Ranges of steps, which are kept, and whole curves, of which the last ones are."""

    def __init__(
        self, store: Store, runs: Sequence[Run], keys: Mapping[str, Sequence[str]]
    ) -> None:
        self._store = store
        self._ids = list(dict.fromkeys(run.id for run in runs))
        self._places = {run_id: place for place, run_id in enumerate(self._ids)}
        self._most_points = {run.id: 1 + (run.step or 0) for run in runs}
        self._keys = keys
        self._ranges: dict[tuple[int, int], dict[str, dict[str, Curve]]] = {}
        self._whole: dict[tuple[str, str], Curve] = {}
        self._n_points = 0
        self._longest: dict[str, int] = {}
        self._stretches_of: tuple[str, int] = "", 0
        self._stretches: dict[str, Stretches] = {}

    def between(self, run_id: str, key: str, first_step: int, last_step: int) -> Curve:
        """Return a part of a curve; it may have no point."""
        if whole := self._whole.get((run_id, key)):
            return whole.between(first_step, last_step)
        of_run = self._ranges.get((first_step, last_step), {}).get(run_id)
        if of_run is None:
            of_run = self._read_range(run_id, first_step, last_step)
        return of_run.get(key) or Curve(run_id=run_id, key=key, steps=(), values=())

    def _read_range(self, run_id: str, first_step: int, last_step: int) -> dict[str, Curve]:
        of_range = self._ranges.setdefault((first_step, last_step), {})
        place = self._places[run_id]
        each = (last_step - first_step + 1) * max(1, len(self._keys[run_id]))
        count = max(1, min(_OF_RANGES_AT_ONCE // each, _MOST_RUNS_AT_ONCE))
        ids = [i for i in self._ids[place : place + count] if i not in of_range]
        # Who asks for one key's last steps asks for those of the others next.
        keys = dict.fromkeys(key for i in ids for key in self._keys.get(i, ()))
        found = self._store.curves(
            ids, list(keys), first_step=first_step, last_step=last_step, with_times=False
        )
        of_range.update((i, {}) for i in ids)
        for curve in found:
            of_range[curve.run_id][curve.key] = curve
        return of_range[run_id]

    def whole(self, run_id: str, key: str) -> Curve:
        """Return a curve, read if it is not kept."""
        if (run_id, key) not in self._whole:
            self._read_whole(run_id, key)
        curve = self._whole.pop((run_id, key))
        self._whole[run_id, key] = curve  # the last one again
        return curve

    def _read_whole(self, run_id: str, key: str) -> None:
        ids = [i for i in self._short_from(run_id, key) if (i, key) not in self._whole]
        steps: tuple[int, ...] = ()
        for curve in self._store.curves(ids, [key], with_times=False):
            # Most are logged at the same steps: keep them once.
            steps = steps if curve.steps == steps else curve.steps
            self._n_points += len(steps)
            self._longest[key] = max(len(steps), self._longest.get(key, 0))
            self._whole[curve.run_id, key] = replace(curve, steps=steps)
        while self._n_points > MAX_POINTS and (oldest := next(iter(self._whole))) != (run_id, key):
            self._n_points -= len(self._whole.pop(oldest).steps)

    def stretched(self, run_id: str, key: str, width: int) -> Stretches:
        """Return a curve summed up over stretches; those of one metric are kept."""
        if (key, width) != self._stretches_of:
            self._stretches_of, self._stretches = (key, width), {}
        if run_id not in self._stretches:
            place = self._places[run_id]
            each = 1 + self._most_points[run_id] // width
            ids = self._ids[place : place + max(1, _OF_RANGES_AT_ONCE // each)]
            self._stretches |= {s.run_id: s for s in self._store.stretches(ids, [key], width)}
        return self._stretches[run_id]

    def _short_from(self, run_id: str, key: str) -> list[str]:
        """Return a run, and those after it as long as all have few points together."""
        place = self._places[run_id]
        nearby = self._ids[place : place + _OF_CURVES_AT_ONCE]
        # Few metrics are logged at every step; how dense this one is, its first curves tell.
        seen = self._longest.get(key, MAX_POINTS)
        totals = accumulate(min(self._most_points[i], seen) for i in nearby)
        short = [i for i, total in zip(nearby, totals, strict=True) if total <= _OF_CURVES_AT_ONCE]
        return short or [run_id]


@dataclass(frozen=True, slots=True)
class StoredCurve:
    """Implements `ablate.analysis.curves.study_data.RunCurve`."""

    reader: _Reader
    run_id: str
    """See `RunCurve`."""
    key: str
    """See `RunCurve`."""

    @property
    def steps(self) -> tuple[int, ...]:
        """See `RunCurve`."""
        return self.reader.whole(self.run_id, self.key).steps

    @property
    def values(self) -> tuple[float, ...]:
        """See `RunCurve`."""
        return self.reader.whole(self.run_id, self.key).values

    def between(self, first_step: int, last_step: int) -> Curve:
        """See `RunCurve`."""
        return self.reader.between(self.run_id, self.key, first_step, last_step)

    def stretched(self, width: int) -> Stretches:
        """See `RunCurve`."""
        return self.reader.stretched(self.run_id, self.key, width)
