"""Copies of the baseline through the command line: asked for, trained, told, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.projects import STUDY, Project, make_project

ROWS = "select variants.name, seed, runs.id from runs join study_runs on runs.id = run_id "
ROWS += "join variants on variants.id = variant_id where is_wanted order by 1, 2"
TOLD = "Nothing but other seeds: 2 copies of slow, 2 seeds each, were seen to differ from it by"


def compared(project: Project, *arguments: str) -> dict[str, Any]:
    return json.loads(project.ablate("compare", *arguments, "--format", "json"))


def without_copies(comparison: dict[str, Any]) -> dict[str, Any]:
    answer = [s for s in comparison["answer"] if not s.startswith("Nothing but other seeds")]
    return comparison | {"answer": answer, "aa": []}


def test_copies_are_trained_and_told_and_change_no_verdict(tmp_path: Path) -> None:
    project = make_project(tmp_path, STUDY.replace("steps: 200", "steps: 20"))
    project.ablate("study", "create", "toy")
    project.ablate("run")
    before = compared(project)
    runs = project.rows(ROWS)
    assert "2 variants x 2 seeds (0, 1) = 4 runs" in project.ablate("study", "show", "toy")

    asked = ("study", "create", "toy", "--aa", "2", "--force")
    added = project.ablate(*asked, "--update")
    assert "2 copies of slow with 2 seeds each, from 1000000 on = 8 runs" in added
    assert "aa: 2" in (project.folder / "studies" / "toy.yaml").read_text()
    assert "is unchanged" in project.told(*asked)
    # Until they are trained there is nothing to tell, and nothing to wait for.
    assert without_copies(compared(project)) == before
    project.ablate("run")

    names = [row[:2] for row in project.rows(ROWS)]
    assert [row for row in project.rows(ROWS) if "~" not in row[0]] == runs
    assert names[-4:] == [
        *[("slow~aa1", seed) for seed in (1_000_000, 1_000_001)],
        *[("slow~aa2", seed) for seed in (2_000_000, 2_000_001)],
    ]
    assert "slow~aa1" in project.ablate("status")
    after = compared(project)
    assert without_copies(after) == before
    [copies] = after["aa"]
    [floor] = copies["metrics"]
    contrasts = floor["contrasts"].values()
    assert (copies["of"], copies["copies"]) == ("slow", ["slow~aa1", "slow~aa2"])
    ratios = [max(c["ratio"], 1 / c["ratio"]) for c in contrasts]
    assert floor["largest_ratio"] == max(ratios) > 1
    assert floor["tested"] == 2

    for form in ([], ["--full"], ["--format", "md"], ["--format", "html"]):
        assert TOLD in project.ablate("compare", *form)
    project.ablate("report", "toy", "-o", "report.html")
    assert TOLD in (project.folder / "report.html").read_text(encoding="utf-8")
    # By name a copy is compared as any other variant is, with what it copies.
    own = compared(project, "slow", "slow~aa1")
    assert [row["variant"] for row in own["rows"]] == ["slow", "slow~aa1"]
    assert own["aa"][0]["copies"] == ["slow~aa2"]

    project.write("studies/toy.yaml", STUDY.replace("200", "20").replace("seeds: 2", "seeds: 3"))
    kept = project.told("study", "create", "toy", "--aa", "1", "--update", "--force")
    assert "unchanged   6 runs" in kept
    assert "added       3: slow-s2, fast-s2, slow~aa1-s1000002" in kept
    assert "orphaned    2: slow~aa2-s2000000, slow~aa2-s2000001" in kept
    assert "1000000" in project.ablate("export", "toy", "--format", "csv")


def test_what_cannot_be_copied_is_refused_plainly(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write("studies/old.yaml", "study: old\ntrainer: imported\naa: 2\n")
    project.write("studies/many.yaml", STUDY.replace("toy\n", "many\n") + "aa: 1000\n")

    told = project.ablate("study", "create", "old", code=2)
    assert "'aa' is for training, and the runs of this study are imported" in told
    assert "studies/many.yaml:12:5" in project.ablate("study", "create", "many", code=2)
    assert "--aa" in project.ablate("study", "create", "toy", "--aa", "-1", code=2)
    assert "--imported goes with a name alone" in project.ablate(
        "study", "create", "new", "--imported", "--aa", "2", code=2
    )
