"""Planning: what a study wants follows from its file alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.domain import Origin, Plan
from ablate.errors import StudyFileError, UsageError
from ablate.planning.diff import diff_plans
from ablate.planning.plan import make_plan
from ablate.planning.study_file.document import parse_document
from ablate.planning.study_file.flags import apply_flags, factor_names, parse_flags
from ablate.planning.study_file.parsing import check_study
from ablate.planning.trainers.registry import UserTrainer, load_trainer
from ablate.protocol import Trainer

STUDY = """\
study: scale-fix
base: {steps: 2500, gan.enabled: false, reg.weight: 0}   # every phase
phases:
  phase1: {baseline: true, set: {lr: 1e-3}}  # the start
  phase_a: {from: phase1, set: {rms.weight: 0.1}}
factors:
  reg: {key: reg.weight, levels: [0, 0.01, 0.1]}
  gan: {key: gan.enabled, levels: [false, true]}
design: {kind: one_at_a_time, from: phase_a}
seeds: 2
"""


def planned(text: str, trainer: Trainer | None = None) -> Plan:
    document = parse_document(text, name="f.yaml")
    return make_plan(check_study(document), trainer or UserTrainer("m:train"), document)


def names(plan: Plan) -> list[str]:
    return [v.name for v in plan.variants]


def test_phase_inherits_and_overrides() -> None:
    [phase1, phase_a, *_] = planned(STUDY).variants

    assert phase1.config == {
        "steps": 2500,
        "gan": {"enabled": False},
        "reg": {"weight": 0},
        "lr": 1e-3,
    }
    assert phase_a.config == {**phase1.config, "rms": {"weight": 0.1}}


def test_one_at_a_time_lets_the_phase_stand_for_its_own_levels() -> None:
    plan = planned(STUDY)

    assert names(plan) == ["phase1", "phase_a", "reg=0.01", "reg=0.1", "gan=true"]
    assert plan.variants[1].factors == {"reg": "0", "gan": "false"}
    # Three levels are compared with phase_a, which gets a seed more.
    assert plan.more_seeds == {"phase_a": (2,)}
    assert len(plan.cells) == 11
    assert plan.baseline.name == "phase1"


def test_grid_crosses_all_levels() -> None:
    plan = planned(STUDY.replace("one_at_a_time", "grid"))

    assert len(plan.variants) == 2 + 5
    assert "reg=0.1,gan=true" in names(plan)


def test_factors_alone_vary_the_base_config() -> None:
    plan = planned("study: a\nfactors: {lr: {key: lr, levels: [1, 2]}}\n")

    assert names(plan) == ["base", "lr=1", "lr=2"]


def test_named_levels_set_several_keys() -> None:
    text = "study: a\nfactors: {f: {levels: {none: {}, both: {x: 1, y: 2}}}}\n"

    plan = planned(text)

    assert [(v.name, v.config) for v in plan.variants] == [
        ("base", {}),
        ("f=both", {"x": 1, "y": 2}),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("from: phase1", "from: phase9", 5, "there is no phase 'phase9'"),
        ("{baseline: true, set", "{from: phase_a, baseline: true, set", 5, "phases go in a circle"),
        ("{from: phase1, set", "{from: phase1, baseline: true, set", 5, "is a second baseline"),
        ("kind: one_at_a_time", "kind: onetime", 9, "there is no design 'onetime'"),
        ("from: phase_a}", "from: phase_b}", 9, "there is no phase 'phase_b'"),
    ],
)
def test_impossible_plans_point_at_the_key(old: str, new: str, line: int, message: str) -> None:
    with pytest.raises(StudyFileError, match=message) as caught:
        planned(STUDY.replace(old, new))
    assert caught.value.line == line


def test_too_many_runs_are_refused_with_their_number() -> None:
    levels = ", ".join(map(str, range(110)))
    factors = [f"  {name}: {{key: {name}, levels: [{levels}]}}" for name in "xy"]
    text = "\n".join(["study: a", "factors:", *factors, ""])

    with pytest.raises(StudyFileError, match="12,100 runs"):
        planned(text + "design: {kind: grid}\n")


def test_config_that_the_trainer_refuses_points_at_the_setting(tmp_path: Path) -> None:
    text = "study: a\nphases:\n  p:\n    set:\n      losses.l2.wait: 3\n"
    document = parse_document(text, name="f.yaml")

    with pytest.raises(StudyFileError) as caught:
        make_plan(check_study(document), load_trainer("bundled", tmp_path), document)

    assert caught.value.line == 5
    assert "losses.l2.wait" in caught.value.message


def test_diff_tells_added_unchanged_orphaned_and_redefined() -> None:
    old = planned(STUDY)
    new = planned(
        STUDY.replace("seeds: 2", "seeds: 3")
        .replace("0.01, 0.1]", "0.01, 0.5]")
        .replace("lr: 1e-3", "lr: 2e-3")
    )

    diff = diff_plans(old, new)

    assert diff.unchanged_runs == 0
    assert set(diff.redefined) == {"phase1", "phase_a", "reg=0.01", "gan=true"}
    same = diff_plans(old, planned(STUDY.replace("seeds: 2", "seeds: 3")))
    assert same.unchanged_runs == 11
    assert len(same.added_runs) == 5
    assert not same.orphaned_runs
    assert diff_plans(old, planned(STUDY)).is_empty
    assert diff_plans(old, planned(STUDY + "question: why\n")).rules == ("question",)


def test_a_key_that_says_what_its_absence_meant_is_no_change() -> None:
    meant = {"optim.nesterov": False}
    newer = UserTrainer("m:train", absent_means=meant)
    old = planned(STUDY)

    same = planned(STUDY.replace("steps: 2500", "steps: 2500, optim.nesterov: false"), newer)
    other = planned(STUDY.replace("steps: 2500", "steps: 2500, optim.nesterov: true"), newer)

    assert diff_plans(old, same, meant).is_empty
    assert diff_plans(same, old, meant).is_empty
    assert len(diff_plans(old, other, meant).added_runs) == 11


def test_flags_write_a_file_that_makes_the_same_plan_and_keeps_comments() -> None:
    document = parse_document(STUDY, name="f.yaml")
    flags = parse_flags(
        factors=["reg.weight=0,0.01,0.1", "gan.enabled=false,true"],
        settings=["data.path='x, y'"],
        design="grid",
        seeds=2,
    )

    text = apply_flags(document, check_study(document), "mine", flags)

    plan = planned(text)
    assert plan.study == "mine"
    assert len(plan.cells) == 13
    assert plan.variants[0].config["data"] == {"path": "x, y"}
    assert "# every phase" in text
    assert diff_plans(plan, planned(text)).is_empty


def test_flags_with_factors_drop_the_references_which_were_phases() -> None:
    extra = "\n# Phases are compared with phase1.\nreferences: [phase1]\n\nmetrics: {loss: min}\n"
    document = parse_document(STUDY + extra, name="f.yaml")
    flags = parse_flags(factors=["reg.weight=0,0.01"], settings=[], design=None, seeds=None)

    text = apply_flags(document, check_study(document), "mine", flags)

    assert names(planned(text)) == ["phase_a", "reg=0.01"]
    assert "references" not in text
    assert "compared with phase1" not in text


def test_settings_and_seeds_alone_keep_the_phases() -> None:
    document = parse_document(STUDY, name="f.yaml")
    flags = parse_flags(factors=[], settings=["steps=10"], design=None, seeds=1)

    plan = planned(apply_flags(document, check_study(document), "mine", flags))

    assert names(plan) == names(planned(STUDY))
    assert {v.config["steps"] for v in plan.variants} == {10}


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (["reg"], "there is no '='"),
        (["reg="], "no level"),
        (["a=1", "a=2"], "twice"),
        (["a=[1"], "read"),
    ],
)
def test_mistyped_factor_flags_are_refused(factors: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_flags(factors=factors, settings=[], design=None, seeds=None)


def test_factor_names_are_short_and_distinct() -> None:
    assert factor_names(["losses.norm_reg.weight", "discriminator.enabled"]) == {
        "losses.norm_reg.weight": "norm_reg",
        "discriminator.enabled": "discriminator",
    }
    assert factor_names(["a.lr", "b.lr"]) == {"a.lr": "a.lr", "b.lr": "b.lr"}


BRANCHES = """\
study: branches
base: {steps: 2500}
phases:
  phase1: {set: {lr: 1}}
  late: {from: phase_a, set: {lr: 3}, start_at: phase_a@2000}
  phase_a: {from: phase1, set: {lr: 2}, start_at: phase1@500}
