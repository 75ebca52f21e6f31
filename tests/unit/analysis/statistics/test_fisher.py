"""Fisher's exact test against scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.analysis.statistics.fisher import fisher_p

counts = st.integers(1, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, counts)
def test_p_is_that_of_scipy(one: tuple[int, int], other: tuple[int, int]) -> None:
    (lost, runs), (other_lost, other_runs) = one, other
    table = [[lost, runs - lost], [other_lost, other_runs - other_lost]]

    assert fisher_p(lost, runs, other_lost, other_runs) == pytest.approx(
        stats.fisher_exact(table)[1], rel=1e-9
    )


def test_three_of_three_against_none_says_nothing() -> None:
    assert fisher_p(3, 3, 0, 3) == pytest.approx(0.1)
    assert fisher_p(4, 4, 0, 4) == pytest.approx(2 / 70)
