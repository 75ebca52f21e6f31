"""What a store promises about means, stretches and outlines: what the points say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.domain import AttemptState
from ablate.errors import UsageError
from ablate.spool.batch import Ending, StepValues
from ablate.store.base import Store
from ablate.store.curves import MIN_OUTLINE, Curve
from ablate.testing.factories import feed, logs, make_plan, must_claim

# ruff: noqa: D102 - a test's name says what it tests

OPTIONS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.differing_executors,  # one suite, a class for each store
    ],
)
values = st.floats(-1e3, 1e3) | st.sampled_from((math.nan, math.inf, -math.inf, 1.7e308, -1.7e308))
attempts = st.lists(
    st.tuples(
        st.none() | st.integers(0, 200),
        st.lists(st.tuples(st.integers(0, 260), values), max_size=40),
        st.integers(1, 30),
    ),
    min_size=1,
    max_size=3,
)
windows = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda w: (min(w), max(w))), max_size=5
)


def log_attempts(
    store: Store, made: Sequence[tuple[int | None, list[tuple[int, float]], int]]
) -> str:
    """Log attempts of one new run: where each starts, points in any order, a dense part."""
    study = f"study {len(store.studies())}"
    store.apply_plan(make_plan(study, (study,), seeds=(0,)))
    run_id = ""
    for number, (start, points, dense) in enumerate(made):
        claim = must_claim(store)
        run_id = claim.run.id
        first = start + 1 if start and number else 0
        ramp = [(first + n, 0.1 * n - number) for n in range(dense * 5)]
        made_logs = tuple(StepValues(s, 1e9, ("x", "y"), (v, 1.0)) for s, v in ramp + points)
        feed(store, claim, start=start if number else None, logs=made_logs)
        store.finish(claim, Ending(state=AttemptState.LOST))
    store.cancel([run_id], by="the test")
    return run_id


def mean_of(numbers: Sequence[float]) -> float:
    """Return the mean as the analysis does: not finite as soon as one value is."""
    odd = {str(v) for v in numbers if not math.isfinite(v)}
    if odd:
        return float(odd.pop()) if len(odd) == 1 else math.nan
    return math.fsum(v / len(numbers) for v in numbers)


def close(found: float, expected: float, scale: float) -> bool:
    """Whether two means are equal but for how `mean_of` rounds each share of the mean."""
    if not math.isfinite(expected):
        return str(found) == str(expected)
    return abs(found - expected) <= 1e-12 * abs(expected) + 1e-15 * scale


class SummariesContract:
    """`Store.means`, `Store.stretches` and `Store.outlines`."""

    @OPTIONS
    @given(attempts, windows)
    def test_means_are_those_of_the_points(
        self,
        store: Store,
        made: list[tuple[int | None, list[tuple[int, float]], int]],
        asked: list[tuple[int, int]],
    ) -> None:
        run_id = log_attempts(store, made)

        found = store.means([run_id], ["y", "x", "none"], asked)

        places = [(mean.key, (mean.first_step, mean.last_step)) for mean in found]
        expected: list[tuple[str, tuple[int, int]]] = []
        means = iter(found)
        for key in ("y", "x"):
            for window in asked:
                curves = store.curves([run_id], [key], first_step=window[0], last_step=window[1])
                if not curves:
                    continue
                expected.append((key, window))
                (mean, numbers) = next(means), curves[0].values
                assert mean.n == len(numbers)
                assert mean.not_finite == sum(not math.isfinite(v) for v in numbers)
                scale = max((abs(v) for v in numbers if math.isfinite(v)), default=0.0)
                assert close(mean.mean, mean_of(numbers), scale)
        assert places == expected

    def test_mean_of_terms_that_cancel_is_exact(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        claim = must_claim(store)
        terms = [1e16 if step % 2 else -1e16 for step in range(1, 201)]
        made = tuple(
            StepValues(step, 1.0, ("x",), (term + 3.0,)) for step, term in enumerate(terms, 1)
        )
        feed(store, claim, start=None, logs=made)

        (mean,) = store.means([claim.run.id], ["x"], [(1, 200)])

        assert mean.mean == math.fsum(term + 3.0 for term in terms) / 200

    def test_means_come_by_run_then_key_then_window_as_given(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))
        one, two = must_claim(store), must_claim(store)
        feed(store, one, start=None, logs=logs(range(120), {"x": 1.0, "y": 2.0}))
        feed(store, two, start=None, logs=logs(range(60), {"x": 3.0}))

        found = store.means([two.run.id, one.run.id], ["y", "x"], [(100, 110), (0, 50)])

        assert [(m.run_id, m.key, m.first_step, m.mean, m.n) for m in found] == [
            (two.run.id, "x", 0, 3.0, 51),
            (one.run.id, "y", 100, 2.0, 11),
            (one.run.id, "y", 0, 2.0, 51),
            (one.run.id, "x", 100, 1.0, 11),
            (one.run.id, "x", 0, 1.0, 51),
        ]
        assert store.means([], ["x"], [(0, 9)]) == store.means([one.run.id], [], [(0, 9)]) == ()

    @settings(OPTIONS, max_examples=25)
    @given(attempts, st.integers(1, 80))
    def test_stretches_are_those_of_the_points(
        self,
        store: Store,
        made: list[tuple[int | None, list[tuple[int, float]], int]],
        width: int,
    ) -> None:
        run_id = log_attempts(store, made)

        found = store.stretches([run_id], ["y", "none", "x"], width)

        expected = [curve.stretched(width) for curve in store.curves([run_id], ["y", "x"])]
        assert [replace(s, means=()) for s in found] == [replace(s, means=()) for s in expected]
        for one, other in zip(found, expected, strict=True):
            for mean, wanted in zip(one.means, other.means, strict=True):
                assert (mean is None) == (wanted is None)
                assert mean is None or close(mean, wanted or 0.0, 1e5)

    def test_stretches_come_by_run_then_key_as_given(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))
        one, two = must_claim(store), must_claim(store)
        feed(store, one, start=None, logs=logs(range(10), {"x": 1.0, "y": 2.0}))
        feed(store, two, start=None, logs=logs(range(7, 13), {"x": 3.0}))

        found = store.stretches([two.run.id, one.run.id], ["y", "x"], 4)

        assert [(s.run_id, s.key, s.starts, s.counts, s.last_step) for s in found] == [
            (two.run.id, "x", (4, 8, 12), (1, 4, 1), 12),
            (one.run.id, "y", (0, 4, 8), (4, 4, 2), 9),
            (one.run.id, "x", (0, 4, 8), (4, 4, 2), 9),
        ]
        assert store.stretches([], ["x"], 4) == store.stretches([one.run.id], [], 4) == ()

    @OPTIONS
    @given(attempts, st.integers(MIN_OUTLINE, 60), st.integers(0, 50), st.integers(50, 300))
    def test_outline_keeps_peaks_and_ends_and_says_how_wide_its_ranges_are(
        self,
        store: Store,
        made: list[tuple[int | None, list[tuple[int, float]], int]],
        max_points: int,
        first: int,
        last: int,
    ) -> None:
        run_id = log_attempts(store, made)
        curves = store.curves([run_id], ["x"], first_step=first, last_step=last)

        found = store.outlines(
            [run_id], ["x"], max_points=max_points, first_step=first, last_step=last
        )

        assert len(found) == len(curves)
        if not found:
            return
        (outline,), (curve,) = found, curves
        points = dict(zip(curve.steps, map(str, curve.values), strict=True))
        kept = dict(zip(outline.steps, map(str, outline.values), strict=True))
        assert len(outline.steps) <= max_points
        assert outline.steps == tuple(sorted(outline.steps))
        assert {s: float(v) for s, v in kept.items() if v != "nan"} == {
            s: float(points[s]) for s, v in kept.items() if v != "nan"
        }
        assert {s for s in kept if kept[s] == "nan"} == {s for s in kept if points[s] == "nan"}
        if outline.width == 1:
            assert outline.steps == curve.steps
        for part in _ranges(curve, outline.width):
            assert _ends(part) <= _ends([(s, v) for s, v in part if s in kept])

    def test_long_curve_has_an_outline_of_real_points(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        claim = must_claim(store)
        made = [(step, math.sin(step / 7)) for step in range(5001)]
        made[777], made[4321] = (777, 40.0), (4321, -40.0)
        feed(
            store, claim, start=None, logs=tuple(StepValues(s, 1.0, ("x",), (v,)) for s, v in made)
        )

        (outline,) = store.outlines([claim.run.id], ["x"], max_points=500)

        found = dict(zip(outline.steps, outline.values, strict=True))
        assert 300 < len(found) <= 500
        assert outline.width == 50
        assert found.items() <= dict(made).items()
        assert {0, 777, 4321, 5000} <= set(found)

    def test_outline_of_fewer_points_than_can_be_is_refused(self, store: Store) -> None:
        with pytest.raises(UsageError, match="at least 16 points"):
            store.outlines([], [], max_points=MIN_OUTLINE - 1)


def _ranges(curve: Curve, width: int) -> list[list[tuple[int, float]]]:
    parts: dict[int, list[tuple[int, float]]] = {}
    for step, value in zip(curve.steps, curve.values, strict=True):
        parts.setdefault(-(-step // width), []).append((step, value))
    return list(parts.values())


def _ends(points: Sequence[tuple[int, float]]) -> set[object]:
    """Return what stands for a range: first and last finite step, extremes, kinds of the others."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    odd = {str(value) for _, value in points if not math.isfinite(value)}
    if not finite:
        return {*odd}
    numbers = [value for _, value in finite]
    return {*odd, ("first", finite[0][0]), ("last", finite[-1][0]), min(numbers), max(numbers)}
