"""Curves that are read as far as a comparison asks: most of it needs the last steps alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.store.base import Curve, Store


class StoredCurves(Mapping[tuple[str, str], "StoredCurve"]):
    """(run id, key) -> curve, for the keys that the run has logged.

    Args:
        store: It has to stay open.
        run_ids: Of which runs.
        keys: Of which metrics.
    """

    def __init__(self, store: Store, run_ids: Sequence[str], keys: Collection[str]) -> None:
        self._curves = {
            (run_id, key): StoredCurve(run, key)
            for run_id in run_ids
            for run in [_StoredRun(store, run_id, keys)]
            for key in run.keys
        }

    def __getitem__(self, place: tuple[str, str]) -> StoredCurve:
        return self._curves[place]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._curves)

    def __len__(self) -> int:
        return len(self._curves)


class _StoredRun:
    """What was read of a run: ranges of steps of all its keys, and whole curves."""

    def __init__(self, store: Store, run_id: str, keys: Collection[str]) -> None:
        self._store = store
        self.run_id = run_id
        wanted = set(keys)
        self.keys = [key for key in store.metric_keys([run_id]) if key in wanted]
        self._ranges: dict[tuple[int, int], dict[str, Curve]] = {}
        self._whole: dict[str, Curve] = {}

    def whole(self, key: str) -> Curve:
        if key not in self._whole:
            (self._whole[key],) = self._store.curves([self.run_id], [key], with_times=False)
        return self._whole[key]

    def between(self, key: str, first_step: int, last_step: int) -> Curve:
        if key in self._whole:
            return self._whole[key].between(first_step, last_step)
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
    """Implements `ablate.analysis.study_data.RunCurve`."""

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
