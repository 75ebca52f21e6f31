"""Gates from the outside: a run that is lost is stopped there, and what reads results says so."""

from __future__ import annotations

import json

from tests.support.projects import STUDY, Project, make_project

GATES = "gates: [50, {at: 100, do: stop}]\n"
ENDS = "select variants.name, seed, state, reason from runs join study_runs on run_id = runs.id "
ENDS += "join variants on variants.id = variant_id order by 1, 2"
JUDGED = (
    "select variants.name, seed, events.step, events.data from events "
    "join attempts on attempts.id = attempt_id join study_runs using (run_id) "
    "join variants on variants.id = variant_id join runs on runs.id = attempts.run_id "
    "where events.name = 'gate_judged' order by 1, 2, 3"
)


def test_gate_stops_what_is_critical_alike_after_a_resume_and_reports_say_it(
    project: Project,
) -> None:
    project.write("studies/toy.yaml", STUDY + GATES)
    project.ablate("study", "create", "toy")
    project.ablate("run", "--steps", "70")
    project.ablate("run")

    calm = make_project(project.folder / "calm", STUDY + GATES)
    calm.ablate("study", "create", "toy")
    calm.ablate("run")

    ends = project.rows(ENDS)
    assert ends == calm.rows(ENDS)
    assert [end[:3] for end in ends] == [
        *(("fast", seed, "stopped") for seed in (0, 1)),
        *(("slow", seed, "succeeded") for seed in (0, 1)),
    ]
    assert all(end[3].startswith("gate 100: train/audio/rms 0.00") for end in ends[:2])
    judged = project.rows(JUDGED)
    assert judged == calm.rows(JUDGED)
    assert [row[2] for row in judged] == [50, 100] * 4
    assert json.loads(judged[1][3])["statuses"] == {"train/audio/rms": "critical"}
    compared = json.loads(project.ablate("compare", "--format", "json"))
    reasons = {row["variant"]: " | ".join(row["reasons"]) for row in compared["rows"]}
    assert "2 of 2 runs were stopped at step 100 (gate 100: train/audio/rms" in reasons["fast"]
    assert "critical at gate 50: train/audio/rms in 2 of 2 runs" in reasons["fast"]
    assert "gate" not in reasons["slow"]
    project.ablate("report", "toy", "-o", "report.md")
    assert "gate\\_judged (do=stop, " in (project.folder / "report.md").read_text()


def test_survivors_of_a_stopping_gate_train_to_the_studys_end(project: Project) -> None:
    gate = "gates: [{at: 100, do: stop}]\n"
    project.write("studies/toy.yaml", STUDY.replace("steps: 200", "steps: 400") + gate)
    project.ablate("study", "create", "toy")
    project.ablate("run")

    last = "select variant, max(step) from run_metrics group by variant order by variant"
    assert project.rows(last) == [("fast", 100), ("slow", 400)]


def test_a_gate_that_stops_makes_another_run_and_one_that_flags_does_not(project: Project) -> None:
    project.ablate("study", "create", "toy")
    project.write("studies/toy.yaml", STUDY + "gates: [100]\n")

    flagged = project.ablate("study", "create", "toy", code=2)
    project.write("studies/toy.yaml", STUDY + "gates: [{at: 100, do: stop}]\n")
    stopping = project.ablate("study", "create", "toy", code=2)

    assert "unchanged   4 runs" in flagged
    assert "rules       1: gates" in flagged
    assert "added       4: slow-s0" in stopping
