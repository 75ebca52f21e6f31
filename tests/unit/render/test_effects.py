"""Effects in every format: the answer first, nothing cut, the same numbers everywhere."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len

from ablate.analysis.effects import StudyEffects, study_effects
from ablate.domain import Plan, Variant
from ablate.render.effects.text import render
from tests.support.factories import HOSTILE, make_data, make_variant

FORMATS = ("table", "md", "csv", "json", "ndjson", "html", "latex")
KEY = "valid/audio/score"
LOSS = "valid/loss/l1"


def found_in(
    levels: dict[str, tuple[str, ...]],
    value: Callable[[dict[str, str], int], float],
    *,
    seeds: int = 3,
    design: str = "grid",
) -> StudyEffects:
    """Return the effects in a study of all combinations, or of one change at a time."""
    cells = [dict(zip(levels, cell, strict=True)) for cell in itertools.product(*levels.values())]
    if design != "grid":
        first = cells[0]
        cells = [c for c in cells if sum(c[name] != first[name] for name in levels) <= 1]
    variants: tuple[Variant, ...] = tuple(
        make_variant(f"v{i}", factors=cell, is_baseline=i == 0) for i, cell in enumerate(cells)
    )
    values = {
        v.name: {s: {KEY: [1.0, value(dict(v.factors), s)]} for s in range(seeds)} for v in variants
    }
    spec = {"metrics": {KEY: {"goal": "max", "rule": "last"}}}
    data = dataclasses.replace(make_data(values, spec=spec), variants=variants)
    factors = {name: {"levels": {level: {} for level in known}} for name, known in levels.items()}
    plan = Plan(
        study="scale-fix",
        question="",
        trainer="t:train",
        trainer_version="1",
        spec={"factors": factors},
        variants=variants,
        seeds=tuple(range(seeds)),
    )
    return study_effects(data, plan)


LEVELS = {"codebook": ("unfitted", "fitted", "bypassed"), "gan": ("false", "true")}


def score(cell: dict[str, str], seed: int) -> float:
    size = {"unfitted": -40.0, "fitted": -17.0, "bypassed": 3.0}[cell["codebook"]]
    return size + 0.3 * ((len(cell["codebook"]) + 3 * seed + 5 * (cell["gan"] == "true")) % 4)


@pytest.fixture(scope="module")
def found() -> StudyEffects:
    return found_in(LEVELS, score)


def test_below_name_and_question_comes_the_answer(found: StudyEffects) -> None:
    name, question, first, *_ = render(found).splitlines()

    assert (name, question) == (found.study, found.question)
    assert first.startswith(f"- codebook dominates {KEY}: it explains 100% [")
    assert first.endswith("of the variance; no effect seen: gan")


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_tells_the_same_share(found: StudyEffects, fmt: Any) -> None:
    text = render(found, fmt)

    assert "codebook" in text
    assert "unfitted" in text
    metric = found.metrics[0].effects
    assert metric is not None
    share = metric.effect("codebook").share
    assert share is not None
    assert (repr(share.seen) if fmt in ("csv", "json", "ndjson") else "100") in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_is_cut_on_a_terminal(found: StudyEffects, width: int) -> None:
    text = render(found, width=width)

    assert max(map(cell_len, text.splitlines())) <= width
    assert "…" not in text
    for word in ("codebook", "bypassed", "unfitted", "gan: false to true", "noise", "codebook:gan"):
        assert word in text


def test_csv_has_a_line_for_each_effect_and_level(found: StudyEffects) -> None:
    rows = list(csv.DictReader(io.StringIO(render(found, "csv"))))

    assert [(row["effect"], row["level"]) for row in rows] == [
        ("codebook", ""),
        ("codebook", "unfitted"),
        ("codebook", "fitted"),
        ("codebook", "bypassed"),
        ("gan", ""),
        ("codebook:gan", ""),
    ]


def test_json_is_strict_and_named(found: StudyEffects) -> None:
    shown = json.loads(render(found, "json"))

    assert shown["schema"] == "ablate.effects/1"
    assert shown["factors"][1] == {"name": "gan", "levels": ["false", "true"], "keys": []}
    assert shown["metrics"][0]["noise"]["kind"] == "repeats"
    assert shown["metrics"][0]["sentence"] == render(found).splitlines()[2].removeprefix("- ")


def test_an_infinite_f_is_null_in_json() -> None:
    found = found_in({"gan": ("no", "yes")}, lambda cell, seed: float(cell["gan"] == "yes") + seed)

    shown = json.loads(render(found, "json"))

    assert shown["metrics"][0]["effects"][0]["f"] is None
    assert shown["metrics"][0]["effects"][0]["p"] == 0


def test_one_change_at_a_time_says_what_it_cannot_tell_and_what_to_run() -> None:
    text = render(found_in(LEVELS, score, design="one_at_a_time"))

    assert "codebook and gan: estimated as if codebook:gan were zero" in text
    assert (
        "not estimable: codebook:gan: no run has codebook=fitted gan=true and others; "
        "a grid of all 6 combinations tells them" in text
    )
    assert "2 of 6 combinations have no run: codebook=fitted gan=true; codebook=bypassed" in text


def test_single_runs_of_three_levels_say_what_is_taken_for_noise() -> None:
    text = render(found_in(LEVELS, score, seeds=1))

    assert "single runs, so interactions count as noise" in text
    assert "run two seeds or more" in text


def test_keys_that_change_together_are_told_as_one_factor() -> None:
    variants = tuple(
        make_variant(f"v{i}", config={"a": i, "b": i, "c": c}) for i, c in ((0, 5), (1, 5))
    )
    values = {
        v.name: {s: {KEY: [1.0, float(i) + 0.1 * s * i]} for s in range(3)}
        for i, v in enumerate(variants)
    }
    data = dataclasses.replace(make_data(values), variants=variants)
    plan = Plan(
        study="scale-fix",
        question="",
        trainer="t:train",
        trainer_version="1",
        spec={},
        variants=variants,
        seeds=(0, 1, 2),
    )

    text = render(study_effects(data, plan, metrics=[KEY]))

    assert "a stands for 2 keys that change together: a and b" in text


@pytest.mark.parametrize("fmt", FORMATS)
def test_hostile_names_pass_through_every_format(fmt: Any) -> None:
    levels = {HOSTILE[2]: tuple(HOSTILE[:3]), HOSTILE[6]: tuple(HOSTILE[3:5])}

    text = render(found_in(levels, lambda cell, seed: len(str(cell)) + 0.1 * seed**2), fmt)

    if fmt in ("csv", "json", "ndjson"):
        return
    assert "\x1b" not in text
    assert "<script>" not in text or fmt in ("table", "latex")
