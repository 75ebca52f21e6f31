"""Factors of a study and what they do: from designs, declarations and configs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.effects import StudyEffects, study_effects
from ablate.analysis.factors import factors_of
from ablate.domain import Plan, RunState, StudyCell, Variant
from ablate.errors import NotFoundError, UsageError
from tests.support.factories import make_data, make_variant

KEY = "valid/audio/score"
SPEC = {"metrics": {KEY: {"goal": "max", "rule": "last"}}}
TWO = {
    "rate": {"key": "lr", "levels": [0.1, 0.2]},
    "codes": {"levels": {"few": {"n": 8}, "many": {"n": 64}}},
}


def plan_of(
    variants: tuple[Variant, ...], spec: Mapping[str, Any] | None = None, *, imported: bool = False
) -> Plan:
    cells = [StudyCell(variant=v.name, identity=v.identity, seed=0) for v in variants]
    return Plan(
        study="scale-fix",
        question="",
        trainer="imported" if imported else "t:train",
        trainer_version="1",
        spec=spec or {},
        variants=variants,
        seeds=(0, 1, 2),
        imported=tuple(cells) if imported else (),
    )


def grid() -> tuple[Variant, ...]:
    return tuple(
        make_variant(f"rate={r},codes={c}", factors={"rate": r, "codes": c}, is_phase=False)
        for r, c in itertools.product(("0.1", "0.2"), ("few", "many"))
    )


def data_of(variants: tuple[Variant, ...], value: Any, **changes: Any) -> StudyData:
    """Return three seeds of each variant, whose values a function of variant and seed gives."""
    values = {v.name: {s: {KEY: [0.0, value(v, s)]} for s in range(3)} for v in variants}
    data = make_data(values, spec=SPEC, **changes)
    return dataclasses.replace(data, variants=variants)


def score(variant: Variant, seed: int) -> float:
    wobble = 0.01 * ((len(variant.name) * 7 + seed * 5) % 3)
    return 3.0 * (variant.factors.get("codes") == "many") + seed + wobble


def effects_in(variants: tuple[Variant, ...], **changes: Any) -> StudyEffects:
    return study_effects(
        data_of(variants, score, **changes), plan_of(variants, {"factors": TWO, "design": {}})
    )


def test_a_grid_has_the_factors_and_levels_of_its_file() -> None:
    table = factors_of(plan_of(grid(), {"factors": TWO}), grid())

    assert table.source == "design"
    assert table.levels == {"rate": ("0.1", "0.2"), "codes": ("few", "many")}
    assert table.of["rate=0.2,codes=few"] == {"rate": "0.2", "codes": "few"}


def test_what_a_level_leaves_as_it_is_counts_as_in_the_phase_it_starts_from() -> None:
    phase = make_variant("a", config={"lr": 0.3}, factors={"codes": "few"})
    variants = (
        make_variant("other", is_baseline=True),
        phase,
        make_variant("rate=0.1", factors={"rate": "0.1"}, is_phase=False),
        make_variant("codes=many", factors={"codes": "many"}, is_phase=False),
    )

    table = factors_of(plan_of(variants, {"factors": TWO, "design": {"from": "a"}}), variants)

    assert table.of == {
        "a": {"rate": "0.3", "codes": "few"},
        "rate=0.1": {"rate": "0.1", "codes": "few"},
        "codes=many": {"rate": "0.3", "codes": "many"},
    }
    assert table.left_out == ("other",)


def test_a_phase_that_is_no_cell_of_the_grid_is_left_out() -> None:
    variants = (make_variant("base", is_baseline=True), *grid())

    table = factors_of(plan_of(variants, {"factors": TWO, "design": {"kind": "grid"}}), variants)

    assert table.left_out == ("base",)


def test_keys_that_change_together_are_one_factor() -> None:
    variants = (
        make_variant("a", config={"lr": 1, "ste": "off", "affine": False, "out_dir": "x"}),
        make_variant("b", config={"lr": 2, "ste": "off", "affine": False, "out_dir": "y"}),
        make_variant("c", config={"lr": 1, "ste": "on", "affine": True, "out_dir": "z"}),
    )

    table = factors_of(plan_of(variants), variants)

    assert table.source == "configs"
    assert table.levels == {"lr": ("1", "2"), "ste": ("off", "on")}
    assert table.keys == {"ste": ("ste", "affine")}


def imported(name: str, **config: Any) -> Variant:
    return make_variant(name, config=config)


def test_factors_of_imported_runs_are_read_from_their_configs_or_from_the_file() -> None:
    variants = (imported("a", optim={"lr": 0.2}), imported("b", optim={"lr": 0.1}))
    spec = {"factors": {"rate": {"key": "optim.lr"}, "data": {"phases": {"a": "old", "b": "new"}}}}

    table = factors_of(plan_of(variants, spec, imported=True), variants)

    assert table.source == "declared"
    assert table.levels == {"rate": ("0.1", "0.2"), "data": ("old", "new")}
    assert table.of["a"] == {"rate": "0.2", "data": "old"}


@pytest.mark.parametrize(
    ("factor", "hint"),
    [({"key": "optim.lrr"}, "did you mean 'optim.lr'?"), ({"phases": {"aa": 1}}, "mean 'a'?")],
)
def test_a_factor_that_no_imported_run_has_is_refused(factor: Any, hint: str) -> None:
    variants = (imported("a", optim={"lr": 0.2}), imported("b", optim={"lr": 0.1}))

    with pytest.raises(UsageError) as raised:
        factors_of(plan_of(variants, {"factors": {"rate": factor}}, imported=True), variants)

    assert hint in (raised.value.hint or "")


def test_a_grid_says_which_factor_does_it() -> None:
    found = effects_in(grid())

    (metric,) = found.metrics
    assert found.at_step == 1
    assert metric.effects is not None
    assert metric.effects.effect("codes").value == pytest.approx(3.0, abs=0.02)
    assert metric.effects.effect("codes").standing == "seen"
    assert metric.effects.effect("rate").standing != "seen"
    assert metric.effects.blocks == 3


def test_runs_that_ended_badly_are_counted_and_take_no_part() -> None:
    worst = grid()[0].name

    found = effects_in(grid(), states={(worst, 0): RunState.DIVERGED, (worst, 1): RunState.FAILED})

    (metric,) = found.metrics
    assert metric.left_out == {"diverged": 1, "failed": 1}
    assert metric.effects is not None
    assert metric.effects.runs == 10


def test_values_that_are_no_numbers_are_counted_and_take_no_part() -> None:
    data = data_of(grid(), lambda v, s: float("nan") if s == 2 else score(v, s))

    found = study_effects(data, plan_of(grid(), {"factors": TWO}))

    (metric,) = found.metrics
    assert metric.left_out == {"not a number": 4}


def test_a_factor_whose_other_levels_have_no_value_is_told() -> None:
    many = [v.name for v in grid() if v.factors["codes"] == "many"]
    states = {(name, seed): RunState.DIVERGED for name in many for seed in range(3)}

    found = effects_in(grid(), states=states)

    (metric,) = found.metrics
    assert metric.held == {"codes": "few"}
    assert metric.effects is not None
    assert [effect.name for effect in metric.effects.effects] == ["rate"]


def test_losses_are_compared_by_their_ratios() -> None:
    key = "valid/loss/l1"
    values = {
        v.name: {
            s: {key: [1.0, (2.0 if v.factors["codes"] == "many" else 1.0) * (1 + 0.1 * s)]}
            for s in range(3)
        }
        for v in grid()
    }
    data = dataclasses.replace(make_data(values), variants=grid())

    (metric,) = study_effects(data, plan_of(grid(), {"factors": TWO}), metrics=[key]).metrics

    assert metric.scale == "log"
    assert metric.effects is not None
    assert metric.effects.effect("codes").value == pytest.approx(0.6931471805599453)


def test_what_nobody_logged_is_refused_by_name() -> None:
    data = data_of(grid(), score)

    with pytest.raises(NotFoundError, match="valid/audio/scor'"):
        study_effects(data, plan_of(grid(), {"factors": TWO}), metrics=["valid/audio/scor"])
    with pytest.raises(NotFoundError, match="step 9"):
        study_effects(data, plan_of(grid(), {"factors": TWO}), at_step=9)


def test_variants_that_differ_in_nothing_have_no_factors() -> None:
    variants = (make_variant("a"), make_variant("b"))
    data = data_of(variants, score)

    with pytest.raises(UsageError, match="has no factors"):
        study_effects(data, plan_of(variants))
