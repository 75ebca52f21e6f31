"""Effects of factors against a textbook, statsmodels and what can be counted by hand."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence

import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.formula.api import ols

from ablate.analysis.factorial.fit import Effects, Observation, effects_of

SIGNS = dict.fromkeys("ABCD", ("-", "+"))
RATES = (45, 71, 48, 65, 68, 60, 80, 65, 43, 100, 45, 104, 75, 86, 70, 96)
"""Montgomery, Design and Analysis of Experiments, Example 6.2 (a pilot plant's filtration rate,
one replicate of a 2^4 in standard order); the effects are those of its Table 6.12."""
BOOK = {
    "A": 21.625,
    "B": 3.125,
    "C": 9.875,
    "D": 14.625,
    "A:B": 0.125,
    "A:C": -18.125,
    "A:D": 16.625,
    "B:C": 2.375,
    "B:D": -0.375,
    "C:D": -1.125,
    "A:B:C": 1.875,
    "A:B:D": 4.125,
    "A:C:D": -1.625,
    "B:C:D": -2.625,
    "A:B:C:D": 1.375,
}
TOLERANCE = 1e-9
"""Of the value: both sides sum some hundred numbers in another order."""


def pilot(values: Sequence[float] = RATES) -> list[Observation]:
    return [
        Observation(
            levels={f: "-+"[place >> i & 1] for i, f in enumerate("ABCD")}, seed=0, value=value
        )
        for place, value in enumerate(values)
    ]


def grid(
    levels: Mapping[str, Sequence[str]], seeds: int, *, noise: float = 1.0, start: int = 7
) -> list[Observation]:
    """Return runs of a whole grid, with effects of every kind and of the seed."""
    chance = random.Random(start)
    weights = {(f, level): chance.gauss(0, 2) for f in levels for level in levels[f]}
    pairs: dict[tuple[str, str], float] = {}
    found: list[Observation] = []
    for seed in range(seeds):
        shift = chance.gauss(0, 1)
        for cell in itertools.product(*levels.values()):
            value = shift + chance.gauss(0, noise)
            value += sum(weights[f, level] for f, level in zip(levels, cell, strict=True))
            value += pairs.setdefault((cell[0], cell[1]), chance.gauss(0, 1))
            found.append(
                Observation(levels=dict(zip(levels, cell, strict=True)), seed=seed, value=value)
            )
    return found


def fitted(observations: Sequence[Observation], formula: str) -> object:
    frame = pd.DataFrame([{**o.levels, "seed": o.seed, "y": o.value} for o in observations])
    return ols(formula, frame).fit()


def anova(observations: Sequence[Observation], formula: str) -> pd.DataFrame:
    return sm.stats.anova_lm(fitted(observations, formula), typ=3)


def same(found: float | None, wanted: float) -> bool:
    return found == pytest.approx(wanted, rel=TOLERANCE, abs=1e-12)


def test_the_pilot_plant_has_the_effects_of_the_textbook() -> None:
    found = effects_of(pilot(), SIGNS)

    assert {e.name: e.value for e in found.effects} == pytest.approx(BOOK, abs=TOLERANCE)


def test_the_pilot_plant_has_the_margins_and_shares_of_the_textbook() -> None:
    found = effects_of(pilot(), SIGNS)

    margins = found.noise.lenth
    assert found.noise.kind == "lenth"
    assert margins is not None
    assert same(margins.pse, 2.625)
    assert margins.margin == pytest.approx(6.748, abs=5e-4)
    assert margins.simultaneous_margin == pytest.approx(13.699, abs=5e-4)
    shares = {e.name: 100 * e.share.seen for e in found.effects if e.share}
    assert shares["A"] == pytest.approx(32.6397, abs=5e-5)
    assert shares["A:C"] == pytest.approx(22.9293, abs=5e-5)
    assert {e.name for e in found.effects if e.standing == "seen"} == {"A", "D", "A:C", "A:D"}
    assert {e.name for e in found.effects if e.standing == "possible"} == {"C"}


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_size_of_the_values_changes_nothing(scale: float) -> None:
    found = effects_of(pilot([rate * scale for rate in RATES]), SIGNS)

    assert {e.name: (e.value or 0) / scale for e in found.effects} == pytest.approx(BOOK, rel=1e-9)


def test_values_far_from_zero_keep_their_differences() -> None:
    found = effects_of(pilot([rate + 1e6 for rate in RATES]), SIGNS)

    assert {e.name: e.value for e in found.effects} == pytest.approx(BOOK, abs=1e-8)


def test_a_whole_grid_with_seeds_agrees_with_statsmodels() -> None:
    levels = {"A": "abc", "B": "xy", "G": "uvw"}
    runs = grid(levels, 3)

    found = effects_of(runs, levels)

    table = anova(runs, "y ~ C(seed, Sum) + C(A, Sum) * C(B, Sum) * C(G, Sum)")
    assert found.noise.kind == "repeats"
    assert found.noise.df == table.df["Residual"]
    for effect in found.effects:
        names = effect.factors or ("A", "B", "G")
        row = table.loc[":".join(f"C({name}, Sum)" for name in names)]
        assert effect.df == row["df"]
        assert same(effect.f, row["F"])
        assert same(effect.p, row["PR(>F)"])


def test_missing_runs_agree_with_statsmodels() -> None:
    levels = {"A": "abc", "B": "xy", "G": "uv"}
    chance = random.Random(3)
    runs = [run for run in grid(levels, 4) if chance.random() > 0.2]

    found = effects_of(runs, levels)

    table = anova(runs, "y ~ C(seed, Sum) + C(A, Sum) * C(B, Sum) * C(G, Sum)")
    assert found.noise.df == table.df["Residual"]
    assert same((found.noise.sd or 0) ** 2, table.sum_sq["Residual"] / table.df["Residual"])
    model = fitted(runs, "y ~ C(seed, Sum) + (C(A, Sum) + C(B, Sum) + C(G, Sum)) ** 2")
    whole = sm.stats.anova_lm(model, typ=3)
    square = (found.noise.sd or 0) ** 2
    for effect in found.effects[:-1]:
        row = whole.loc[":".join(f"C({name}, Sum)" for name in effect.factors)]
        assert same((effect.f or 0) * square, row["sum_sq"] / row["df"])


def test_an_effect_and_its_interval_agree_with_statsmodels() -> None:
    levels = {"A": "ab", "B": "xy"}
    runs = grid(levels, 4)[1:]

    found = effects_of(runs, levels)

    model = fitted(runs, "y ~ C(seed) + C(A, Sum) * C(B, Sum)")
    name = "C(A, Sum)[S.a]"  # of the first level: half of the effect, turned around
    low, high = model.conf_int().loc[name]  # type: ignore[attr-defined]
    effect = found.effect("A")
    assert same(effect.value, -2 * model.params[name])  # type: ignore[attr-defined]
    assert same(effect.ci_low, -2 * high)
    assert same(effect.ci_high, -2 * low)


def test_deviations_of_levels_agree_with_statsmodels() -> None:
    levels = {"A": "abc", "B": "xy"}
    runs = grid(levels, 3)[2:]

    found = effects_of(runs, levels)

    model = fitted(runs, "y ~ C(seed) + C(A, Sum) * C(B, Sum)")
    first, second, third = found.effect("A").levels
    low, high = model.conf_int().loc["C(A, Sum)[S.a]"]  # type: ignore[attr-defined]
    assert same(first.deviation, model.params["C(A, Sum)[S.a]"])  # type: ignore[attr-defined]
    assert same(first.ci_low, low)
    assert same(first.ci_high, high)
    assert same(third.deviation, -first.deviation - second.deviation)
    last = model.t_test("- C(A, Sum)[S.a] - C(A, Sum)[S.b] = 0").conf_int()[0]  # type: ignore[attr-defined]
    assert same(third.ci_low, last[0])
    assert same(third.ci_high, last[1])


def test_what_seeds_have_in_common_is_no_noise() -> None:
    levels = {"A": "ab", "B": "xy", "C": "uv"}
    runs = grid(levels, 3, noise=0.01)

    found = effects_of(runs, levels)

    assert found.blocks == 3
    assert found.noise.sd == pytest.approx(0.01, rel=0.5)


def test_seeds_of_one_combination_each_are_no_block() -> None:
    levels = {"A": "ab"}
    runs = [
        Observation(levels={"A": level}, seed=10 * place + i, value=float(place + i % 3))
        for place, level in enumerate("ab")
        for i in range(4)
    ]

    found = effects_of(runs, levels)

    assert (found.seeds, found.blocks) == (8, 0)
    assert same(found.effect("A").value, 1.0)


def test_one_seed_more_of_one_combination_takes_nothing_from_the_blocks() -> None:
    cells = list(itertools.product("ab", "uv"))
    runs = [
        Observation(levels={"A": a, "C": c}, seed=s, value=i + 3.0 * s + 0.01 * (i * s % 3))
        for i, (a, c) in enumerate(cells)
        for s in range(2)
    ]
    more = Observation(levels={"A": "a", "C": "u"}, seed=2, value=1.5)

    found = effects_of([*runs, more], {"A": "ab", "C": "uv"})
    without = effects_of(runs, {"A": "ab", "C": "uv"})

    assert (found.seeds, found.blocks) == (3, 2)
    # The further run lies at the mean of the blocks, as it is counted.
    for name in ("A", "C"):
        assert found.effect(name).value == pytest.approx(without.effect(name).value, abs=0.05)
        assert found.effect(name).standing == "seen"


def test_a_factor_that_changes_with_another_is_not_estimable() -> None:
    runs = [
        Observation(levels={"A": a, "B": a.upper(), "C": c}, seed=s, value=i + 3.0 * s)
        for i, (a, c) in enumerate(itertools.product("ab", "uv"))
        for s in range(2)
    ]

    found = effects_of(runs, {"A": "ab", "B": "AB", "C": "uv"})

    assert not found.effect("A").is_told
    assert found.effect("A").ties == ("B",)
    assert found.effect("C").is_told
    assert found.untold_share == pytest.approx(1.0 / (1.0 + 0.25 + 2.25))


def test_a_factor_that_changes_with_the_seed_is_not_estimable() -> None:
    runs = [
        Observation(levels={"A": "ab"[seed], "B": b}, seed=seed, value=float(seed + len(b)))
        for seed in range(2)
        for b in ("x", "yy")
    ]

    found = effects_of(runs, {"A": "ab", "B": ("x", "yy")})

    assert found.effect("A").ties == ("the seed",)


def test_one_at_a_time_tells_main_effects_and_no_interaction() -> None:
    start = {"A": "a", "B": "x", "G": "u"}
    cells = [start, {**start, "A": "b"}, {**start, "A": "c"}, {**start, "B": "y"}]
    cells.append({**start, "G": "v"})
    runs = [
        Observation(
            levels=cell,
            seed=seed,
            value=10.0 * (cell["A"] == "c") + (cell["G"] == "v") + seed + 0.1 * (i * seed % 3),
        )
        for i, cell in enumerate(cells)
        for seed in range(3)
    ]

    found = effects_of(runs, {"A": "abc", "B": "xy", "G": "uv"})

    told = {e.name: e.is_told for e in found.effects}
    assert told == {"A": True, "B": True, "G": True, "A:B": False, "A:G": False, "B:G": False}
    assert found.effect("A:B").missing == (("b", "y"), ("c", "y"))
    assert set(found.effect("A").ties) == {"A:B", "A:G"}
    model = fitted(runs, "y ~ C(seed) + C(A) + C(B) + C(G)")
    assert same(found.effect("G").value, model.params["C(G)[T.v]"])  # type: ignore[attr-defined]


def test_a_missing_combination_is_told_and_tilts_no_main_effect() -> None:
    levels = {"A": "abc", "B": "xyz"}
    runs = [r for r in grid(levels, 3) if (r.levels["A"], r.levels["B"]) != ("c", "z")]

    found = effects_of(runs, levels)

    assert found.missing == (("c", "z"),)
    assert found.effect("A:B").df == 3
    model = fitted(runs, "y ~ C(seed) + C(A, Sum) + C(B, Sum)")
    first = found.effect("A").levels[0]
    assert same(first.deviation, model.params["C(A, Sum)[S.a]"])  # type: ignore[attr-defined]


def half_fraction() -> list[Observation]:
    """Return the half of the pilot plant with D = ABC (Montgomery, Example 8.1)."""
    return [run for run in pilot() if sum(level == "+" for level in run.levels.values()) % 2 == 0]


def test_a_half_fraction_has_the_effects_of_the_textbook_and_tells_what_is_confounded() -> None:
    found = effects_of(half_fraction(), SIGNS)

    values = {e.name: e.value for e in found.effects}
    assert values == pytest.approx(
        {"A": 19, "B": 1.5, "C": 14, "D": 16.5, "A:B": -1, "A:C": -18.5, "A:D": 19}, abs=TOLERANCE
    )
    assert found.effect("A:B").ties == ("C:D",)
    assert found.effect("A").ties == ("B:C:D",)


def test_single_runs_of_three_levels_take_interactions_for_noise() -> None:
    levels = {"A": "abc", "B": "xyz"}
    runs = grid(levels, 1)

    found = effects_of(runs, levels)

    assert found.noise.kind == "interactions"
    table = anova(runs, "y ~ C(A, Sum) + C(B, Sum)")
    assert same(found.effect("A").p, table.loc["C(A, Sum)", "PR(>F)"])
    assert not found.effect("A:B").is_told


def test_four_single_runs_have_effects_and_no_p() -> None:
    runs = [
        Observation(levels={"A": a, "B": b}, seed=0, value=float(a == "b"))
        for a, b in itertools.product("ab", "xy")
    ]

    found = effects_of(runs, {"A": "ab", "B": "xy"})

    assert found.effect("A").value == 1.0


def test_holm_spans_all_effects() -> None:
    levels = {"A": "ab", "B": "xy"}

    found = effects_of(grid(levels, 3), levels)

    ps = sorted((e.p or 0, e.p_holm or 0) for e in found.effects)
    wanted = list(itertools.accumulate((min(1, p * (3 - i)) for i, (p, _) in enumerate(ps)), max))
    assert [holm for _, holm in ps] == pytest.approx(wanted)


def test_the_same_value_everywhere_has_no_effect() -> None:
    found = effects_of(pilot([0.1 + 0.2] * 16), SIGNS)

    assert found.is_flat


def test_runs_without_noise_are_decided() -> None:
    levels = {"A": "ab", "B": "xy"}
    runs = [
        Observation(levels={"A": a, "B": b}, seed=s, value=0.1 * (a == "b"))
        for a, b in itertools.product("ab", "xy")
        for s in range(3)
    ]

    found = effects_of(runs, levels)

    assert (found.effect("A").p, found.effect("B").p) == (0.0, 1.0)
    assert found.effect("A").f == math.inf


def shares(found: Effects) -> float:
    own = sum(effect.share.seen for effect in found.effects if effect.share)
    return own + (found.block_share or 0) + (found.noise_share or 0)


def test_shares_of_a_whole_grid_add_up_to_one() -> None:
    levels = {"A": "abc", "B": "xy", "G": "uv"}

    found = effects_of(grid(levels, 2), levels)

    assert same(shares(found), 1.0)
