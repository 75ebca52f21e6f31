"""What copies under other seeds show, and that no decision knows of them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ablate.analysis.aa import Floor
from ablate.analysis.answer import answer_of
from ablate.analysis.comparison import Comparison, compare
from ablate.analysis.curves.study_data import StudyData
from ablate.domain import Copy, RunState
from tests.support.factories import make_data
from tests.support.present import present

KEY, LOSS = "valid/audio/si_sdr_db", "valid/loss/l1"
SPEC: dict[str, Any] = {"metrics": {KEY: {"goal": "max"}, LOSS: {"goal": "min"}}}


def data_of(
    values: Mapping[str, Sequence[float]], spec: Mapping[str, Any] = SPEC, **changes: Any
) -> StudyData:
    """Return a study of variant -> a value for each seed; ``base~aa1`` is a copy of ``base``."""
    first = {name: 1_000_000 * int(name[-1]) if "~" in name else 0 for name in values}
    arms = {
        name: {
            first[name] + place: {KEY: [value] * 3, LOSS: [2.0 ** (value / 10)] * 3}
            for place, value in enumerate(own)
        }
        for name, own in values.items()
    }
    data = make_data(arms, spec=spec, **changes)
    copies = [
        dataclasses.replace(v, copy=Copy(of=v.name.partition("~")[0], seeds=tuple(arms[v.name])))
        for v in data.variants
        if "~" in v.name
    ]
    return dataclasses.replace(
        data,
        variants=tuple(v for v in data.variants if "~" not in v.name),
        runs=tuple(r for r in data.runs if "~" not in r.variant),
        copies=tuple(copies),
        copy_runs=tuple(r for r in data.runs if "~" in r.variant),
    )


def floor_of(comparison: Comparison, key: str = KEY) -> Floor:
    return present(comparison.floor("base", key))


def told(values: Mapping[str, Sequence[float]], **changes: Any) -> str:
    sentences = answer_of(compare(data_of(values, **changes)))
    return next(s for s in sentences if s.startswith("Nothing but other seeds"))


STUDY = {
    "base": [10.0, 12.0],
    "up": [14.0, 14.5],
    "same": [11.0, 11.2],
    "base~aa1": [10.4, 11.8],
    "base~aa2": [10.9, 11.72],
    "base~aa3": [10.5, 11.3],
}


def test_the_largest_difference_is_told_with_how_often_one_more_would_pass_it() -> None:
    assert told(STUDY) == (
        "Nothing but other seeds: 3 copies of base, 2 seeds each, were seen to differ from it by "
        "up to 0.31 in valid/audio/si_sdr_db; one more would differ by more one time in 4; "
        "0 of 3 contrasts were decided."
    )


def test_where_ratios_are_compared_the_largest_is_a_ratio() -> None:
    spec = {"metrics": {LOSS: "min"}}
    floor = floor_of(compare(data_of(STUDY, spec)), LOSS)

    assert floor.largest_ratio == pytest.approx(2.0**0.031)
    assert floor.largest is None
    assert "by up to 2.2% in valid/loss/l1" in told(STUDY, spec=spec)


def test_each_copy_is_tested_as_one_more_variant_by_itself() -> None:
    far = STUDY | {"base~aa1": [30.0, 30.1]}
    floor = floor_of(compare(data_of(far)))
    as_variant = {name: far[name] for name in ("base", "up", "same")} | {"copy": far["base~aa1"]}
    own = present(compare(data_of(as_variant)).row("copy").values[KEY].contrast_to("base"))

    assert floor.contrasts["base~aa1"].p_t == own.p_t
    assert (floor.tested, floor.decided) == (3, 1)
    assert "up to 19.1 in" in told(far)
    assert "; 1 of 3 contrasts was decided" in told(far)


@pytest.mark.parametrize("pairing", ["auto", "always", "never"])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_no_verdict_value_or_interval_changes_by_copies(n: int, pairing: str) -> None:
    draw = random.Random(n)
    seeds = [draw.gauss(0, 2) for _ in range(n)]
    values = {
        name: [shift + seed + draw.gauss(0, 0.5) for seed in seeds]
        for name, shift in {"base": 0, "up": 4, "down": -1, "as is": 0}.items()
    }
    copies = {f"base~aa{place}": [draw.gauss(0, 90) for _ in range(n)] for place in (1, 2, 3)}
    spec = SPEC | {"pairing": pairing, "targets": {KEY: ">= 1"}}

    without, beside = compare(data_of(values, spec)), compare(data_of(values | copies, spec))

    assert dataclasses.replace(beside, aa=()) == without
    assert len(beside.aa[0].names) == 3
    answer = [s for s in answer_of(beside) if not s.startswith("Nothing but other seeds")]
    assert answer == list(answer_of(without))
    assert [row.variant for row in beside.rows] == list(values)


def test_copies_hold_no_step_back_and_are_said_to_have_nothing_yet() -> None:
    data = data_of(STUDY)
    going = [dataclasses.replace(r, step=1, state=RunState.RUNNING) for r in data.copy_runs]
    comparison = compare(dataclasses.replace(data, copy_runs=tuple(going)))

    assert (comparison.at_step, comparison.preview, comparison.held_back) == (2, None, None)
    assert (
        "Nothing but other seeds: 3 copies of base cannot be compared at this step."
        in answer_of(comparison)
    )


def test_copies_that_were_lost_are_counted() -> None:
    states = {("base~aa1", 1_000_000 + s): RunState.DIVERGED for s in (0, 1)}

    assert told(STUDY | {"base~aa1": [float("nan")] * 2}, states=states).endswith(
        "; 1 more cannot be compared at this step; 2 of 6 runs ended badly."
    )


def test_a_copy_that_is_beyond_all_ratios_is_not_compared() -> None:
    spec = {"metrics": {LOSS: {"goal": "min", "scale": "log"}}}
    text = told(STUDY | {"base": [9000.0, 9001.0], "base~aa1": [-9000.0, -9001.0]}, spec=spec)

    assert "2 copies of base, 2 seeds each, were seen" in text
    assert text.endswith("; 1 more cannot be compared at this step.")


def test_one_copy_with_one_seed_decides_nothing() -> None:
    assert told({"base": [10.0], "up": [14.0], "base~aa1": [10.5]}) == (
        "Nothing but other seeds: 1 copy of base, 1 seed, was seen to differ from it by 0.5 in "
        "valid/audio/si_sdr_db; one more would differ by more one time in 2."
    )


def test_a_difference_at_the_same_seeds_is_said_to_have_less_chance_in_it() -> None:
    values = {"base": [-8.0, 0.0, 8.0], "up": [-6.9, 1.0, 9.0], "low": [-9.0, -1.0, 7.0]}
    text = told(values | {"base~aa1": [-5.0, 2.0, 6.0]})

    assert "; the variants are compared at the same seeds, where chance makes less" in text


def test_a_floor_is_of_the_metrics_that_decide_and_are_shown_else_of_the_first() -> None:
    undeclared = data_of(STUDY, {})

    assert [f.key for f in compare(undeclared, metrics=[LOSS, KEY]).aa[0].floors] == [LOSS]
    assert [f.key for f in compare(data_of(STUDY)).aa[0].floors] == [KEY]
    assert [f.key for f in compare(data_of(STUDY), metrics=[LOSS]).aa[0].floors] == [LOSS]
    both = {key: metric | {"primary": True} for key, metric in SPEC["metrics"].items()}
    assert len(compare(data_of(STUDY, {"metrics": both})).aa[0].floors) == 2


def test_of_true_copies_few_are_decided_and_one_in_three_is_the_furthest() -> None:
    draw = random.Random(1)
    names = ("base", "null", "other", "base~aa1", "base~aa2")
    decided = further = 0
    studies = 300
    for _ in range(studies):
        comparison = compare(data_of({n: [draw.gauss(0, 1) for _ in range(2)] for n in names}))
        floor = floor_of(comparison)
        contrast = present(comparison.row("null").values[KEY].contrast_to("base"))
        decided += floor.decided
        further += abs(present(contrast.difference)) > present(floor.largest)

    assert decided / (2 * studies) < 0.07
    assert 0.25 < further / studies < 0.42
