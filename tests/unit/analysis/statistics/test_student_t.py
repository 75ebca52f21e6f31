import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.analysis.statistics.student_t import t_quantile, t_tail

OPTIONS = settings(deadline=None)  # scipy's own first call takes long
freedom = st.integers(1, 999)


@OPTIONS
@given(st.floats(1e-3, 40) | st.floats(-40, -1e-3), freedom)  # nearer to 0 scipy is inexact
def test_tail_equals_scipys(t, df):
    assert t_tail(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-11, abs=1e-19)


@OPTIONS
@given(st.floats(0.5, 20), freedom, st.floats(-40, 40))
def test_tail_of_the_noncentral_distribution_equals_scipys(t, df, shift):
    assert t_tail(t, df, shift) == pytest.approx(stats.nct.sf(t, df, shift), abs=1e-11)


def test_tail_near_zero_follows_the_density() -> None:
    for t in (0.0, 1e-10, 1e-5):
        assert t_tail(t, 1) == pytest.approx(0.5 - math.atan(t) / math.pi, rel=1e-15)


@OPTIONS
@given(st.floats(0.75, 0.9999), freedom)
def test_quantile_turns_the_tail_around(p, df):
    t = t_quantile(p, df)

    assert t == pytest.approx(stats.t.ppf(p, df), rel=1e-10, abs=1e-12)
    assert 1 - t_tail(t, df) == pytest.approx(p, rel=1e-12)
