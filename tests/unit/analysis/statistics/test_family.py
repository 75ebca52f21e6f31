"""One error for a family of differences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from ablate.analysis.statistics.family import Corrected, corrected, holm
from tests.support.present import present

ps = st.floats(0, 1)


@settings(deadline=None, max_examples=25)  # the reference takes 0.1 s a call
@given(st.lists(st.none() | ps, max_size=8))
def test_without_margins_it_is_holms_correction(values: list[float | None]) -> None:
    known = [p for p in values if p is not None]
    adjusted = holm(values)

    assert [p is None for p in adjusted] == [p is None for p in values]
    if known:
        expected = present(multipletests(known, method="holm")[1])
        assert [p for p in adjusted if p is not None] == pytest.approx(list(expected))


def test_a_contrast_counts_until_both_of_its_hypotheses_are_rejected() -> None:
    found = corrected([(0.001, 0.9), (0.6, 0.002), (0.03, 0.04)])

    # In order: .001 and .002 with three open, .03 and .04 too, then two are left, then one.
    assert [each.different for each in found] == pytest.approx([0.003, 1.0, 0.09])
    assert [each.equal for each in found] == pytest.approx([1.0, 0.006, 0.12])


def test_contrasts_without_a_test_do_not_count() -> None:
    found = corrected([(None, None), (0.02, None), (None, 0.01), (0.03, None)])

    assert found[0] == found[2] == Corrected(None, None)
    assert [found[1].different, found[3].different] == pytest.approx([0.04, 0.04])


@given(st.lists(st.tuples(st.none() | ps, st.none() | ps), max_size=10))
def test_corrected_values_are_in_the_order_of_the_raw_ones(
    values: list[tuple[float | None, float | None]],
) -> None:
    pairs = [
        (raw, now)
        for (different, equal), each in zip(values, corrected(values), strict=True)
        for raw, now in ((different, each.different), (equal, each.equal))
        if now is not None and raw is not None
    ]

    assert all(raw <= now <= 1 for raw, now in pairs)
    assert [now for _, now in sorted(pairs)] == sorted(now for _, now in pairs)
