"""Shares of a variance, and the noncentral F that their intervals are made of."""

from __future__ import annotations

import pytest
from scipy import stats

from ablate.analysis.factorial.shares import Part, share_interval, share_of
from ablate.analysis.statistics.f_tail import noncentral_f_tail


@pytest.mark.parametrize("df1", [1, 2, 7])
@pytest.mark.parametrize("df2", [1, 15, 400])
@pytest.mark.parametrize("shift", [0.0, 1e-9, 0.7, 12.5, 300.0])
@pytest.mark.parametrize("f", [0.01, 1.0, 4.5, 60.0])
def test_noncentral_f_agrees_with_scipy(f: float, shift: float, df2: int, df1: int) -> None:
    wanted = 1 - stats.ncf.cdf(f, df1, df2, shift) if shift else stats.f.sf(f, df1, df2)

    assert noncentral_f_tail(f, df1, df2, shift) == pytest.approx(wanted, abs=1e-9)


def test_an_interval_has_the_tails_that_it_promises() -> None:
    low, high = share_interval(0.83, 2, 18, 18)

    assert low is not None
    assert high is not None
    f = 0.83 / 2 / (0.17 / 15)
    for share, tail in ((low, 0.025), (high, 0.975)):
        shift = 18 * share / (1 - share)
        assert 1 - stats.ncf.cdf(f, 2, 15, shift) == pytest.approx(tail, abs=1e-6)


def test_a_share_that_noise_alone_explains_begins_at_zero() -> None:
    found = share_of(Part(variance=1.0, df=1, runs=11), 10.0, 11, noise=11.0)

    assert (found.seen, found.low, found.unbiased) == (0.1, 0.0, 0.0)


def test_a_share_without_noise_has_no_interval() -> None:
    found = share_of(Part(variance=8.0, df=1, runs=4), 10.0, 4)

    assert (found.seen, found.low, found.high, found.unbiased) == (0.8, None, None, None)


@pytest.mark.parametrize("seen", [0.0, 1e-12, 0.5, 0.9999, 1.0])
def test_an_interval_holds_what_was_seen_or_ends_at_it(seen: float) -> None:
    low, high = share_interval(seen, 1, 12, 12)

    assert low is not None
    assert high is not None
    assert 0.0 <= low <= high <= 1.0
    assert low <= seen


def test_nothing_left_for_noise_is_no_interval() -> None:
    assert share_interval(0.5, 3, 4, 4) == (None, None)


def test_runs_that_tell_a_term_badly_widen_its_interval() -> None:
    whole, few = share_interval(0.6, 1, 20, 20), share_interval(0.6, 1, 20, 5)

    assert (few[0] or 0) < (whole[0] or 0)
    assert (few[1] or 0) > (whole[1] or 0)