factors: {reg: {key: reg, levels: [0, 1]}}
design: {kind: one_at_a_time, from: phase_a}
"""


def test_starts_are_resolved_whatever_their_order_and_inherited() -> None:
    plan = planned(BRANCHES)

    by_name = {v.name: v for v in plan.variants}
    assert names(plan) == ["phase1", "late", "phase_a", "reg=0", "reg=1"]
    assert by_name["phase1"].start_at is None
    assert by_name["phase_a"].start_at == Origin(
        variant="phase1", identity=by_name["phase1"].identity, step=500
    )
    assert by_name["late"].start_at == Origin(
        variant="phase_a", identity=by_name["phase_a"].identity, step=2000
    )
    assert by_name["reg=1"].start_at == by_name["phase_a"].start_at
    assert by_name["late"].config == {"steps": 2500, "lr": 3}


def test_parent_and_step_are_part_of_the_identity_and_nothing_else_changes() -> None:
    def identities(text: str) -> dict[str, str]:
        return {v.name: v.identity for v in planned(text).variants}

    one = identities(BRANCHES)
    step = identities(BRANCHES.replace("@500", "@600"))
    parent = identities(BRANCHES.replace("lr: 1", "lr: 9"))
    none = identities(BRANCHES.replace(", start_at: phase1@500", ""))

    assert one["phase1"] == step["phase1"] == none["phase1"]
    for other in (step, parent, none):
        assert one["phase_a"] != other["phase_a"]
        assert one["late"] != other["late"]
    assert none["phase_a"] == identities(STUDY_WITHOUT_STARTS)["phase_a"]


STUDY_WITHOUT_STARTS = """\
study: branches
phases: {phase1: {}, phase_a: {set: {steps: 2500, lr: 2}}}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("phase_a@2000", "phase_b@2000", 5, "there is no phase 'phase_b'", "'phase_a'"),
        ("phase1@500", "late@500", 6, "in a circle: late at phase_a at late", None),
        ("phase1@500", "phase_a@500", 6, "start in a circle: phase_a at phase_a", None),
        ("phase_a@2000", "phase_a@2500", 5, "'late' ends at step 2500 and cannot start at", None),
        ("lr: 3}", "steps: 9000}", 5, None, None),
        ("phase_a@2000", "phase_a@500", 5, "'phase_a' itself starts at step 500", None),
        ("phase_a@2000", "reg=1@2000", 5, "there is no phase 'reg=1'", None),
    ],
)
def test_start_that_no_checkpoint_can_serve_is_refused_at_its_place(
    old: str, new: str, line: int, message: str | None, hint: str | None
) -> None:
    text = BRANCHES.replace(old, new)
    if message is None:  # the parent is too short for the step, the child is not
        text = text.replace("phase_a@2000", "phase_a@3000")
        message = "'phase_a' ends at step 2500 and has no checkpoint at step 3000"

    with pytest.raises(StudyFileError) as caught:
        planned(text)

    assert caught.value.line == line
    assert caught.value.source is not None
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


