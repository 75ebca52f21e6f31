"""Curves that are read as far as a comparison asks: most of it needs the last steps alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.store.base import Store
from ablate.store.curves import Curve

MAX_POINTS = 400_000
"""Of whole curves that are kept in memory: forty megabytes."""


class StoredCurves(Mapping[tuple[str, str], "StoredCurve"]):
    """(run id, key) -> curve, for the keys that the run has logged.

    Args:
        store: It has to stay open.
        run_ids: Of which runs.
        keys: Of which metrics.
    """

    def __init__(self, store: Store, run_ids: Sequence[str], keys: Collection[str]) -> None:
        whole = _WholeCurves(store)
        self._curves = {
            (run_id, key): StoredCurve(run, key)
            for run_id in run_ids
            for run in [_StoredRun(store, run_id, keys, whole)]
            for key in run.keys
        }

    def __getitem__(self, place: tuple[str, str]) -> StoredCurve:
        return self._curves[place]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._curves)

    def __len__(self) -> int:
        return len(self._curves)


class _WholeCurves:
    """Whole curves, of which those that were asked for last are kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, str], Curve] = {}
        self._n_points = 0
        self._steps: tuple[int, ...] = ()

    def find(self, run_id: str, key: str) -> Curve | None:
        """Return a curve if it is kept."""
        return self._kept.get((run_id, key))

    def get(self, run_id: str, key: str) -> Curve:
        """Return a curve, read if it is not kept."""
        curve = self._kept.pop((run_id, key), None)
        if curve is None:
            (curve,) = self._store.curves([run_id], [key], with_times=False)
            if curve.steps == self._steps:  # most are logged at the same steps: keep them once
                curve = replace(curve, steps=self._steps)
            self._steps = curve.steps
            self._n_points += len(curve.steps)
        self._kept[run_id, key] = curve  # the last one again
        while self._n_points > MAX_POINTS and len(self._kept) > 1:
            self._n_points -= len(self._kept.pop(next(iter(self._kept))).steps)
        return curve


class _StoredRun:
    """A run: its keys, and ranges of steps of all of them."""

    def __init__(
        self, store: Store, run_id: str, keys: Collection[str], whole: _WholeCurves
    ) -> None:
        self._store = store
        self._whole = whole
        self.run_id = run_id
        wanted = set(keys)
        self.keys = [key for key in store.metric_keys([run_id]) if key in wanted]
        self._ranges: dict[tuple[int, int], dict[str, Curve]] = {}

    def whole(self, key: str) -> Curve:
        return self._whole.get(self.run_id, key)

    def between(self, key: str, first_step: int, last_step: int) -> Curve:
        if curve := self._whole.find(self.run_id, key):
            return curve.between(first_step, last_step)
        steps = first_step, last_step
        if steps not in self._ranges:
            # Who asks for one key's last steps asks for those of the others next.
            found = self._store.curves(
                [self.run_id],
                self.keys,
                first_step=first_step,
                last_step=last_step,
                with_times=False,
            )
            self._ranges[steps] = {curve.key: curve for curve in found}
        empty = Curve(run_id=self.run_id, key=key, steps=(), values=())
        return self._ranges[steps].get(key, empty)


@dataclass(frozen=True, slots=True)
class StoredCurve:
    """Implements `ablate.analysis.curves.study_data.RunCurve`."""

    run: _StoredRun
    key: str

    @property
    def run_id(self) -> str:
        """See `RunCurve`."""
        return self.run.run_id

    @property
    def steps(self) -> tuple[int, ...]:
        """See `RunCurve`."""
        return self.run.whole(self.key).steps

    @property
    def values(self) -> tuple[float, ...]:
        """See `RunCurve`."""
        return self.run.whole(self.key).values

    def between(self, first_step: int, last_step: int) -> Curve:
        """See `RunCurve`."""
        return self.run.between(self.key, first_step, last_step)
