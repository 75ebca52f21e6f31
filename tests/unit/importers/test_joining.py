"""Which pieces of a source are one run, and which are not although they look like it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import UsageError
from ablate.importers.base import SourceRun
from ablate.importers.joining import Joined, join
from ablate.importers.points import Points


def piece(place: str, *, every: int = 1, source: str = "", **fields: Any) -> SourceRun:
    """Return a piece; ``steps`` says where it logged, ``start`` when."""
    steps = fields.pop("steps", range(10))
    names = fields.pop("names", ("loss",))
    start = fields.pop("start", None)
    value = fields.pop("value", 1.0)
    points = Points(time=5.0)
    for name in names:
        for step in steps[::every]:
            points.add(name, step, value, None if start is None else start + step)
    points.settle()
    return SourceRun(source=source or f"csv:{place}", place=place, points=points, **fields)


def spans(joined: Joined) -> list[tuple[str, int, int]]:
    """Return of each run its place, and its first and last step."""
    found: list[tuple[str, int, int]] = []
    for run in joined.runs:
        extents = run.points.extents.values()
        found.append((run.place, min(e.first for e in extents), max(e.last for e in extents)))
    return found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("lightning_logs/version_3/metrics", "lightning_logs/version_4/metrics"),
        ("version_9/metrics", "version_10/metrics"),
        ("log", "log_2"),
        ("out/train.part1", "out/train.part2"),
        ("base", "base_resumed"),
        ("base", "base-resume"),
        ("base/metrics", "base-cont/metrics"),
        ("slurm-101", "slurm-102"),
        ("2024-01-02_10-00-00/log", "2024-01-03_09-30-00/log"),
        ("run-1", "run-2"),
    ],
)
def test_files_that_differ_in_a_count_and_go_on_are_one_run(first: str, second: str) -> None:
    joined = join([piece(second, steps=range(8, 20), value=2.0), piece(first, steps=range(10))])

    (run,) = joined.runs
    assert run.parts == (f"csv:{first}", f"csv:{second}")
    steps, values = run.points.curves()["loss"]
    assert list(steps) == list(range(20))
    assert list(values) == [1.0] * 8 + [2.0] * 12  # the later counts where they overlap
    assert run.points.counts.skipped["replaced by a later file"] == 2
    assert "are one run" in joined.notes[0]
    assert "steps 0 to 9, 8 to 19" in joined.notes[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("lr0.1", "lr0.2"),
        ("width-16", "width-32"),
        ("base-s0", "base-s1"),
        ("seed_1/log", "seed_2/log"),
        ("ViT-S16", "ViT-S32"),
        ("base", "other"),
        ("a/1/log", "b/2/log"),
        ("resnet50", "resnet101"),
    ],
)
def test_files_that_differ_in_a_setting_or_a_seed_stay_apart(first: str, second: str) -> None:
    joined = join([piece(first, steps=range(10)), piece(second, steps=range(10, 20))])

    assert len(joined.runs) == 2
    assert joined.notes == []


@pytest.mark.parametrize(
    "later",
    [
        piece("version_1", steps=range(10)),  # begins where the first began
        piece("version_1", steps=range(30, 40)),  # leaves a gap
        piece("version_1", steps=range(10, 20), names=("other",)),
        piece("version_1", steps=range(10, 20), part="r2"),
    ],
)
def test_what_does_not_go_on_stays_apart(later: SourceRun) -> None:
    assert len(join([piece("version_0", steps=range(10)), later]).runs) == 2


def test_runs_that_trained_side_by_side_are_two() -> None:
    first = piece("version_0", steps=range(10), start=100.0)
    during = piece("version_1", steps=range(8, 20), start=95.0)
    after = replace(during, points=piece("", steps=range(8, 20), start=102.0).points)

    assert len(join([first, during]).runs) == 2
    assert len(join([first, after]).runs) == 1


def test_runs_whose_configs_or_seeds_differ_are_two_and_told() -> None:
    first = piece("version_0", config={"lr": 0.1, "seed": 1}, said_seed=1)
    later = piece("version_1", steps=range(10, 20), config={"lr": 0.2, "seed": 1}, said_seed=1)
    joined = join([first, later])
    assert len(joined.runs) == 2
    assert "they differ in lr: two runs; --join makes them one" in joined.notes[0]

    other_seed = replace(later, config={"lr": 0.1, "seed": 2}, said_seed=2)
    assert "they differ in their seeds" in join([first, other_seed]).notes[0]

    same = replace(later, config={"lr": 0.1, "seed": 1, "output_dir": "elsewhere"})
    assert len(join([first, same]).runs) == 1


def test_a_file_that_may_go_on_with_two_others_is_told() -> None:
    first, second = piece("run-1", steps=range(10)), piece("run-2", steps=range(12))
    joined = join([first, second, piece("run-3", steps=range(11, 20))])

    assert len(joined.runs) == 3
    assert "begins where run-1 ends, but so it does where run-2 ends" in joined.notes[0]


def test_one_id_is_one_run_whatever_is_asked() -> None:
    parts = [
        piece("b", steps=range(5, 12), start=50.0, source="wandb:me/x/1", title="big"),
        piece("a", steps=range(8), start=0.0, source="wandb:me/x/1", title="big"),
    ]

    joined = join(parts, is_separate=True)

    assert spans(joined) == [("a", 0, 11)]
    assert joined.notes == ["big: 2 parts with the id me/x/1 are one run (steps 0 to 7, 5 to 11)"]


def test_rows_that_say_one_run_in_two_files_go_on() -> None:
    first = piece("part1", title="base", part="r7#base", source="csv:part1#r7#base")
    second = piece(
        "rest", title="base", part="r7#base", steps=range(10, 20), source="csv:rest#r7#base"
    )

    assert spans(join([first, second])) == [("part1", 0, 19)]
    assert len(join([first, second], is_separate=True).runs) == 2


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        ("logs/train", "logs/validation"),
        ("exp/train_metrics", "exp/val_metrics"),
        ("exp/training", "exp/test"),
        ("exp/metrics-train", "exp/metrics-eval"),
    ],
)
def test_folders_and_files_named_for_splits_are_one_run(train: str, valid: str) -> None:
    joined = join([piece(train), piece(valid, value=2.0)])

    (run,) = joined.runs
    names = sorted(name.partition("/")[0] for name in run.points.names)
    assert run.place == str(Path(train).parent)
    assert names == [
        "test" if "test" in valid else "train",
        "train" if "test" in valid else "valid",
    ]
    assert len(join([piece(train), piece(valid)], is_separate=True).runs) == 2


def test_split_below_its_run_keeps_the_names_of_both() -> None:
    joined = join([piece("exp", names=("lr",)), piece("exp/validation", names=("loss",))])

    (run,) = joined.runs
    assert (run.place, sorted(run.points.names)) == ("exp", ["lr", "valid/loss"])


def test_splits_that_would_give_one_name_stay_apart_and_are_told() -> None:
    pieces = [piece("exp", names=("val/loss",)), piece("exp/val", names=("val/loss",))]

    joined = join(pieces)

    assert len(joined.runs) == 2
    assert "both log val/loss" in joined.notes[0] or "all log val/loss" in joined.notes[0]


def test_two_folders_of_one_split_are_two_runs() -> None:
    assert len(join([piece("exp/train"), piece("exp/training")]).runs) == 2
    assert len(join([piece("exp/train")]).runs) == 1


@pytest.mark.parametrize("pattern", ["logs/*", "[ab]", "logs/[ab]"])
def test_what_is_typed_is_one_run(pattern: str) -> None:
    pieces = [piece("logs/a"), piece("logs/b", steps=range(10, 20)), piece("else/c")]

    joined = join(pieces, together=[pattern], is_separate=True)

    assert sorted(spans(joined)) == [("else/c", 0, 9), ("logs", 0, 19)]
    assert "are one run, as typed" in joined.notes[0]


def test_typed_parts_that_log_the_same_steps_keep_their_folders_names() -> None:
    (run,) = join([piece("logs/a"), piece("logs/b")], together=["logs/*"]).runs

    assert run.points.names == ("a/loss", "b/loss")


def test_a_pattern_that_nothing_fits_is_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"--join x\*: no run fits") as caught:
        join([piece("logs/a")], together=["x*"])
    assert "logs/a" in str(caught.value.hint)
