"""Files that a trainer keeps: listed, copied, and heard in the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.projects import Project

TRAINER = '''
"""A trainer that keeps a sound of every tenth step, and dies once on the way."""
import os, signal, wave
from pathlib import Path


def train(config, run):
    state = run.resume()
    step = state["step"] if state else 0
    while step < config["steps"]:
        step += 1
        run.log({"train/loss/total": 1 / step}, step)
        if step % 10 == 0:
            with wave.open("sound.wav", "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes(bytes(320) + step.to_bytes(2, "little"))
            run.artifact("sound.wav", name=f"samples/step-{step:09d}/u0-output.wav")
            Path("sound.wav").unlink()
            run.artifact(__file__)
            run.save(step, {"step": step})
        if step == 25 and not state:
            os.kill(os.getpid(), signal.SIGKILL)
'''
STUDY = """
study: heard
question: Does it sound right?
trainer: sounds:train
base: {steps: 40}
phases:
  only: {baseline: true}
seeds: 1
metrics: {train/loss/total: min}
"""


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("heard"))
    project.write("sounds.py", TRAINER)
    project.write("studies/heard.yaml", STUDY)
    project.ablate("study", "create", "heard")
    project.ablate("run", "heard")
    return project


def listed(project: Project, *options: str) -> list[dict]:
    return json.loads(project.ablate("artifacts", "only-s0", "--format", "json", *options))["rows"]


def test_files_of_all_attempts_are_listed_the_last_of_a_name(heard: Project) -> None:
    rows = {row["name"]: row for row in listed(heard)}

    names = [f"samples/step-{step:09d}/u0-output.wav" for step in (10, 20, 30, 40)]
    assert list(rows) == [*names, "sounds.py"]
    assert [rows[n]["attempt"] for n in names] == [1, 1, 2, 2]
    assert rows["sounds.py"]["attempt"] == 2
    assert all(Path(row["path"]).stat().st_size == row["bytes"] for row in rows.values())


def test_files_are_copied_with_their_folders(heard: Project) -> None:
    heard.ablate("artifacts", "only-s0", "-o", "copy", "--only", "samples/*30/*")

    found = [p.relative_to(heard.folder).as_posix() for p in heard.folder.glob("copy/**/*.*")]
    assert found == ["copy/samples/step-000000030/u0-output.wav"]


def test_a_pattern_that_matches_nothing_says_what_there_is(heard: Project) -> None:
    text = heard.ablate("artifacts", "only-s0", "--only", "*.png", code=3)

    assert "only-s0 has kept no file that matches *.png" in text
    assert "it has kept 5, as sounds.py" in text


def test_report_plays_the_newest_step(heard: Project) -> None:
    heard.ablate("report", "heard", "-o", "report.html")
    page = (heard.folder / "report.html").read_text(encoding="utf-8")

    assert "Samples of only-s0 at step 40" in page
    assert page.count("<audio controls") == 1
