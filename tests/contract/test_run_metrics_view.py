"""The view that any SQL client reads says the same as the Python API."""

import dataclasses
import math
import random
from collections import Counter
from contextlib import closing

import pytest
from sqlalchemy import text

from ablate.domain import AttemptState, Kind
from ablate.spool.batch import Ending, StepValues
from ablate.store import open_store
from ablate.store.schema.engine import connect, reading
from ablate.testing.factories import feed, logs, make_plan, make_variant, must_claim

COLUMNS = ["study", "variant", "seed", "run", "key", "step", "value", "kind", "time"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ablate.db"
    return request.getfixturevalue("postgres_store_url")


@pytest.fixture
def store(url):
    store = open_store(url)
    yield store
    store.close()


def fetch(url: str, query: str) -> list[dict[str, object]]:
    with closing(connect(url, read_only=True)) as database, reading(database) as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def view_of(url: str) -> dict[tuple[str, str, int], tuple[object, ...]]:
    rows = fetch(url, "SELECT * FROM run_metrics")
    assert all(list(row) == COLUMNS for row in rows)
    places = [(row["study"], row["variant"], row["run"], row["key"], row["step"]) for row in rows]
    assert [place for place, n in Counter(places).items() if n > 1] == []
    return {
        (str(row["run"]), str(row["key"]), int(str(row["step"]))): (
            row["value"],
            row["kind"],
            row["time"],
        )
        for row in rows
    }


def view_expected(store) -> dict[tuple[str, str, int], tuple[object, ...]]:
    ids = [run.id for run in store.runs()]
    return {
        (curve.run_id, curve.key, step): (
            value if math.isfinite(value) else None,
            Kind.of(value).value,
            time,
        )
        for curve in store.curves(ids, store.metric_keys(ids))
        for step, value, time in zip(curve.steps, curve.values, curve.times, strict=True)
    }


@pytest.mark.parametrize("seed", range(6))
def test_view_equals_curves_whatever_was_logged_and_resumed(url, store, seed):
    rng = random.Random(seed)
    specials = [math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324]
    store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))
    for _ in range(8):
        claim = must_claim(store)
        resumed = rng.choice([None, *range(0, 60, 10)]) if claim.attempt > 1 else None
        first = 0 if resumed is None else resumed + rng.randrange(-3, 2)
        made = [
            StepValues(
                max(0, step),
                1e9 + rng.random(),
                keys := tuple(rng.sample(["x", "y", "z/ü"], rng.randrange(1, 4))),
                tuple(rng.choice([*specials, rng.random()]) for _ in keys),
            )
            for step in sorted(first + rng.randrange(60) for _ in range(25))
        ]
        half = rng.randrange(len(made))
        feed(store, claim, start=resumed, logs=tuple(made[:half]))
        feed(store, claim, logs=tuple(made[half:]))
        store.finish(claim, Ending(state=AttemptState.LOST))

    assert view_of(url) == view_expected(store)
    assert len(view_of(url)) > 20


def test_view_shows_kinds_in_words_and_no_value_that_is_not_finite(url, store):
    store.apply_plan(make_plan(variants=("a",), seeds=(7,)))
    claim = must_claim(store)
    values = {"fin": 2.5, "zero": -0.0, "nan": math.nan, "pos": math.inf, "neg": -math.inf}
    feed(store, claim, start=None, logs=logs([3], values))

    rows = fetch(url, "SELECT * FROM run_metrics ORDER BY key")

    shown = {row["key"]: (row["value"], row["kind"]) for row in rows}
    assert shown == {
        "fin": (2.5, "finite"),
        "zero": (0.0, "finite"),
        "nan": (None, "nan"),
        "pos": (None, "+inf"),
        "neg": (None, "-inf"),
    }
    assert {(row["study"], row["variant"], row["seed"], row["run"]) for row in rows} == {
        ("scale-fix", "a", 7, claim.run.id)
    }


def test_shared_run_is_shown_to_each_variant_that_wants_it(url, store):
    one = make_variant("one", is_baseline=True)
    two = dataclasses.replace(one, name="two", is_baseline=False)
    store.apply_plan(make_plan("first", (one, two), seeds=(0,)))
    store.apply_plan(make_plan("second", (two, make_variant("other", is_baseline=True)), (0,)))
    claim = must_claim(store)
    feed(store, claim, start=None, logs=logs([1], {"x": 1.0}))

    places = [(r["study"], r["variant"]) for r in fetch(url, "SELECT * FROM run_metrics")]
    assert sorted(places) == [("first", "one"), ("first", "two"), ("second", "two")]

    store.apply_plan(make_plan("first", (one,), seeds=(0,)))
    places = [(r["study"], r["variant"]) for r in fetch(url, "SELECT * FROM run_metrics")]
    assert sorted(places) == [("first", "one"), ("second", "two")]


def test_replaced_points_stay_readable_by_attempt(url, store):
    store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
    for start in (None, 10, None):
        claim = must_claim(store)
        feed(store, claim, start=start, logs=logs([11, 20], {"x": float(claim.attempt)}))
        store.finish(claim, Ending(state=AttemptState.LOST))

    rows = fetch(
        url,
        "SELECT attempts.number, points.step, points.value FROM points"
        " JOIN series ON series.id = points.series_id"
        " JOIN attempts ON attempts.id = series.attempt_id ORDER BY 1, 2",
    )

    assert [tuple(row.values()) for row in rows] == [
        (number, step, float(number)) for number in (1, 2, 3) for step in (11, 20)
    ]
    assert {row[0] for row in view_of(url).values()} == {3.0}


def test_every_change_of_state_is_kept_with_who_and_token(url, store):
    store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
    first = must_claim(store, "runner-1")
    store.finish(first, Ending(state=AttemptState.DIVERGED, reason="not finite"))
    store.requeue([first.run.id], by="ada")
    second = must_claim(store, "runner-2")
    store.cancel([first.run.id], by="bob")

    rows = fetch(url, "SELECT from_state, to_state, by, reason, token FROM transitions ORDER BY id")

    assert [tuple(row.values()) for row in rows] == [
        ("queued", "running", "runner-1", None, first.token),
        ("running", "diverged", "runner-1", "not finite", first.token),
        ("diverged", "queued", "ada", None, first.token + 1),
        ("queued", "running", "runner-2", None, second.token),
        ("running", "cancelled", "bob", None, second.token + 1),
    ]


def test_json_columns_are_json_that_sql_reads(tmp_path):
    store = open_store(f"{tmp_path}/ablate.db")
    variant = make_variant("é🎛️", config={"a": {"b": math.nan}, "t": "\ud800"}, is_baseline=True)
    store.apply_plan(make_plan(variants=(variant,), seeds=(0,)))
    store.close()

    (row,) = fetch(
        f"{tmp_path}/ablate.db",
        "SELECT json_extract(config, '$.a.b.kind') AS kind, json_valid(config) AS valid FROM runs",
    )

    assert (row["kind"], row["valid"]) == ("nan", 1)
