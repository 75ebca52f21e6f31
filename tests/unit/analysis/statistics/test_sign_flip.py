"""The exact sign-flip test against every assignment, and against scipy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.analysis.statistics.sign_flip import sign_flip_p


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=9))
def test_sign_flip_equals_counting_every_assignment(differences):
    observed = abs(sum(differences))
    signs = list(itertools.product((-1, 1), repeat=len(differences)))
    sums = [abs(sum(s * d for s, d in zip(row, differences, strict=True))) for row in signs]

    # Integers, so that ties are exact.
    assert sign_flip_p(differences) == sum(s >= observed for s in sums) / len(signs)


def test_sign_flip_equals_scipys_exact_permutation_test():
    draw = np.random.default_rng(7)
    for n in (3, 6, 10):
        differences = draw.normal(0.5, 1.0, n)
        reference = stats.permutation_test(
            (differences, np.zeros(n)),
            lambda a, b: np.mean(a - b),
            permutation_type="samples",
            n_resamples=2**n,  # every one
        ).pvalue
        assert sign_flip_p(list(differences)) == pytest.approx(reference, abs=1e-12)


def test_sign_flip_counts_ties_that_rounding_would_break():
    # 0.1 + 0.2 differs from 0.3 in the last bit.
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0
    assert sign_flip_p([0.1, 0.1, 0.1]) == 0.25


def test_sign_flip_of_forty_pairs_is_exact_and_more_are_refused():
    assert sign_flip_p([1.0] * 40) == pytest.approx(2 / 2**40)
    assert sign_flip_p([1.0] * 41) is None
