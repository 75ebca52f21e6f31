"""Copies of the baseline: their seeds are nobody else's, and stay theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.domain import Copy, Plan
from ablate.errors import StudyFileError, UsageError
from ablate.planning.diff import diff_plans
from ablate.planning.notes import plan_notes
from ablate.planning.plan import make_plan
from ablate.planning.references import references_of
from ablate.planning.study_file.document import parse_document
from ablate.planning.study_file.flags import StudyFlags, apply_flags
from ablate.planning.study_file.parsing import check_study
from ablate.planning.trainers.registry import UserTrainer
from ablate.store.reading.queries import plan_from_text, plan_text

STUDY = """\
study: rate
trainer: m:train
base: {steps: 100}
phases:
  base: {baseline: true}
  same: {}
factors: {lr: {key: lr, levels: [1, 2, 3]}}
"""
BRANCHED = """\
study: rate
trainer: m:train
base: {steps: 100}
phases:
  first: {}
  base: {baseline: true, start_at: first@50, set: {lr: 1}}
aa: 1
"""


def planned(text: str = STUDY, **keys: object) -> Plan:
    document = parse_document(text + "".join(f"{k}: {v}\n" for k, v in keys.items()), name="f.yaml")
    return make_plan(check_study(document), UserTrainer("m:train"), document)


def seeds_of(plan: Plan) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for cell in plan.cells:
        found.setdefault(cell.variant, []).append(cell.seed)
    return found


def test_a_copy_is_the_baseline_with_as_many_seeds_that_nobody_else_has() -> None:
    plan = planned(seeds=2, aa=2)
    *_, first, second = plan.variants
    base = plan.baseline

    assert (first.name, second.name) == ("base~aa1", "base~aa2")
    assert {first.identity, second.identity} == {base.identity}
    assert (first.config, first.factors, first.is_phase) == (base.config, {}, False)
    assert first.copy == Copy(of="base", seeds=(1_000_000, 1_000_001))
    # Three levels are compared with the baseline, which gets a seed more; a copy does not.
    assert seeds_of(plan)["base"] == [0, 1, 2]
    assert seeds_of(plan)["base~aa2"] == [2_000_000, 2_000_001]
    runs = [(cell.identity, cell.seed) for cell in plan.cells if cell.variant != "same"]
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize("seeds", [1, 2, 4, 1000, [7], [1_000_000, 5, 2_000_001, 999_999]])
def test_the_seeds_of_copies_are_disjoint_whatever_seeds_a_study_has(seeds: object) -> None:
    text = STUDY.replace("1, 2, 3", "1")
    found = seeds_of(planned(text, seeds=seeds, aa=3))
    copies = [seed for name, own in found.items() if "~" in name for seed in own]

    assert len(copies) == len(set(copies)) == 3 * len(found["lr=1"])
    assert not set(copies) & {
        seed for name, own in found.items() if "~" not in name for seed in own
    }


def test_more_seeds_and_more_copies_keep_all_runs_that_are_there() -> None:
    old = planned(seeds=2, aa=1)
    more = diff_plans(old, planned(seeds=5, aa=2))

    assert diff_plans(old, planned(seeds=2, aa=1)).is_empty
    # A seed of the baseline beside those of all is one of all now.
    assert (more.orphaned_runs, more.unchanged_runs) == ((), len(old.cells))
    assert {f"base~aa1-s{1_000_000 + n}" for n in (2, 3, 4)} < set(more.added_runs)


def test_a_study_without_copies_is_stored_as_ever_and_one_with_them_comes_back() -> None:
    none, some = planned(seeds=2), planned(seeds=2, aa=1)

    assert "copy" not in plan_text(none)
    assert "aa" not in none.spec
    assert planned(seeds=2, aa=0).spec == none.spec
    assert plan_from_text(plan_text(some)) == some
    assert some.spec["aa"] == 1


def test_no_other_variant_knows_of_copies(tmp_path: Path) -> None:
    none, some = planned(seeds=2), planned(seeds=2, aa=2)
    text = STUDY + "seeds: 2\naa: 2\n"
    document = parse_document(text, name="f.yaml")

    assert some.variants[: len(none.variants)] == none.variants
    assert some.more_seeds == none.more_seeds
    notes = plan_notes(check_study(document), some, UserTrainer("m:train"), tmp_path)
    assert not any("~aa" in note for note in notes)
    # One that is compared by name is compared with what it copies.
    spec = {"design": {"from": "same"}, "phases": {"base": {}, "same": {}}}
    assert references_of(spec, some.variants, "base")["base~aa1"] == ("base",)


def test_a_renamed_baseline_renames_its_copies() -> None:
    old = planned(STUDY.replace("  same: {}\n", ""), aa=1)
    new = planned(STUDY.replace("  same: {}\n", "").replace("base: {b", "root: {b"), aa=1)

    assert diff_plans(old, new).renamed == ("base -> root", "base~aa1 -> root~aa1")
    assert not diff_plans(old, new).orphaned_runs


def test_a_baseline_that_begins_elsewhere_takes_copies_of_that_with_it() -> None:
    plan = planned(BRANCHED)
    first, base = plan.variants[-2:]

    assert (base.name, first.name) == ("base~aa1", "first~aa1")
    assert base.start_at is not None
    assert base.start_at.variant == "first~aa1"
    assert first.identity == base.start_at.identity
    assert seeds_of(plan)["base~aa1"] == seeds_of(plan)["first~aa1"] == [1_000_000]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (-1, "aa: should be at least 0, not -1"),
        (101, "aa: should be at most 100, not 101"),
        ("two", "aa: should be a whole number, not 'two'"),
    ],
)
def test_a_bad_number_of_copies_is_one_error_at_its_line(count: object, message: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        planned(aa=count)

    assert caught.value.message == message
    assert caught.value.line == 8


def test_imported_runs_cannot_be_copied() -> None:
    document = parse_document("study: old\ntrainer: imported\naa: 2\n", name="f.yaml")

    with pytest.raises(StudyFileError, match="'aa' is for training, and the runs of this study"):
        check_study(document)


def test_copies_count_as_runs_and_their_names_are_taken() -> None:
    with pytest.raises(StudyFileError, match="the study has 10,200 runs"):
        planned(seeds=200, aa=46)
    with pytest.raises(UsageError, match="two variants are named 'base~aa1'"):
        planned(STUDY.replace("same", "base~aa1"), aa=1)


def test_the_option_is_written_into_the_study_file() -> None:
    document = parse_document(STUDY + "aa: 1\n", name="f.yaml")
    text = apply_flags(document, check_study(document), "rate", StudyFlags(aa=3))

    assert "aa: 3" in text
    assert "aa: 1" not in text
    assert StudyFlags().is_empty
    assert not StudyFlags(aa=0).is_empty
