"""The bundled trainer through the command line: what the replicas do, and exact resume."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from ablate.planning.study_file.templates import templates
from tests.support.patience import PATIENCE_S
from tests.support.processes import trainers_of
from tests.support.projects import Project, kill
from tests.support.thorough import few_or_many
from tests.support.weights import weights

pytestmark = pytest.mark.training

PHASES = ("phase_a", "phase_fixed", "base")
HEALTHY = few_or_many((0,), (0, 1))
SEEDS = {"phase_a": (0, 1), "phase_fixed": HEALTHY, "base": HEALTHY}
"""Which runs are trained to their end: half a minute of a core each."""
DEMO = few_or_many(
    "steps: 20\n  data.batch_size: 2\n  data.synthetic_s: 10\n  data.valid_s: 1", "steps: 700"
)
"""How long the demo trains, and on how much: what it prints again needs no learning."""
TRAINED = few_or_many("steps: 700\n  data.segment_s: 0.15", "steps: 700")
"""The shipped study at its full length, on half of each segment: it collapses all the same."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a folder in which `ablate demo` was typed: four phases, two seeds or three."""
    project = Project(tmp_path_factory.mktemp("demo"))
    write_study(project, DEMO)
    project.write("first.txt", project.ablate("demo", timeout_s=3 * PATIENCE_S))
    return project


