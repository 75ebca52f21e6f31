"""How many seeds would tell, against the power of the test by scipy and by simulation."""

import math
import random

import pytest
from scipy import stats

from ablate.analysis.statistics.lending import Difference, differences
from ablate.analysis.statistics.seeds import MOST_SEEDS, seeds_needed
from tests.support.present import present


def seen(difference, sds=(1.0, 1.0), df=2.5, loan=0.2):
    """Return a difference that was seen between two seeds of each side."""
    return Difference(
        difference=difference,
        error=math.hypot(*sds) / math.sqrt(2),
        df=df,
        mode="arms",
        pairs=0,
        n_variant=2,
        n_reference=2,
        sds=sds,
        loan=loan,
    )


def exact_power(effect, n, df, alpha):
    critical = stats.t.isf(alpha / 2, df)
    return stats.nct.sf(critical, df, effect * math.sqrt(n / 2))


@pytest.mark.parametrize("family", [1, 3, 13])
@pytest.mark.parametrize("effect", [1.6, 2.0, 3.0, 4.0, 8.0])
def test_seeds_are_those_of_the_exact_power_give_or_take_one(effect, family):
    found = present(seeds_needed(seen(effect), family))

    for n, power in ((found.low, 0.5), (found.usual, 0.8), (found.high, 0.9)):
        # Loans are gone from five seeds on; below, the degrees of freedom say what they are.
        dfs = {k: 2 * (k - 1 + 0.2 * min(1, max(0, (5 - k) / 3))) for k in (n - 1, n, n + 1)}
        assert exact_power(effect, n + 1, dfs[n + 1], 0.05 / family) >= power
        assert n == 3 or exact_power(effect, n - 1, dfs[n - 1], 0.05 / family) < power + 0.02


def test_with_so_many_seeds_studies_decide_as_often_as_promised():
    # Four variants of equal noise, differences of three standard deviations.
    n = present(seeds_needed(seen(3.0), 3)).usual
    draw = random.Random(11)
    decided, studies = 0, 300
    for _ in range(studies):
        arms = {
            name: {s: level + draw.gauss(0, 1) for s in range(n)}
            for name, level in (("base", 0.0), ("a", 3.0), ("b", 0.0), ("c", 0.0))
        }
        (found,) = differences(arms, [("a", "base")])
        decided += present(found.p) < 0.05 / 3
    assert decided / studies == pytest.approx(0.8, abs=0.1)


def test_where_nothing_is_seen_no_number_is_named():
    assert seeds_needed(seen(0.3), 1) is None  # p far above 0.3
    assert seeds_needed(seen(0.0), 1) is None
    assert seeds_needed(seen(1e-9, sds=(1e-6, 1e-6)), 1) is None


def test_what_a_thousand_seeds_would_not_decide_names_no_number():
    needle = Difference(
        difference=0.05,
        error=0.04,
        df=4000.0,
        mode="arms",
        pairs=0,
        n_variant=1250,
        n_reference=1250,
        sds=(1.0, 1.0),
    )
    assert needle.p is not None
    assert needle.p < 0.3
    assert seeds_needed(needle, 1) is None
    assert MOST_SEEDS == 1000


def test_without_noise_three_seeds_do():
    assert present(seeds_needed(seen(1.0, sds=(0.0, 0.0)), 13)).usual == 3
