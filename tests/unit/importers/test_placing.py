"""A seed is believed on evidence; all else is a variant of its own, with a line that says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ablate.domain import Json
from ablate.errors import UsageError
from ablate.importers.base import SourceRun
from ablate.importers.placing import Member, Placement, Wishes, member_of, place
from ablate.importers.points import Points


def run(title: str, value: float = 1.0, **fields: Any) -> SourceRun:
    """Return a run of one value, by default another one for each title."""
    points = Points(time=5.0)
    points.add("train/scalar/loss", 0, value + sum(map(ord, title)))
    points.settle()
    source = fields.pop("source", f"wandb:{title}/{fields.get('config')}/{value}")
    return SourceRun(source=source, title=title, points=points, **fields)


def placed(*runs: SourceRun, known: tuple[Member, ...] = (), **wishes: Any) -> Placement:
    return place(runs, known, Wishes(**wishes), ())


def seats(placement: Placement) -> list[tuple[str, int]]:
    return [(each.variant, each.seed) for each in placement.places]


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (("base-s0", "base-s1"), [("base", 0), ("base", 1)]),
        (("base_seed3", "base_seed7"), [("base", 3), ("base", 7)]),
        (("seed_1/big", "seed_2/big"), [("big", 1), ("big", 2)]),
        (("lr=0.1,seed=3", "lr=0.2,seed=3"), [("lr=0.1", 3), ("lr=0.2", 3)]),
        (("ViT-S16", "ViT-S32"), [("ViT-S16", 0), ("ViT-S32", 0)]),
        (("vit-s16", "vit-s32"), [("vit-s16", 0), ("vit-s32", 0)]),
        (("unet-64", "unet-128"), [("unet-64", 0), ("unet-128", 0)]),
        (("v1", "v2"), [("v1", 0), ("v2", 0)]),
        (("my run", "my:run"), [("my-run", 0), ("my-run-2", 0)]),
    ],
)
def test_numbers_in_names(titles: tuple[str, ...], expected: list[tuple[str, int]]) -> None:
    assert seats(placed(*map(run, titles))) == expected


def test_names_alone_may_be_taken_for_seeds_or_for_none() -> None:
    titles = [run("unet-64"), run("unet-128")]

    assert seats(placed(*titles, seeds="names")) == [("unet", 64), ("unet", 128)]
    assert seats(placed(run("base-s0"), run("base-s1"), seeds="none")) == [
        ("base-s0", 0),
        ("base-s1", 0),
    ]


def config(**values: Json) -> Mapping[str, Json]:
    return {"lr": 0.1, "model": {"width": 8}, **values}


def test_one_name_with_configs_that_agree_is_one_variant() -> None:
    runs = [run("base", i, config=config(seed=i), said_seed=i) for i in (4, 7)]

    placement = placed(*runs)

    assert seats(placement) == [("base", 4), ("base", 7)]
    assert placement.notes == ["base: seeds 4, 7; their configs agree in all but the seed"]


def test_variants_with_the_same_seeds_are_told_in_one_line() -> None:
    runs = [
        run(f"v{n}", place, config=config(width=n, seed=place % 2), said_seed=place % 2)
        for place, n in enumerate(n for n in range(9) for _ in range(2))
    ]

    assert placed(*runs).notes == [
        "v0, v1, v2, v3, v4, v5 and 3 more: seeds 0, 1; their configs agree in all but the seed"
    ]


def test_one_name_with_other_configs_is_two_variants_and_says_in_what() -> None:
    placement = placed(
        run("base", 1, config=config(seed=1), said_seed=1),
        run("base", 2, config=config(seed=2, lr=0.2), said_seed=2),
        run("base", 3, config=config(model={"width": 16, "depth": 3, "act": "gelu"})),
    )

    assert seats(placement) == [("base", 1), ("base-lr=0.2", 2), ("base-2", 0)]
    assert placement.notes[0] == "base-lr=0.2 is not a seed of base: they differ in lr (0.1, 0.2)"
    assert "model.width (8, 16)" in placement.notes[1]


def test_runs_that_are_apart_for_one_reason_are_told_in_one_line() -> None:
    placement = placed(*(run("base", n) for n in range(9)))

    assert len({variant for variant, _ in seats(placement)}) == 9
    assert placement.notes == [
        "base-2, base-3, base-4, base-5, base-6, base-7 and 2 more are not seeds of base: "
        "nothing says that they are seeds of one variant"
    ]


def test_one_name_without_a_config_is_no_evidence() -> None:
    placement = placed(run("base", 1), run("base", 2))

    assert seats(placement) == [("base", 0), ("base-2", 0)]
    assert "nothing says that they are seeds of one variant" in placement.notes[0]


def test_two_runs_of_one_seed_are_no_two_seeds() -> None:
    runs = [run("base", i, config=config(seed=3), said_seed=3) for i in (1, 2)]

    placement = placed(*runs)

    assert seats(placement) == [("base", 3), ("base-2", 3)]
    assert "both say seed 3, so one repeats the other" in placement.notes[0]


def test_what_the_run_calls_itself_and_where_it_wrote_is_no_config() -> None:
    runs = [
        run("base", i, config=config(seed=i, run_name=f"r{i}", output_dir=f"o{i}"), said_seed=i)
        for i in (0, 1)
    ]

    assert seats(placed(*runs)) == [("base", 0), ("base", 1)]


def test_names_that_a_program_made_count_as_one_where_the_configs_agree() -> None:
    runs = [
        run("fluffy-cloud-7", 1, config=config(seed=0), said_seed=0),
        run("misty-sun-9", 2, config=config(seed=1), said_seed=1),
        run("calm-lake-11", 3, config=config(seed=0, lr=0.5), said_seed=0),
    ]

    assert seats(placed(*runs)) == [
        ("fluffy-cloud-7", 0),
        ("fluffy-cloud-7", 1),
        ("calm-lake-11", 0),
    ]


def test_variants_by_the_sources_word_keep_their_names() -> None:
    runs = [
        run("rms=frame,gan=true", 1, says_variant=True, said_seed=0),
        run("rms=frame,gan=true", 2, says_variant=True, said_seed=1),
        run("a-s1", 3, says_variant=True, said_seed=0),
    ]

    assert seats(placed(*runs)) == [
        ("rms=frame,gan=true", 0),
        ("rms=frame,gan=true", 1),
        ("a-s1", 0),
    ]


def test_copy_is_left_out_and_told_and_a_twin_is_told() -> None:
    files = {"a.csv": "d1"}
    first = run("a", 1, source="csv:a.csv", files=files)
    copy = run("a", 1, source="csv:copy of a.csv", files={"copy of a.csv": "d1"})
    twin = SourceRun(source="csv:b.csv", title="b", points=first.points, files={"b.csv": "d2"})

    placement = placed(copy, first, twin)

    assert seats(placement) == [("a", 0), ("b", 0)]
    assert placement.notes == [
        "csv:copy of a.csv is a copy of csv:a.csv: left out, it is no second seed",
        "a-s0 and b-s0 are equal in every value, to the bit",
    ]
    known = replace(member_of(first), variant="a", seed=5)
    with pytest.raises(UsageError, match=r"is a copy of csv:a.csv, which is here as a-s5"):
        placed(copy, known=(known,))


def test_what_is_typed_counts() -> None:
    runs = [run("a", 1), run("b", 2)]

    assert seats(placed(*runs, variant="x")) == [("x", 0), ("x", 1)]
    assert seats(placed(runs[0], variant="x", seed=9)) == [("x", 9)]
    with pytest.raises(UsageError, match="the study trains a variant 'a' itself"):
        place([runs[0]], (), Wishes(), {"a"})
