"""Contrasts of a whole study: one family, verdicts, ratios, margins, seeds that are not there."""

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.analysis.statistics.contrasts import Measured, contrasts_of
from ablate.rules import Goal
from tests.support.present import present

numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))
seeds = st.dictionaries(st.integers(0, 9), numbers, max_size=6)


def arm(*values):
    return dict(enumerate(values))


def contrasts(arms, *, goal: Goal | None = "min", reference="base", **changes):
    """Return variant -> contrast to the reference in one primary metric."""
    metric = Measured(arms=arms, goal=goal, is_primary=True, **changes)
    pairs = [(name, reference) for name in arms if name != reference]
    return {name: c for (name, _), c in contrasts_of({"m": metric}, pairs)["m"].items()}


DEMO = {
    "phase1": arm(-52.90318, -49.63658),
    "phase_a": arm(-38.4896, -41.65934),
    "phase_fixed": arm(-19.86312, -19.61467),
    "base": arm(3.56766, 3.65728),
}


def test_demo_is_decided_as_the_method_says():
    found = contrasts(DEMO, goal="max", reference="phase1")

    assert [found[n].p_t for n in ("phase_a", "phase_fixed", "base")] == pytest.approx(
        [0.026671892446229455, 0.011946037918593031, 0.0056438050546871775], rel=1e-9
    )
    assert [present(found[n].p_holm) for n in ("phase_a", "phase_fixed", "base")] == pytest.approx(
        [0.026671892446, 0.023892075837, 0.016931415164], rel=1e-9
    )
    assert {c.verdict for c in found.values()} == {"better"}


def test_two_variants_are_compared_by_pairs_or_by_welch():
    paired = contrasts({"base": arm(1, 2, 4), "x": arm(5, 5.5, 7)})["x"]
    assert (paired.method, paired.pairs) == ("paired", 3)
    assert paired.p_t == pytest.approx(0.006734083335155563, rel=1e-9)
    assert (paired.ci_low, paired.ci_high) == pytest.approx((2.257931144124835, 4.742068855875165))

    apart = contrasts({"base": arm(1, 2, 4), "x": {7: 5.0, 8: 5.5, 9: 7.0}})["x"]
    assert (apart.method, apart.pairs, apart.p) == ("welch", 0, None)
    welch: Any = stats.ttest_ind([1, 2, 4], [5, 5.5, 7], equal_var=False)
    assert apart.p_t == pytest.approx(welch.pvalue, rel=1e-9)


@settings(deadline=None)
@given(seeds, seeds, seeds, seeds)
def test_the_interval_holds_zero_just_where_nothing_is_decided(base, x, y, z):
    for contrast in contrasts({"base": base, "x": x, "y": y, "z": z}).values():
        if contrast.ci_low is None or contrast.ci_high is None or contrast.p_t in (None, 0, 1):
            continue
        p = present(contrast.p_holm)
        if abs(p - 0.05) > 1e-9:
            assert (contrast.ci_low <= 0 <= contrast.ci_high) is (p >= 0.05)
        assert contrast.ci_low <= present(contrast.difference) <= contrast.ci_high


def test_all_primary_metrics_make_one_family_and_the_rest_decides_nothing():
    draw = random.Random(5)
    names = ("base", "a", "b", "c")
    metrics = {
        key: Measured(
            arms={n: {s: draw.gauss(i, 0.2) for s in range(3)} for i, n in enumerate(names)},
            goal="min",
            is_primary=key != "other",
        )
        for key in ("first", "second", "other")
    }
    found = contrasts_of(metrics, [(n, "base") for n in names[1:]])

    primary = [c for key in ("first", "second") for c in found[key].values()]
    expected = multipletests([present(c.p_t) for c in primary], method="holm")[1]
    assert [c.p_holm for c in primary] == pytest.approx(list(present(expected)))
    other = list(found["other"].values())
    expected = multipletests([present(c.p_t) for c in other], method="holm")[1]
    assert [c.p_holm for c in other] == pytest.approx(list(present(expected)))
    assert [c.is_primary for c in (*primary, *other)] == [True] * 6 + [False] * 3


def test_what_is_shown_beside_takes_nothing_from_what_decides():
    pairs = [("phase_a", "phase1"), ("phase_fixed", "phase_a")]
    metric = Measured(arms=DEMO, goal="max", is_primary=True)

    alone = contrasts_of({"m": metric}, pairs)["m"]
    both = contrasts_of({"m": metric}, pairs, beside=[("base", "phase1")])["m"]

    assert [both[pair] for pair in pairs] == [alone[pair] for pair in pairs]
    assert not both["base", "phase1"].is_primary


