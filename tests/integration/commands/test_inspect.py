"""`ablate inspect` on checkpoints that runs have written."""

from __future__ import annotations

import json

import pytest

from tests.support.projects import Project


def inspect(project: Project, *arguments: str) -> dict:
    return json.loads(project.ablate("inspect", *arguments, "--format", "json"))


def test_newest_checkpoint_of_a_run_is_shown_with_where_it_comes_from(calm: Project) -> None:
    found = inspect(calm, "slow-s0")

    about = found["checkpoint"]
    assert (about["label"], about["step"], about["attempt"]) == ("slow-s0 at step 200", 200, 1)
    assert about["verified"] is True
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["step", "x", "rng.0", "rng.1"]
    assert (rows["step"]["mean"], rows["rng.1"]["shape"]) == (200, "625")
    text = calm.ablate("inspect", "slow-s0")
    assert text.startswith("slow-s0 at step 200\nname")
    assert "attempt 1, written 20" in text
    assert text.rstrip().endswith("drift: of the norm since step 0")


def test_two_steps_of_a_run_and_two_runs_are_set_side_by_side(calm: Project) -> None:
    steps = inspect(calm, "slow-s0", "--against", "slow-s0@150", "--tensor", "step")
    runs = inspect(calm, "slow-s0", "--against", "fast-s0", "--tensor", "r*")

    (row,) = steps["rows"]
    assert (steps["here"]["step"], steps["there"]["step"]) == (200, 150)
    assert (row["norm_here"], row["norm_there"]) == (200, 150)
    assert row["difference"] == pytest.approx(50 / 150)
    assert [r["remark"] for r in runs["rows"]] == ["equal", "equal"]


def test_a_part_of_a_name_selects_all_that_have_it(calm: Project) -> None:
    rows = inspect(calm, "slow-s0", "--tensor", "rng")["rows"]

    assert [row["name"] for row in rows] == ["rng.0", "rng.1"]
    assert "nothing in" in calm.ablate("inspect", "slow-s0", "--tensor", "rn", code=3)


def test_a_file_can_be_named_instead_of_a_run(calm: Project) -> None:
    path = next(iter(calm.folder.glob(".ablate/runs/*/attempt-1/checkpoints/*200.ckpt")))
    name = path.relative_to(calm.folder).as_posix()

    about = inspect(calm, name)["checkpoint"]

    assert (about["label"], about["step"], about["attempt"]) == (name, 200, None)


@pytest.mark.parametrize(
    ("where", "code", "says"),
    [
        ("slow-s9", 3, ["no run or variant 'slow-s9'", "did you mean 'slow-s"]),
        ("slow", 2, ["names 2 runs", "slow-s0, slow-s1"]),
        ("slow-s0@7", 3, ["slow-s0 has no checkpoint of step 7", "steps 200, 150"]),
        ("slow-s0@last", 2, ["'last' is no step", "base-s0@700"]),
        ("toytrain.py", 3, ["nothing in toytrain.py is a tensor or number"]),
    ],
)
def test_what_cannot_be_found_is_named_with_what_can(
    calm: Project, where: str, code: int, says: list[str]
) -> None:
    text = calm.ablate("inspect", where, code=code)

    assert all(part in text for part in says), text


def test_a_pattern_that_matches_nothing_names_what_there_is(calm: Project) -> None:
    text = calm.ablate("inspect", "slow-s0", "--tensor", "codec.*", code=3)

    assert "nothing in slow-s0 at step 200 matches --tensor codec.*" in text
    assert "it holds: step.*, x.*, rng.*" in text
