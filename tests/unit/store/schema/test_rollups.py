import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ablate.store.schema.rollups import WIDTH, bucket_of, rollup


@given(st.integers(0, 2**63 - 1))
def test_bucket_of_a_step_ends_at_or_after_it(step):
    bucket = bucket_of(step)

    assert (bucket - 1) * WIDTH < step <= bucket * WIDTH


@given(st.dictionaries(st.integers(WIDTH + 1, 2 * WIDTH), st.floats(), min_size=1, max_size=WIDTH))
def test_row_counts_every_value_and_places_the_finite_ones(points):
    steps = sorted(points)
    values = [points[step] for step in steps]

    row: Any = rollup(7, 2, steps, values)

    series_id, n, n_nan, n_pos, n_neg, first_at, min_at, max_at, last_at, bucket = row[:10]
    first, low, high, last = row[11:]
    known = [step for step in steps if math.isfinite(points[step])]
    assert (series_id, bucket) == (7, 2)
    assert n + n_nan + n_pos + n_neg == len(points)
    assert (n, n_nan) == (len(known), sum(map(math.isnan, values)))
    if not known:
        assert {first_at, min_at, max_at, last_at, *row[10:]} == {None}
        return
    assert (first_at, last_at) == (known[0] - WIDTH, known[-1] - WIDTH)
    assert (first, last) == (points[known[0]], points[known[-1]])
    assert (low, high) == (points[WIDTH + min_at], points[WIDTH + max_at])
    assert low == min(points[step] for step in known)
    assert high == max(points[step] for step in known)