GRID = "study: g\nfactors:\n  lr: {key: lr, levels: [1, 2]}\n  wd: {key: wd, levels: [0, 3]}\n"


def test_a_grid_without_phases_is_its_cells_and_the_first_is_the_baseline() -> None:
    plan = planned(GRID + "design: grid\n")

    assert names(plan) == ["lr=1,wd=0", "lr=1,wd=3", "lr=2,wd=0", "lr=2,wd=3"]
    assert plan.baseline.name == "lr=1,wd=0"
    assert plan == planned(GRID + "design: {kind: grid}\n")


def test_the_base_stands_for_the_cell_that_it_is() -> None:
    plan = planned(GRID + "design: grid\nbase: {lr: 2, wd: 0}\n")

    assert names(plan) == ["base", "lr=1,wd=0", "lr=1,wd=3", "lr=2,wd=3"]
    assert plan.baseline.factors == {"lr": "2", "wd": "0"}


def test_gates_behind_every_end_fall_away_and_change_no_identity() -> None:
    gated = STUDY + 'targets: {a/b: ">= 1"}\ngates: [500, {at: 2500, do: stop}, 3000]\n'

    plan = planned(gated)
    short = planned(gated.replace("steps: 2500", "steps: 60"))

    assert plan.spec["gates"] == [500, {"at": 2500, "do": "stop"}]
    assert short.spec["gates"] == []
    no_gates = planned(STUDY.replace("steps: 2500", "steps: 60") + 'targets: {a/b: ">= 1"}\n')
    assert [v.identity for v in short.variants] == [v.identity for v in no_gates.variants]
