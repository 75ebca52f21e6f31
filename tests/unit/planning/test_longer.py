from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ablate.domain import Origin, Plan, Variant
from ablate.planning.longer import longer_variants
from ablate.testing.factories import make_plan, make_variant


def variant(name: str = "base", /, **config: Any) -> Variant:
    return make_variant(name, config=config, is_baseline=name == "base")


def plan(*variants: Variant, **spec: Any) -> Plan:
    full = {"study": "s", "trainer": "bundled", "targets": {"a/b": ">= 1"}} | spec
    return make_plan("s", variants, spec=full)


def changes(old: Plan, new: Plan) -> list[str]:
    return [f"{one.variant}: {one.change}" for one in longer_variants(old, new)]


@pytest.mark.parametrize("key", ["steps", "max_iters", "trainer.max_epochs", "num_train_epochs"])
def test_what_trainers_call_their_length(key: str) -> None:
    assert changes(plan(variant(**{key: 50})), plan(variant(**{key: 80}))) == [
        f"base: {key} 50 -> 80"
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"steps": 80}, {"steps": 50}),
        ({"steps": 50}, {"steps": 50}),
        ({"steps": 50, "lr": 1}, {"steps": 80, "lr": 2}),
        ({"steps": 50, "epochs": 1}, {"steps": 80, "epochs": 2}),
        ({"steps": 50}, {"steps": 80, "lr": 2}),
        ({"warmup_steps": 50}, {"warmup_steps": 80}),
        ({"steps": False}, {"steps": True}),
        ({"steps": "50"}, {"steps": "80"}),
        ({}, {"steps": 80}),
    ],
)
def test_all_else_is_another_training(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert changes(plan(variant(**old)), plan(variant(**new))) == []


def test_former_variant_that_is_still_wanted_stays_as_it_is() -> None:
    new = plan(variant(steps=80), variant("short", steps=50))

    assert changes(plan(variant(steps=50)), new) == []


def test_run_of_two_variants_goes_on_once() -> None:
    old = plan(variant(steps=50), dataclasses.replace(variant(steps=50), name="twin"))

    assert changes(old, plan(variant(steps=80), variant("twin", steps=90))) == [
        "base: steps 50 -> 80"
    ]


def test_another_start_or_version_is_another_training() -> None:
    old, new = variant(steps=50), variant(steps=80)
    branched = dataclasses.replace(new, start_at=Origin(variant="x", identity="1", step=10))

    assert changes(plan(old), plan(branched)) == []
    assert changes(plan(old), dataclasses.replace(plan(new), trainer_version="2")) == []


def gates(*steps: int) -> dict[str, Any]:
    return {"gates": [{"at": step, "do": "stop"} for step in steps]}


@pytest.mark.parametrize(
    ("before", "after", "is_longer"),
    [
        (gates(20), gates(20), True),
        (gates(20), gates(20, 70), True),
        (gates(20), gates(20, 40), False),
        (gates(20), gates(), False),
    ],
)
def test_gates_up_to_the_old_end_have_to_be_the_same(
    before: dict[str, Any], after: dict[str, Any], is_longer: bool
) -> None:
    old, new = plan(variant(steps=50), **before), plan(variant(steps=80), **after)

    assert bool(longer_variants(old, new)) is is_longer
