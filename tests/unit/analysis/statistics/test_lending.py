"""Lent noise: values that were worked out independently, and what it falls back to."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.analysis.statistics import lending
from ablate.analysis.statistics.f_tail import f_tail
from ablate.analysis.statistics.family import holm
from ablate.analysis.statistics.lending import Difference, differences, seed_effect_p
from tests.support.present import present

Arms = dict[str, dict[int, float]]

FOUR: Arms = {
    "b": {0: 10, 1: 12},
    "x": {0: 20, 1: 20.5},
    "y": {0: 13, 1: 9},
    "z": {0: 30, 1: 30},
}
THREE: Arms = {
    "b": {0: 1, 1: 2, 2: 4},
    "x": {0: 5, 1: 5.5, 2: 7},
    "y": {0: 1, 1: 1.5, 2: 9},
}
SEEDED: Arms = {
    "b": {0: 0, 1: 10, 2: 20},
    "x": {0: 1, 1: 11.2, 2: 20.9},
    "y": {0: 3, 1: 12.9, 2: 23.2},
    "z": {0: 0.1, 1: 9.8, 2: 20.2},
}
CLOSE: Arms = {
    "b": {0: 1, 1: 1.1, 2: 0.9},
    "x": {0: 1.02, 1: 1.05, 2: 0.95},
    "y": {0: 1.5, 1: 1.4, 2: 1.6},
    "z": {0: 0.7, 1: 0.8, 2: 0.75},
}


def against(arms: Arms, reference: str = "b", **options: object) -> dict[str, Difference]:
    others = [name for name in arms if name != reference]
    found = differences(arms, [(name, reference) for name in others], **options)  # type: ignore[arg-type]
    return dict(zip(others, found, strict=True))


def exactly(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


def test_four_variants_with_two_seeds() -> None:
    found = against(FOUR)

    x, y, z = found["x"], found["y"], found["z"]
    assert (x.difference, x.error, x.df, x.p) == (
        exactly(9.25),
        exactly(1.143368561167687),
        exactly(1.7684284394334566),
        exactly(0.021136118426886487),
    )
    assert present(x.difference) - present(x.half()) == exactly(3.6585241005549722)
    assert present(x.difference) + present(x.half()) == exactly(14.841475899445028)
    assert (y.difference, y.p, y.df) == (0, 1, exactly(1.78658313549042))
    assert (z.error, z.df, z.p) == (
        exactly(1.1203608049790628),
        exactly(1.6657831526869897),
        exactly(0.007312711020848955),
    )
    assert holm([x.p, y.p, z.p]) == tuple(
        map(exactly, (0.042272236853772974, 1, 0.021938133062546866))
    )
    assert seed_effect_p(list(FOUR.values())) == exactly(0.7887799817897)
    assert {d.mode for d in found.values()} == {"arms"}


def test_without_loans_it_is_welchs_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "ARMS_FOR_A_DEGREE", 1e300)

    found = against(THREE)

    assert found["x"].p == exactly(0.0366930704082137)
    assert found["y"].p == exactly(0.629005031342949)


def test_three_variants_with_three_seeds() -> None:
    found = against(THREE)

    x, y = found["x"], found["y"]
    assert (x.error, x.df, x.p) == (
        exactly(1.1547005383792515),
        exactly(3.8582476240072907),
        exactly(0.040597859014009335),
    )
    assert present(x.difference) - present(x.half()) == exactly(0.24704576375499787)
    assert present(x.difference) + present(x.half()) == exactly(6.752954236245001)
    assert (y.error, y.df, y.p) == (
        exactly(2.749458821208968),
        exactly(2.6338244122242562),
        exactly(0.6281297890941272),
    )


def test_missing_seeds_and_a_single_one() -> None:
    arms: Arms = {**THREE, "x": {0: 5, 2: 7}, "u": {1: 3}}

    found = against(arms)

    assert found["x"].difference == exactly(3.6666666666666665)
    assert found["x"].df == exactly(2.460535415083306)
    assert found["x"].p == exactly(0.11635963596469058)
    assert found["y"].p == exactly(0.6284412504933449)
    assert found["u"].difference == exactly(0.6666666666666665)
    assert (found["u"].error, found["u"].p, found["u"].half()) == (None, None, None)


def test_seeds_that_matter_are_paired() -> None:
    found = against(SEEDED)

    assert seed_effect_p(list(SEEDED.values())) == pytest.approx(7.875899e-12, rel=1e-6)
    x = found["x"]
    assert (x.difference, x.error, x.df, x.p) == (
        exactly(1.0333333333),
        exactly(0.08932971498777995),
        exactly(2.2),
        exactly(0.005180616717599703),
    )
    assert found["y"].p == exactly(0.0004906045795542326)
    assert found["z"].error == exactly(0.12018504251546591)
    assert found["z"].p == exactly(0.8054296475573619)
    assert {(d.mode, d.pairs) for d in found.values()} == {("paired", 3)}


def test_two_variants_are_compared_by_a_paired_t_test() -> None:
    (x,) = against({"b": THREE["b"], "x": THREE["x"]}).values()

    assert x.p == exactly(0.006734083335155563)
    assert present(x.difference) - present(x.half()) == exactly(2.257931144124835)
    assert present(x.difference) + present(x.half()) == exactly(4.742068855875165)


def test_two_variants_without_shared_seeds_are_compared_by_welchs_test() -> None:
    own, other = {0: 5.0, 1: 5.5, 2: 7.0}, {3: 1.0, 4: 2.0, 5: 4.0}

    (x,) = against({"b": other, "x": own}).values()

    _, expected = stats.ttest_ind(list(own.values()), list(other.values()), equal_var=False)
    assert x.p == exactly(float(expected))  # type: ignore[arg-type]
    assert (x.mode, x.pairs) == ("classic", 0)


def test_equality_within_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    found = against(CLOSE)

    x, y, z = found["x"], found["y"], found["z"]
    assert (x.difference, x.error, x.df) == (
        exactly(0.0066666667),
        exactly(0.06547635281365159),
        exactly(3.261822189005012),
    )
    assert x.p_equal(0.3) == exactly(0.008663499899812379)
    assert (y.p, y.p_equal(0.3)) == (exactly(0.002909667369109704), exactly(0.9667272121))
    assert (z.p, z.p_equal(0.3)) == (exactly(0.027525499968142735), exactly(0.2476091920))
    monkeypatch.setattr(lending, "ARMS_FOR_A_DEGREE", 1e300)
    assert against(CLOSE)["x"].p_equal(0.3) == exactly(0.01023121339839747)


def test_five_seeds_lend_nothing() -> None:
    arms: Arms = {
        "b": {i: i * i % 7 for i in range(5)},
        "x": {i: (3 * i + 5) % 11 for i in range(5)},
        "y": {i: 5 * i % 9 for i in range(5)},
    }

    assert against(arms, pairing="never")["x"].p == exactly(0.1390593757601034)


def test_the_demos_si_sdr() -> None:
    arms: Arms = {
        "phase1": {0: -52.90318, 1: -49.63658},
        "phase_a": {0: -38.4896, 1: -41.65934},
        "phase_fixed": {0: -19.86312, 1: -19.61467},
        "base": {0: 3.56766, 1: 3.65728},
    }

    ps = [d.p for d in against(arms, "phase1").values()]

    assert ps == list(map(exactly, (0.026671892446, 0.011946037918593031, 0.0056438050546875)))
    assert holm(ps) == tuple(map(exactly, (0.026671892446, 0.023892075837, 0.016931415164)))


def test_no_spread_at_all() -> None:
    arms: Arms = {"b": {0: 1, 1: 1}, "x": {0: 1, 1: 1}, "y": {0: 2, 1: 2}, "z": {0: 1, 1: 1}}

    found = against(arms, pairing="never")

    assert [(d.error, d.p, d.half()) for d in found.values()] == [(0, 1, 0), (0, 0, 0), (0, 1, 0)]


def test_pairing_that_is_declared_is_kept() -> None:
    assert {d.mode for d in against(FOUR, pairing="always").values()} == {"paired"}
    assert {d.mode for d in against(SEEDED, pairing="never").values()} == {"arms"}


def test_variants_without_shared_seeds_are_not_paired_where_others_are() -> None:
    arms = SEEDED | {"w": {7: 3.0, 8: 4.0}}

    found = against(arms, pairing="always")

    assert (found["w"].pairs, found["x"].pairs) == (0, 3)
    assert found["w"].p is not None


def test_a_reference_is_any_variant() -> None:
    (one, other) = differences(FOUR, [("x", "y"), ("y", "x")])

    assert one.difference == -present(other.difference)
    assert one.p == exactly(present(other.p))


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300])
def test_the_unit_changes_nothing_but_the_numbers(size: float) -> None:
    scaled = {n: {s: v * size for s, v in arm.items()} for n, arm in FOUR.items()}

    found, expected = against(scaled), against(FOUR)

    for name, difference in found.items():
        assert difference.p == exactly(present(expected[name].p))
        assert difference.df == exactly(present(expected[name].df))
        assert present(difference.error) / size == exactly(present(expected[name].error))


def test_spread_that_is_rounding_is_none() -> None:
    arms = {n: {s: 0.1 * (s + 3) - 0.1 * s for s in (0, 1, 2)} for n in "bxyz"}

    assert {d.error for d in against(arms, pairing="never").values()} == {0.0}


values = st.floats(-1e3, 1e3).map(lambda v: round(v, 3))
arms_of = st.dictionaries(
    st.sampled_from("bxyzuv"), st.dictionaries(st.integers(0, 6), values, max_size=7), min_size=1
)


@settings(deadline=None)
@given(arms_of.filter(lambda arms: "b" in arms), st.sampled_from(["auto", "always", "never"]))
def test_whatever_there_is_p_and_intervals_agree(arms: Arms, pairing: str) -> None:
    for found in against(arms, pairing=pairing).values():
        if found.p is None:
            assert found.half() is None
            continue
        assert 0 <= found.p <= 1
        assert present(found.df) >= 1
        excludes_zero = abs(present(found.difference)) > present(found.half())
        assert excludes_zero is (found.p < 0.05) or found.p == pytest.approx(0.05, rel=1e-6)


@given(st.floats(0.01, 50), st.integers(1, 40), st.integers(1, 60))
def test_f_tail_equals_scipy(f: float, df1: int, df2: int) -> None:
    assert f_tail(f, df1, df2) == pytest.approx(
        float(stats.f.sf(f, df1, df2)), rel=1e-10, abs=1e-300
    )


def test_f_tail_at_its_ends() -> None:
    assert f_tail(0.0, 2, 3) == 1.0
    assert f_tail(math.inf, 2, 3) == 0.0


def test_null_studies_are_resolved_at_the_promised_rate() -> None:
    rng = random.Random(1)
    wrong = 0
    for _ in range(2000):
        spread = {name: math.exp(rng.gauss(0, 1)) for name in "bxyz"}
        arms = {n: {s: rng.gauss(0, spread[n]) for s in (0, 1)} for n in "bxyz"}
        wrong += min(present(p) for p in holm([d.p for d in against(arms).values()])) < 0.05

    assert wrong / 2000 < 0.05


def test_variances_are_those_of_numpy() -> None:
    data = [3.0, 4.5, 9.0]
    unit = 9.0

    assert lending._variance([v / unit for v in data]) * unit**2 == exactly(
        float(np.var(data, ddof=1))
    )
