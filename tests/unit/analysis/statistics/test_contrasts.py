import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from ablate.analysis.statistics.contrasts import (
    contrast_of,
    holm,
    mean_interval,
    paired_contrast,
    paired_t_p,
    seeds_to_resolve,
    sign_flip_p,
    welch_contrast,
    with_holm,
)
from tests.support.present import present

numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))


@given(st.lists(numbers, min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-3))
def test_interval_of_a_mean_equals_scipy(values):
    interval = mean_interval(values)

    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_one_value_has_no_interval():
    assert mean_interval([3.0]).low is None


@given(st.lists(numbers, min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-3))
def test_paired_t_equals_scipy(differences):
    _, expected = stats.ttest_1samp(differences, 0.0)

    assert paired_t_p(differences) == pytest.approx(expected, rel=1e-9, abs=1e-12)


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


@settings(deadline=None, max_examples=25)  # the reference takes 0.1 s a call
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_holm_equals_statsmodels(ps):
    known = [p for p in ps if p is not None]
    adjusted = holm(ps)

    assert [p is None for p in adjusted] == [p is None for p in ps]
    if known:
        expected = multipletests(known, method="holm")[1]
        assert [p for p in adjusted if p is not None] == pytest.approx(list(present(expected)))


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 2.5])
def test_seeds_to_resolve_equals_statsmodels(effect):
    n = present(seeds_to_resolve(effect, 1.0, alpha=0.05))

    power = TTestPower().power
    assert power(effect, n, 0.05) >= 0.8 > power(effect, n - 1, 0.05)


def test_hopeless_differences_name_no_number_of_seeds():
    assert seeds_to_resolve(0.0, 1.0, alpha=0.05) is None
    assert seeds_to_resolve(1e-6, 1.0, alpha=0.05) is None
    assert seeds_to_resolve(1e6, 1.0, alpha=0.05) == 2


def test_difference_is_paired_over_shared_seeds_alone():
    contrast = paired_contrast({0: 1.0, 1: 2.5, 9: 50.0}, {0: 2.0, 1: 3.0, 7: -9.0}, goal="min")

    assert contrast.difference == pytest.approx(-0.75)
    assert contrast.pairs == 2
    assert contrast.p_smallest == 0.5


def test_values_that_are_not_finite_take_no_part():
    contrast = paired_contrast({0: 1.0, 1: math.nan}, {0: 2.0, 1: 3.0}, goal="min")

    assert contrast.pairs == 1
    assert contrast.verdict == "unresolved"


def test_no_shared_seed_is_unresolved_without_numbers():
    contrast = paired_contrast({0: 1.0}, {1: 1.0}, goal="max")

    assert (contrast.pairs, contrast.difference, contrast.verdict) == (0, None, "unresolved")


samples = st.lists(numbers, min_size=2, max_size=8).filter(lambda v: np.std(v) > 1e-3)


def welch(own, theirs):
    """Return the contrast that there must be."""
    return present(welch_contrast(own, theirs, goal="min"))


@given(samples, samples)
def test_welch_equals_scipy(own, theirs):
    contrast = welch(dict(enumerate(own)), dict(enumerate(theirs)))

    expected: Any = stats.ttest_ind(own, theirs, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert contrast.p_t == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-12)
    assert (contrast.ci_low, contrast.ci_high) == pytest.approx(
        (interval.low, interval.high), rel=1e-9, abs=1e-9
    )
    assert (contrast.n_variant, contrast.n_baseline) == (len(own), len(theirs))


def test_welch_resolves_values_without_any_spread_and_nothing_that_is_too_large_to_square():
    ones, twos = dict.fromkeys(range(3), 1.0), dict.fromkeys(range(5, 8), 2.0)
    huge = {seed: 1e308 * (-1) ** seed for seed in range(4)}

    assert welch(twos, ones).verdict == "worse"
    assert welch(ones, ones).verdict == "equal"
    assert welch(huge, ones).verdict == "unresolved"


def test_interval_that_a_float_does_not_hold_is_none():
    wide, ones = {7: -1e308, 8: 0.0, 9: -1e308}, dict.fromkeys(range(2), 1.0)
    contrast = welch(wide, ones)

    assert contrast.difference == pytest.approx(-1e308 / 1.5)
    assert (contrast.ci_low, contrast.ci_high, contrast.seeds_needed) == (None, None, None)


@pytest.mark.parametrize(
    ("own", "method", "counts"),
    [
        (range(11, 16), "welch", (0, 5, 5)),
        (range(5, 9), "welch", (0, 4, 5)),
        (range(4, 9), "paired", (2, 2, 2)),
        (range(5, 6), "paired", (1, 1, 1)),
        (range(11, 12), "paired", (0, 1, 5)),
    ],
    ids=["none shared", "one shared", "two shared", "one value, shared", "one value"],
)
def test_seeds_are_paired_where_two_are_shared_and_means_compared_where_both_have_two(
    own, method, counts
):
    variant = {seed: 1.0 + 0.01 * seed for seed in own}
    base = {seed: 2.0 + 0.02 * seed for seed in range(1, 6)}

    contrast = contrast_of(variant, base, goal="min")

    assert contrast.method == method
    assert (contrast.pairs, contrast.n_variant, contrast.n_baseline) == counts


@pytest.mark.parametrize(
    ("goal", "verdict"), [("min", "worse"), ("max", "better"), ("target", "worse"), (None, None)]
)
def test_goal_says_what_a_resolved_difference_means(goal, verdict):
    up = {s: 10.0 + 0.01 * s for s in range(4)}
    base = {s: 1.0 - 0.01 * s**2 for s in range(4)}

    assert paired_contrast(up, base, goal=goal).verdict == verdict


def test_identical_runs_are_equal():
    values = {0: 1.5, 1: 2.5, 2: 0.1}

    assert paired_contrast(values, dict(values), goal="min").verdict == "equal"


def test_holm_takes_back_a_verdict_that_one_of_many_comparisons_found():
    base = dict.fromkeys(range(4), 0.0)
    found = {0: 1.0, 1: 1.9, 2: 0.6, 3: 1.4}
    noise = [{s: (-1) ** s * (k + 1.0) for s in range(4)} for k in range(9)]
    alone = paired_contrast(found, base, goal="min")
    contrasts = [alone, *(paired_contrast(n, base, goal="min") for n in noise)]

    corrected = with_holm(contrasts, "min")

    assert alone.verdict == "worse"
    assert corrected[0].verdict == "unresolved"


def test_null_studies_are_resolved_at_the_promised_rate():
    draw = random.Random(3)
    wrong, covered, studies = 0, 0, 2000
    for _ in range(studies):
        seeds = {s: draw.gauss(0, 3) for s in range(4)}
        arms = [{s: v + draw.gauss(0, 1) for s, v in seeds.items()} for _ in range(4)]
        base, *others = arms
        contrasts = [paired_contrast(a, base, goal="min", family=3) for a in others]
        wrong += any(c.verdict != "unresolved" for c in with_holm(contrasts, "min"))
        covered += present(contrasts[0].ci_low) <= 0 <= present(contrasts[0].ci_high)

    # Three standard errors of a rate of 5 % in 2000 studies are 1.5 %.
    assert wrong / studies <= 0.05 + 0.015
    assert 0.935 <= covered / studies <= 0.965
