"""Curves that are read when they are asked for: many at once, and few that stay in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import pytest

from ablate.analysis.curves import stored_curves
from ablate.analysis.curves.stored_curves import StoredCurves
from ablate.analysis.curves.study_data import StudyData
from ablate.store.base import Store
from tests.support.factories import FakeStore, make_data

KEYS = ("train/loss/a", "valid/loss/b")


class Asked(FakeStore):
    """A store that counts what it is asked for."""

    def __init__(self, data: StudyData) -> None:
        super().__init__(data)
        self.read: list[int] = []

    def curves(self, run_ids: Sequence[str], keys: Sequence[str], **asked: Any) -> Any:
        self.read.append(len(run_ids))
        return super().curves(run_ids, keys, **asked)


def study(runs: int, points: int) -> StudyData:
    return make_data(
        {
            f"v{n}": {0: {key: [n + math.sin(step) for step in range(points)] for key in KEYS}}
            for n in range(runs)
        }
    )


def opened(data: StudyData) -> tuple[Asked, StoredCurves]:
    store = Asked(data)
    keys = store.keys_by_run([run.id for run in data.runs])
    return store, StoredCurves(cast("Store", store), data.runs, keys)


def same(one: Any, other: Any) -> bool:
    return (one.steps, one.values) == (other.steps, other.values)


def test_last_steps_of_many_runs_are_read_at_once() -> None:
    data = study(runs=300, points=40)
    store, curves = opened(data)

    for (run, key), curve in curves.items():
        assert same(curve.between(30, 39), data.curves[run, key].between(30, 39))

    assert len(curves) == 600
    assert store.read == [300]


def test_short_curves_are_read_together_and_long_ones_alone() -> None:
    short, long = study(runs=100, points=10), study(runs=3, points=5_000)

    for data, most in ((short, 4), (long, 6)):
        store, curves = opened(data)
        for place, curve in curves.items():
            assert same(curve, data.curves[place])
        assert len(store.read) <= most


def test_how_densely_a_metric_is_logged_is_learnt_from_its_first_curves() -> None:
    rare = make_data(
        {f"v{n}": {0: {KEYS[0]: [float(n)] * 5_000, KEYS[1]: [0.0, float(n)]}} for n in range(40)}
    )
    store, curves = opened(rare)

    read = [curve.steps for (_, key), curve in curves.items() if key == KEYS[1]]

    assert len(read) == 40
    assert store.read == [1, 39]


@pytest.mark.parametrize(("most", "again"), [(100, True), (100_000, False)])
def test_as_many_points_of_whole_curves_stay_as_may(
    monkeypatch: pytest.MonkeyPatch, most: int, again: bool
) -> None:
    monkeypatch.setattr(stored_curves, "MAX_POINTS", most)
    data = study(runs=12, points=30)
    store, curves = opened(data)

    def look() -> int:
        before = len(store.read)
        assert all(same(curve, data.curves[place]) for place, curve in curves.items())
        return len(store.read) - before

    assert look() > 0
    assert (look() > 0) is again


def test_stretches_of_all_runs_are_read_at_once() -> None:
    data = study(runs=20, points=400)
    _, curves = opened(data)

    found = [curve.stretched(100) for curve in curves.values()]

    assert [s.starts for s in found] == [(0, 100, 200, 300)] * 40
    assert all(s == data.curves[s.run_id, s.key].stretched(100) for s in found)
