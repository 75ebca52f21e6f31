"""The summaries in the tables say what the points say, however those came."""

import dataclasses
import math
import random
from collections import defaultdict
from contextlib import closing

import pytest
from sqlalchemy import text

from ablate.domain import AttemptState
from ablate.errors import LeaseLostError
from ablate.spool.batch import Ending, SpoolBatch, StepValues
from ablate.store import open_store
from ablate.store.schema.engine import connect, reading
from ablate.store.schema.rollups import RollupTuple, bucket_of, rollup
from ablate.store.schema.rows import decode
from ablate.testing.factories import feed, logs, make_plan, must_claim

COLUMNS = (
    "series_id, n, n_nan, n_pos_inf, n_neg_inf, first_at, min_at, max_at, last_at, bucket, sum,"
    " first, min, max, last"
)


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


def fetch(url: str, query: str) -> list[tuple]:
    with closing(connect(url, read_only=True)) as database, reading(database) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def stored(url: str) -> list[RollupTuple]:
    return fetch(url, f"SELECT {COLUMNS} FROM rollups ORDER BY series_id, bucket")


def expected(url: str) -> list[RollupTuple]:
    points = defaultdict(list)
    for series_id, step, value, kind in fetch(
        url, "SELECT series_id, step, value, kind FROM points ORDER BY series_id, step"
    ):
        points[series_id, bucket_of(step)].append((step, decode(value, kind)))
    return [
        rollup(series_id, bucket, *zip(*part, strict=True))
        for (series_id, bucket), part in points.items()
    ]


def claim_one(store):
    store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
    return must_claim(store)


def test_bucket_holds_the_steps_up_to_its_end_and_step_0_lies_alone(url, store):
    claim = claim_one(store)

    feed(store, claim, start=None, logs=logs(range(102), {"x": 2.0}))

    rows = fetch(url, "SELECT bucket, n, sum, first_at, last_at FROM rollups ORDER BY bucket")
    whole = (50, 100.0, 1, 50)
    assert rows == [(0, 1, 2.0, 50, 50), (1, *whole), (2, *whole), (3, 1, 2.0, 1, 1)]


def test_bucket_grows_with_each_batch(url, store):
    claim = claim_one(store)
    feed(store, claim, start=None)
    for step in range(1, 8):
        feed(store, claim, logs=logs([step], {"x": float(step), "y": -1.0}))

    assert stored(url) == expected(url)
    assert fetch(url, "SELECT n, sum FROM rollups ORDER BY series_id") == [(7, 28.0), (7, -7.0)]


@pytest.mark.parametrize("what", ["another process", "a failure", "a repeated step"])
def test_bucket_grows_after_what_was_remembered_of_it_is_forgotten(url, store, what):
    claim = claim_one(store)
    feed(store, claim, start=None, logs=logs(range(1, 21), {"x": 1.0, "y": 2.0}))
    if what == "another process":
        store.close()
        store = open_store(url)
    elif what == "a failure":
        lost = dataclasses.replace(claim, token=claim.token - 1)
        with pytest.raises(LeaseLostError):
            store.ingest(lost, SpoolBatch(start_offset=0, end_offset=1))
    else:
        feed(store, claim, logs=logs([5], {"x": 9.0}))
    for step in (21, 30, 40, 51, 60):
        feed(store, claim, logs=logs([step], {"x": float(step)}))
        assert stored(url) == expected(url)
    store.close()


def test_late_and_repeated_steps_change_their_bucket_alone(url, store):
    claim = claim_one(store)
    feed(store, claim, start=None, logs=logs(range(0, 400, 3), {"x": 1.0}))
    before = stored(url)

    feed(store, claim, logs=logs([99, 100], {"x": 50.0}))

    after = stored(url)
    assert after == expected(url)
    assert [row for row, old in zip(after, before, strict=True) if row != old] == [after[2]]
    assert after[2][9:11] == (2, 50.0 + 50.0 + 16)


def test_key_that_two_layouts_share_is_one_series(url, store):
    claim = claim_one(store)
    made = [
        StepValues(step, 1.0, ("x", "y") if step % 3 else ("x",), (1.0, 2.0)[: 1 + (step % 3 > 0)])
        for step in range(1, 130)
    ]

    feed(store, claim, start=None, logs=tuple(made))

    assert stored(url) == expected(url)


def test_sum_beyond_the_doubles_is_left_out_and_the_rest_is_there(url, store):
    claim = claim_one(store)

    feed(store, claim, start=None, logs=logs([1, 2], {"x": 1.7e308}))

    (row,) = fetch(url, "SELECT n, sum, min, max FROM rollups")
    assert row == (2, None, 1.7e308, 1.7e308)


def test_largest_step_has_a_bucket(url, store):
    claim = claim_one(store)
    feed(store, claim, start=None, logs=logs([2**63 - 1], {"x": 1.0}, time=0.0))
    feed(store, claim, logs=logs([2**63 - 1], {"x": 2.0}, time=0.0))

    assert stored(url) == expected(url)


@pytest.mark.parametrize("seed", range(8))
def test_rollups_follow_the_points_whatever_was_logged_and_resumed(url, store, seed):
    rng = random.Random(seed)
    specials = [math.nan, math.inf, -math.inf, 0.0, 5e-324, 1e308, -1e308]
    store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
    for start in (None, 120, 60):
        claim = must_claim(store)
        for batch in range(4):
            steps = [rng.randrange(300) for _ in range(rng.randrange(60))]
            if rng.random() < 0.7:
                steps.sort()
            made = tuple(
                StepValues(
                    step,
                    1e9 + rng.random(),
                    keys := tuple(rng.sample(["x", "y", "z"], rng.randrange(1, 4))),
                    tuple(
                        rng.choice(specials) if rng.random() < 0.05 else rng.gauss(0, 1)
                        for _ in keys
                    ),
                )
                for step in steps
            )
            feed(store, claim, logs=made, **({"start": start} if batch == 0 else {}))
            assert stored(url) == expected(url)
        store.finish(claim, Ending(state=AttemptState.LOST))