def test_ratios_are_told_with_the_difference_that_they_make():
    arms = {"base": arm(2.0, 2.2, 2.1), "x": arm(1.0, 1.1, 1.05), "y": arm(2.1, 2.0, 2.2)}
    found = contrasts(arms, scale="log")["x"]

    assert found.ratio == pytest.approx(0.5)
    assert present(found.ratio_low) < 0.5 < present(found.ratio_high) < 1
    level = math.exp(sum(map(math.log, (2.0, 2.2, 2.1))) / 3)
    assert found.difference == pytest.approx(-level / 2)
    assert found.ci_high == pytest.approx(level * (present(found.ratio_high) - 1))
    assert found.verdict == "better"


def test_a_ratio_that_a_float_does_not_hold_is_none():
    arms = {"base": arm(1e-300, 2e-300), "x": arm(1e300, 2e300), "y": arm(1.0, 1.5)}
    found = contrasts(arms, scale="log")["x"]

    assert (found.ratio, found.difference, found.verdict) == (None, None, "worse")


@pytest.mark.parametrize(("goal", "verdict"), [("min", "worse"), ("max", "better"), (None, None)])
def test_goal_says_what_a_decided_difference_means(goal, verdict):
    arms = {"base": arm(1.0, 1.01, 0.99), "up": arm(9.0, 9.02, 9.01), "z": arm(1, 1.02, 1)}

    assert contrasts(arms, goal=goal)["up"].verdict == verdict


def test_equal_within_the_margin_needs_a_margin():
    arms = {
        "base": arm(1.0, 1.1, 0.9),
        "x": arm(1.02, 1.05, 0.95),
        "y": arm(1.5, 1.4, 1.6),
        "z": arm(0.7, 0.8, 0.75),
    }
    without, within = contrasts(arms), contrasts(arms, margin=0.3)

    assert without["x"].verdict == "unresolved"
    assert within["x"].verdict == "equal"
    assert present(within["x"].p_equal) < 0.05 <= present(within["x"].p_holm)
    assert within["y"].verdict == "worse"


def test_what_differs_by_less_than_the_margin_is_equal_and_said_to_differ():
    arms = {
        "base": arm(1.0, 1.0001, 0.9999),
        "x": arm(1.01, 1.0101, 1.0099),
        "y": arm(1.0, 1.0002, 0.9998),
    }
    found = contrasts(arms, margin=0.1)["x"]

    assert (found.verdict, found.is_within_margin) == ("equal", True)
    assert contrasts(arms)["x"].verdict == "worse"


def test_identical_runs_are_equal_without_a_margin():
    values = arm(1.5, 2.5, 0.1)
    found = contrasts({"base": values, "same": dict(values), "other": arm(9, 8, 7)})

    assert (found["same"].verdict, found["same"].is_within_margin) == ("equal", False)


def test_without_any_spread_what_differs_is_decided_and_what_does_not_is_equal():
    ones, twos = arm(1.0, 1.0), arm(2.0, 2.0)
    found = contrasts({"base": ones, "x": dict(ones), "y": twos, "z": {5: 1.0, 6: 1.0}})

    assert [found[n].verdict for n in "xyz"] == ["equal", "worse", "equal"]
    assert (found["y"].p_t, found["y"].error) == (0.0, 0.0)


@pytest.mark.parametrize("own", [{}, arm(3.0)], ids=["no seed", "one seed"])
def test_too_few_seeds_decide_nothing_and_count_in_no_family(own):
    arms = {"base": arm(1.0, 2.0, 4.0), "x": arm(5.0, 5.5, 7.0), "y": arm(1, 1.5, 9), "u": own}
    found = contrasts(arms)

    assert (found["u"].p_t, found["u"].verdict) == (None, "unresolved")
    assert found["u"].difference == (pytest.approx(2 / 3) if own else None)
    # Corrected over the two that can be tested.
    expected = multipletests([present(found[n].p_t) for n in "xy"], method="holm")[1]
    assert [found[n].p_holm for n in "xy"] == pytest.approx(list(present(expected)))


def test_huge_values_are_compared_without_an_overflow():
    huge = {seed: 1e308 * (-1) ** seed for seed in range(4)}
    found = contrasts({"base": arm(1.0, 1.0, 1.0, 1.0), "x": huge, "y": arm(1, 2, 3, 4)})

    assert found["x"].verdict == "unresolved"
    assert found["x"].seeds is None or isinstance(found["x"].seeds.usual, int)


def test_null_studies_are_decided_at_most_at_the_promised_rate():
    draw = random.Random(3)
    wrong, studies = 0, 1000
    for _ in range(studies):
        metrics = {
            key: Measured(
                arms={name: {s: draw.gauss(0, 1) for s in range(3)} for name in ("base", *"abc")},
                goal="min",
                is_primary=True,
            )
            for key in ("m", "n")
        }
        found = contrasts_of(metrics, [(name, "base") for name in "abc"])
        wrong += any(c.is_decided for own in found.values() for c in own.values())

    # Three standard errors of a rate of 5 % in 1000 studies are 2 %.
    assert wrong / studies <= 0.05 + 0.02
