"""Faults planted into real trainings: the right cause is named first, and none for what is well."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.projects import Project

pytestmark = pytest.mark.training

STUDY = """
study: faults
question: Is the planted fault named first?
trainer: bundled
base:
  preset: base
  steps: 300
  data.batch_size: 3
  data.segment_s: 0.2
  data.synthetic_s: 30
  data.valid_s: 3
phases:
  base: {baseline: true}
  # With so few codes the other terms drive the output down, and keep it there.
  anchor:
    set:
      quantizer.n_quantizers: 1
      quantizer.codebook_size: 8
      losses.sc.weight: 0
      losses.log1p.weight: 0
      losses.rms_frame.weight: 0
      losses.rms_band.weight: 0
      losses.rms_log.weight: 1
  weak: {from: anchor, set: {losses.rms_log.weight: 0.0001}}
  frozen: {from: base, set: {"optim.freeze": [out_proj]}}
  unfitted: {from: base, set: {quantizer.update: gradient, quantizer.init: random}}
  fast: {from: base, set: {optim.learning_rate: 0.1}}
  idle: {from: base, set: {optim.final_fraction: 0.5}}
seeds: 1
metrics: {valid/loss/sc: min, valid/loss/l1: min}
targets: {train/audio/rms: "0.075 +-20%"}
"""
FIRST = {
    "base": None,
    "anchor": None,
    "weak": "level term too weak",
    "frozen": "a part does not learn",
    "unfitted": "codebook never updated",
    "fast": "learning rate too high",
    "idle": "no effect",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with seven short runs: two healthy phases and five faults."""
    project = Project(tmp_path_factory.mktemp("faults"))
    project.write("studies/faults.yaml", STUDY)
    project.ablate("study", "create", "faults")
    project.ablate("run", "faults", timeout_s=2 * PATIENCE_S)
    return project


@pytest.fixture(scope="module")
def causes(trained: Project) -> dict[str, list[dict[str, Any]]]:
    rows = json.loads(trained.ablate("compare", "--format", "json"))["rows"]
    return {row["variant"]: row["causes"] for row in rows}


@pytest.mark.parametrize(("phase", "first"), FIRST.items())
def test_right_cause_is_named_first(
    causes: dict[str, list[dict[str, Any]]], phase: str, first: str | None
) -> None:
    found = [cause["name"] for cause in causes[phase]]

    assert (found[0] if found else None) == first, causes[phase]


def test_causes_name_what_to_change_with_numbers(causes: dict[str, list[dict[str, Any]]]) -> None:
    sentences = {phase: found[0]["sentence"] for phase, found in causes.items() if found}

    assert sentences["idle"].startswith("optim.final_fraction 0.1 -> 0.5 changes nothing here")
    assert sentences["weak"].startswith("rms_log is too weak to hold the level")
    assert sentences["frozen"].startswith("out_proj does not learn")
    assert causes["weak"][0]["evidence"]["rms_log is weaker by"] > 10
    assert causes["fast"][0]["evidence"]["train/optim/lr"] == pytest.approx(0.1)
    assert causes["unfitted"][0]["evidence"]["train/change/codebook_q0"] >= 0


def test_report_has_the_diagnosis_at_the_top_of_a_phase(trained: Project) -> None:
    trained.ablate("report", "faults", "-o", "report.md")
    text = (trained.folder / "report.md").read_text(encoding="utf-8")

    _, _, section = text.partition("## weak: ")
    lines = section.splitlines()
    assert lines[2] == "### Diagnosis"
    assert lines[4].startswith("- likely cause: rms\\_log is too weak")
    assert "### Losses beside trivial outputs" in section
    assert "### Level by stage" in section