def write_study(project: Project, steps: str, seeds: str = "2") -> None:
    """Write the shipped study with something else for its steps and seeds."""
    template = templates()["scale-fix"].read_text(encoding="utf-8")
    study, changed = re.subn("steps: 700", steps, template)
    assert changed == 1
    study, changed = re.subn("seeds: 2", f"seeds: {seeds}", study)
    assert changed == 1
    project.write("studies/scale-fix.yaml", study)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a folder with phases of the shipped study, trained to their end."""
    project = Project(tmp_path_factory.mktemp("trained"))
    write_study(project, TRAINED, seeds="[0, 1]")
    project.ablate("study", "create", "scale-fix")
    runs = [f"{phase}-s{seed}" for phase, seeds in SEEDS.items() for seed in seeds]
    only = [part for run in runs for part in ("--only", run)]
    project.ablate("run", "scale-fix", *only, timeout_s=3 * PATIENCE_S)
    return project


def test_demo_is_on_the_disk_a_second_time(demo: Project) -> None:
    told = demo.ablate("db", "check")
    assert "10 of 10 runs were compared with their spools, nothing differs" in told


def test_demo_again_trains_nothing_and_prints_the_same(demo: Project) -> None:
    attempts = demo.rows("select count(*) from attempts")

    again = demo.ablate("demo")

    assert attempts == [(10,)]
    assert demo.rows("select count(*) from attempts") == attempts
    assert again == (demo.folder / "first.txt").read_text()
    assert (demo.folder / ".ablate" / "demo.html").stat().st_size > 100_000


def last_values(project: Project, phase: str, key: str) -> dict[int, float]:
    """Return seed -> the last value of a key."""
    rows = project.rows(
        "select seed, value from run_metrics where variant = ? and key = ? order by step",
        phase,
        key,
    )
    return {seed: math.nan if value is None else value for seed, value in rows}


def test_phase_a_collapses_unforced(trained: Project) -> None:
    target = last_values(trained, "phase_a", "train/audio/target_rms")
    rms = last_values(trained, "phase_a", "valid/audio/rms")

    assert set(rms) == {0, 1}
    for seed, value in rms.items():
        assert value < 0.25 * target[seed]


def test_every_loss_of_the_collapsed_phase_stands_at_its_silent_value(trained: Project) -> None:
    for name in ("sc", "l1", "log1p"):
        raw = last_values(trained, "phase_a", f"valid/loss/{name}")
        silent = last_values(trained, "phase_a", f"valid/silent/{name}")
        for seed in (0, 1):
            assert 0.85 < raw[seed] / silent[seed] < 1.15, (name, seed)


@pytest.mark.parametrize("phase", ["phase_fixed", "base"])
def test_fitted_codebooks_keep_the_level(trained: Project, phase: str) -> None:
    target = last_values(trained, phase, "train/audio/target_rms")
    rms = last_values(trained, phase, "valid/audio/rms")

    assert set(rms) == set(SEEDS[phase])
    for seed in SEEDS[phase]:
        assert 0.6 < rms[seed] / target[seed] < 1.3


def test_base_learns_the_spectrum(trained: Project) -> None:
    # When phase_fixed does so depends on the machine's arithmetic: within its 700 steps or not.
    assert max(last_values(trained, "base", "valid/loss/sc").values()) < 0.7


def collapses(project: Project) -> set[str]:
    """Return the runs whose stored points satisfy the guard over 100 steps from step 300 on."""
    curves: dict[str, dict[int, dict[str, float]]] = {}
    for run, key, step, value in project.rows(
        "select run, key, step, value from run_metrics where key in "
        "('train/audio/level', 'train/audio/silence') and step >= 300"
    ):
        curves.setdefault(run, {}).setdefault(step, {})[key] = value
    found: set[str] = set()
    for run, steps in curves.items():
        since = None
        for step, at in sorted(steps.items()):
            holds = at["train/audio/level"] < 0.25 and at["train/audio/silence"] >= 0.8
            since = None if not holds else step if since is None else since
            if since is not None and step - since >= 100:
                found.add(run)
    return found


def test_guard_flags_the_collapse_with_its_step_and_nothing_else(trained: Project) -> None:
    fired = trained.rows(
        "select distinct r.id, e.step, e.data from events e join attempts a on a.id = e.attempt_id "
        "join runs r on r.id = a.run_id where e.name = 'guard_fired'"
    )
    phases = dict(trained.rows("select distinct run, variant from run_metrics"))
    flagged = {run for run, _, _ in fired}

    # Whether phase1 collapses depends on the machine's arithmetic; its curves say so.
    assert flagged == collapses(trained)
    assert flagged >= {run for run, phase in phases.items() if phase == "phase_a"}
    assert not flagged & {run for run, phase in phases.items() if phase in PHASES[1:]}
    for _, step, data in fired:
        assert 300 <= step <= 700
        assert json.loads(data)["guard"] == "collapse"


def test_comparison_says_why(trained: Project) -> None:
    table = trained.ablate("compare", *PHASES, "--study", "scale-fix", "--format", "json")
    rows = {row["variant"]: row for row in json.loads(table)["rows"]}

    assert rows["phase_a"]["verdict"] == "failed"
    reasons = " ".join(rows["phase_a"]["reasons"])
    assert "sit at their silent value" in reasons
    assert "guard collapse fired in 2 of 2 runs" in reasons
    for phase in ("phase_fixed", "base"):
        assert "sit at their silent value" not in " ".join(rows[phase]["reasons"])
    assert "silent value" not in " ".join(rows["base"]["reasons"])


def test_report_opens_offline_and_holds_the_numbers_of_the_comparison(
    trained: Project, tmp_path: Path
) -> None:
    trained.ablate("report", "scale-fix", "-o", str(tmp_path / "a.html"))
    trained.ablate("report", "scale-fix", "-o", str(tmp_path / "b.html"))
    trained.ablate("compare", *PHASES, "--plot", str(tmp_path / "curves.html"))

    html = (tmp_path / "a.html").read_text()
    assert html == (tmp_path / "b.html").read_text()
    assert "guard collapse fired" in html
    assert "plotly" in (tmp_path / "curves.html").read_text()


SHORT = """\
study: short
base: {steps: 60, checkpoint_every: 20, data.synthetic_s: 10, data.valid_s: 1}
phases:
  phase_a:
    set: {preset: pre_output, quantizer.ste: consistent, quantizer.post_affine: true}
  base: {set: {preset: base}}
"""


def test_killed_and_resumed_weights_equal_those_never_killed(tmp_path: Path) -> None:
    calm, killed = Project(tmp_path / "calm"), Project(tmp_path / "killed")
    for project in (calm, killed):
        project.write("studies/short.yaml", SHORT)
        project.ablate("study", "create", "short")
    calm.ablate("run", "--workers", "2")

    running = killed.start("run", "--workers", "2")
    killed.wait_for(lambda: killed.rows("select count(*) from checkpoints")[0][0] >= 1)
    trainers_of(running.pid)[0].kill()
    killed.wait_for(lambda: killed.rows("select count(*) from attempts")[0][0] >= 3)
    kill(running)
    killed.ablate("run", "--workers", "2")

    assert len(weights(calm)) == 2
    assert weights(killed) == weights(calm)
    points = (
        "select variant, key, step, value, kind from run_metrics "
        "where key not like '%/perf/%' order by 1, 2, 3"
    )
    assert killed.rows(points) == calm.rows(points)
    assert killed.rows("select count(*) from attempts where inexact is not null") == [(0,)]
