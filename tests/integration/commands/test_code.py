"""What is said when the trainer is edited: between runs, within one, in an import, in a comment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.projects import Project

TRAINER = """
from helper import scaled

def train(config, run):
    state = run.resume()
    for step in range(state["step"] if state else 0, config["steps"]):
        run.log({"loss": scaled(config["lr"])}, step + 1)
        if run.should_stop:
            run.save(step + 1, {"step": step + 1})
            return
"""
HELPER = "def scaled(x):\n    return x * 2\n"
STUDY = """
study: rate
trainer: mine:train
base: {steps: 4, lr: 0.1}
phases:
  a: {}
  b: {set: {lr: 0.5}}
metrics: {loss: min}
"""
EDITED = HELPER.replace("2", "3")


def train(folder: Path, study: str) -> Project:
    made = Project(folder)
    made.write("mine.py", TRAINER)
    made.write("helper.py", HELPER)
    made.write("studies/rate.yaml", study)
    made.ablate("study", "create", "rate")
    made.ablate("run", "rate")
    return made


def copy_of(project: Project, folder: Path) -> Project:
    shutil.copytree(project.folder, folder)
    return Project(folder)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return train(tmp_path_factory.mktemp("trained"), STUDY)


@pytest.fixture
def trained(trained_once: Project, tmp_path: Path) -> Project:
    """Return a trained study of which the code is no part."""
    return copy_of(trained_once, tmp_path / "copy")


OTHER = "rate: 2 runs were trained by other code than is there now (helper.py): a-s0, b-s0"


def test_each_attempt_keeps_the_modules_that_it_loaded(trained: Project) -> None:
    rows = trained.rows("SELECT content FROM codes JOIN attempts ON attempts.code_id = codes.id")

    assert len(rows) == 2
    assert len(set(rows)) == 1
    code = json.loads(rows[0][0])
    assert {m["path"] for m in code["modules"].values()} == {"mine.py", "helper.py"}
    assert (code["version"], code["commit"]) == (None, None)


@pytest.mark.parametrize("edit", ["# why\n" + HELPER, HELPER.replace("2", "2  # twice")])
def test_a_comment_is_no_other_code(trained: Project, edit: str) -> None:
    trained.write("helper.py", edit)

    assert "other code" not in trained.told("run") + trained.told("status")


def test_edited_import_is_told_and_runs_can_be_trained_anew(trained: Project) -> None:
    trained.write("helper.py", EDITED)

    assert OTHER in trained.told("run")
    assert "helper.py" in trained.ablate("status")
    assert "helper.py" not in trained.ablate("run", "--fresh")

    assert trained.rows("SELECT DISTINCT variant, value FROM run_metrics ORDER BY 1") == [
        ("a", pytest.approx(0.3)),
        ("b", 1.5),
    ]
    assert "other code" not in trained.told("run")
    assert trained.rows("SELECT count(*) FROM points") == [(16,)]


def test_creating_again_names_runs_by_other_code(trained: Project) -> None:
    assert "other code" not in trained.told("study", "create", "rate")
    trained.write("helper.py", EDITED)

    assert OTHER in trained.told("study", "create", "rate")
    trained.write("studies/rate.yaml", STUDY + "seeds: 2\n")
    assert OTHER in trained.told("study", "create", "rate", "--update")
    shared = STUDY.replace("study: rate", "study: also")
    trained.write("studies/also.yaml", shared)
    assert OTHER.replace("rate:", "also:") in trained.told("study", "create", "also")


def test_new_runs_are_not_mixed_with_old_ones_unasked(trained: Project) -> None:
    trained.write("helper.py", EDITED)
    trained.write("studies/rate.yaml", STUDY + "seeds: 2\n")
    assert "studies/rate.yaml has changed (2 runs added)" in trained.told("status")
    trained.ablate("study", "create", "rate", "--update")

    refused = trained.ablate("run", code=2)
    assert OTHER in refused
    assert "--keep them" in refused

    trained.ablate("run", "--keep")
    assert OTHER in trained.told("run")


def test_a_run_that_resumes_under_other_code_says_so(trained: Project) -> None:
    trained.write("studies/rate.yaml", STUDY.replace("steps: 4", "steps: 6"))
    trained.ablate("study", "create", "rate", "--update")
    trained.ablate("run", "--steps", "3")
    trained.write("helper.py", EDITED)

    assert "training goes on beside results of other code" in trained.ablate("run", code=2)
    trained.ablate("run", "--keep")

    rows = trained.rows("SELECT DISTINCT inexact FROM attempts WHERE number = 2")
    assert rows == [("helper.py changed",)]
    status = json.loads(trained.ablate("status", "--format", "json"))
    assert {run["resumed_inexactly"] for run in status["rows"]} == {"helper.py changed"}


def test_a_declared_version_stands_for_the_code(trained: Project) -> None:
    trained.write("mine.py", TRAINER + 'VERSION = "1"\n')
    trained.ablate("run", "--fresh")
    trained.write("helper.py", EDITED)
    assert "other code" not in trained.told("run")

    trained.write("mine.py", TRAINER + 'VERSION = "2"\n')
    assert "(VERSION 1 -> 2): a-s0, b-s0" in trained.told("run")


def test_retry_says_why_and_fresh_trains_succeeded_runs_anew(trained: Project) -> None:
    said = trained.ablate("retry", "a", code=1)
    assert "rate/a-s0 has succeeded; --fresh trains it anew" in said

    trained.ablate("retry", "a", "--fresh")

    assert trained.rows("SELECT count(*) FROM run_metrics") == [(4,)]
    trained.ablate("run")
    assert trained.rows("SELECT count(*) FROM run_metrics") == [(8,)]
    assert trained.rows("SELECT reason FROM transitions WHERE by NOT LIKE '%/%'") == [
        ("started over",)
    ]


def test_name_of_several_studies_is_refused_with_the_candidates(trained: Project) -> None:
    trained.write("studies/other.yaml", STUDY.replace("rate", "other").replace("0.1", "0.2"))
    trained.ablate("study", "create", "other")

    for command in (("cancel", "a"), ("logs", "a-s0"), ("retry", "a"), ("run", "--only", "a")):
        refused = trained.ablate(*command, code=2)
        assert "is in 2 studies" in refused
        assert "rate/a" in refused
        assert "other/a" in refused

    assert "1 of 1 runs cancelled" in trained.told("cancel", "other/a")
    assert "succeeded" in trained.ablate("status", "rate")


def test_renamed_phase_is_told_as_that_and_trains_nothing(trained: Project) -> None:
    trained.write("studies/rate.yaml", STUDY.replace("  b:", "  fast:"))

    said = trained.told("study", "create", "rate", "--update")

    assert "renamed     1: b -> fast" in said
    assert "orphaned" not in said
    assert "nothing to run: 2 succeeded" in trained.told("run")


def test_template_becomes_the_projects_own_file(project: Project) -> None:
    project.ablate("study", "create", "scale-fix")
    path = project.folder / "studies" / "scale-fix.yaml"
    path.write_text(path.read_text().replace("seeds: 2", "seeds: 3"))

    assert "has changed (14 runs added)" in project.told("status", "scale-fix")


def added_beside_other_code(project: Project) -> None:
    """Train a third phase after an edit, beside the two that are there."""
    project.write("helper.py", EDITED)
    project.write("studies/rate.yaml", STUDY.replace("lr: 0.5}}", "lr: 0.5}}\n  c: {set: {lr: 1}}"))
    project.ablate("study", "create", "rate", "--update")
    project.ablate("run", "--keep")


def test_comparison_and_report_mark_other_code_whatever_is_there_now(trained: Project) -> None:
    assert "code" not in trained.ablate("compare", "--study", "rate")
    added_beside_other_code(trained)

    shown = trained.ablate("compare", "--study", "rate")
    assert "c: trained by other code than a (helper.py)" in shown
    assert "1 (other code)" in shown
    rows = json.loads(trained.ablate("compare", "--study", "rate", "--format", "json"))["rows"]
    assert {row["variant"]: row["other_code"] for row in rows} == {
        "a": [],
        "b": [],
        "c": ["helper.py"],
    }

    (trained.folder / "helper.py").unlink()
    assert trained.ablate("compare", "--study", "rate") == shown
    for name in ("report.md", "report.html"):
        trained.ablate("report", "rate", "-o", name)
        text = (trained.folder / name).read_text()
        assert "trained by other code than a (helper.py)" in text
        assert "1 run, other code" in text


def test_comparison_tells_of_a_run_that_went_on_under_other_code(trained: Project) -> None:
    trained.write("studies/rate.yaml", STUDY.replace("steps: 4", "steps: 6"))
    trained.ablate("study", "create", "rate", "--update")
    trained.ablate("run", "--steps", "3")
    trained.write("helper.py", EDITED)
    trained.ablate("run", "--keep")

    told = "the code changed between the attempts of a-s0 and b-s0 (helper.py)"
    shown = trained.ablate("compare", "--study", "rate")
    assert told in shown
    assert "trained by other code" not in shown
    assert "1 (mixed code)" in shown


def test_comparison_and_report_notice_a_changed_study_file(trained: Project) -> None:
    trained.write("studies/rate.yaml", STUDY + "seeds: 2\n")

    change = "note: studies/rate.yaml has changed (2 runs added); apply it with"
    assert change in trained.told("compare", "--study", "rate")
    assert change in trained.told("report", "rate")
    assert "has changed" not in trained.ablate("compare", "--study", "rate")


WITH_CODE = STUDY.replace("base:", "code: identity\nbase:")


@pytest.fixture(scope="module")
def identified_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return train(tmp_path_factory.mktemp("identified"), WITH_CODE)


@pytest.fixture
def identified(identified_once: Project, tmp_path: Path) -> Project:
    """Return a trained study of which the code is a part."""
    return copy_of(identified_once, tmp_path / "copy")


CHANGE = "the code of mine:train has changed (2 runs added; 2 runs no longer wanted)"


def test_code_as_identity_makes_new_runs_and_brings_the_old_ones_back(identified: Project) -> None:
    identified.write("helper.py", EDITED)
    for command in (("status", "rate"), ("run", "rate"), ("compare", "--study", "rate")):
        assert CHANGE in identified.told(*command)

    asked = identified.ablate("study", "create", "rate", code=2)
    assert "redefined   2: a, b" in asked
    assert "trainer     code " in asked
    identified.ablate("study", "create", "rate", "--update")
    assert "2 succeeded" in identified.told("run")
    assert identified.rows("SELECT count(*) FROM runs") == [(4,)]
    assert identified.rows("SELECT DISTINCT value FROM run_metrics ORDER BY 1") == [
        (pytest.approx(0.3),),
        (1.5,),
    ]

    identified.write("helper.py", HELPER)
    identified.ablate("study", "create", "rate", "--update")
    assert "nothing to run: 2 succeeded" in identified.told("run")
    assert "2 runs were looked at, each is what it is called" in identified.ablate("db", "check")


def test_a_comment_is_no_other_identity(identified: Project) -> None:
    identified.write("helper.py", "# why\n" + HELPER)

    assert "changed" not in identified.told("run") + identified.told("status")
    assert "is unchanged" in identified.told("study", "create", "rate")


@pytest.mark.parametrize("arguments", [(), ("--keep",), ("--fresh",)])
def test_nothing_is_trained_under_a_plan_for_other_code(
    identified: Project, arguments: tuple[str, ...]
) -> None:
    identified.write("studies/rate.yaml", WITH_CODE + "seeds: 2\n")
    identified.ablate("study", "create", "rate", "--update")
    identified.write("helper.py", EDITED)
    before = identified.rows("SELECT id, state, token FROM runs ORDER BY id")

    refused = identified.ablate("run", *arguments, code=2)

    assert "'rate' was created for other code of mine:train than is there now" in refused
    assert "ablate study create rate --update" in refused
    assert identified.rows("SELECT id, state, token FROM runs ORDER BY id") == before


def test_declared_version_is_the_identity_of_the_code(identified: Project) -> None:
    identified.write("mine.py", TRAINER + 'VERSION = "1"\n')
    identified.ablate("study", "create", "rate", "--update")
    identified.write("helper.py", EDITED)

    assert "changed" not in identified.told("status")
    identified.write("mine.py", TRAINER + 'VERSION = "2"\n')
    assert CHANGE in identified.told("status")


def test_broken_code_is_told_as_it_is(identified: Project) -> None:
    identified.write("helper.py", "def scaled(x)\n")

    fault = "the code of mine:train has changed, and is refused: helper.py:1: expected ':'"
    assert fault in identified.told("status")


def test_code_of_a_registered_trainer_is_its_version_already(project: Project) -> None:
    study = "study: s\ntrainer: bundled\ncode: identity\nbase: {steps: 4}\nphases: {a: {}}\n"
    project.write("studies/s.yaml", study)

    refused = project.ablate("study", "create", "s", code=2)

    assert "the trainer 'bundled' has a version, which is part of the identity" in refused
    assert "studies/s.yaml:3:1" in refused
    assert "remove 'code'" in refused
