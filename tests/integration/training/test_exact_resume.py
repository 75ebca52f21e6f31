"""Every preset, with and without discriminators, ended at seeded steps: the same bits."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.projects import Project
from tests.support.thorough import few_or_many
from tests.support.weights import weights

pytestmark = pytest.mark.training

STEPS = few_or_many(12, 24)
SEEDS = few_or_many(1, 3)
GAN = few_or_many(
    "discriminator.enabled: true, discriminator.channels: 4", "discriminator.enabled: true"
)
NARROW = few_or_many(
    "model.channels: [8, 8, 8], quantizer.dim: 16, quantizer.codebook_size: 32", ""
)
"""Every part of the preset is there, with fewer channels and codes."""

# The bundled trainer, whose process is ended at steps that a file names, once each.
TRAINER = """
import os, signal
from pathlib import Path

from trainer.loop import train as bundled


class Doomed:
    def __init__(self, run, label):
        self._run, self._label = run, label

    def __getattr__(self, name):
        return getattr(self._run, name)

    def log(self, metrics, step):
        self._run.log(metrics, step)
        mark = Path("doom") / f"{self._label}-{self._run.seed('doom') % 100000}-{step}"
        for number in (signal.SIGKILL, signal.SIGTERM):
            planned = mark.with_suffix(f".{int(number)}")
            if planned.exists():
                planned.rename(planned.with_suffix(".done"))
                os.kill(os.getpid(), number)


def train(config, run):
    config = dict(config)
    bundled(config, Doomed(run, config.pop("label")))
"""

STUDY = f"""
study: exact
trainer: doomed:train
base:
  steps: {STEPS}
  log_every: 1
  valid_every: 5
  diagnostics_every: 4
  checkpoint_every: 4
  data.synthetic_s: 5
  data.valid_s: 0.32
  data.segment_s: 0.16
  data.batch_size: 2
  quantizer.progressive_steps: 6
  discriminator.start_step: 3
  discriminator.ramp_steps: 5
phases:
  base: {{baseline: true, set: {{label: base, preset: base}}}}
  base_gan: {{set: {{label: base_gan, preset: base, {GAN}}}}}
  pre_output: {{set: {{label: pre_output, preset: pre_output}}}}
  pre_output_gan: {{set: {{label: pre_output_gan, preset: pre_output, {GAN}}}}}
  streamvc: {{set: {{label: streamvc, preset: streamvc, {NARROW}}}}}
  streamvc_gan: {{set: {{label: streamvc_gan, preset: streamvc, {GAN}, {NARROW}}}}}
seeds: {SEEDS}
"""
PHASES = ("base", "base_gan", "pre_output", "pre_output_gan", "streamvc", "streamvc_gan")
ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)
"""Of each run: a third violent death would be taken for the run's own fault."""
POINTS = (
    "select variant, seed, key, step, value, kind from run_metrics "
    "where key not like '%/perf/%' order by 1, 2, 3, 4"
)


def make_project(folder: Path) -> Project:
    project = Project(folder)
    project.write("doomed.py", TRAINER)
    project.write("studies/exact.yaml", STUDY)
    (folder / "doom").mkdir()
    project.ablate("study", "create", "exact")
    return project


def doom(project: Project, rng: random.Random) -> int:
    """Plan the ends of every run; return how many."""
    import hashlib

    planned = 0
    for phase in PHASES:
        for seed in range(SEEDS):
            digest = hashlib.sha256(f"{seed}/doom".encode()).digest()
            stream = (int.from_bytes(digest[:8], "big") >> 1) % 100000
            for step, number in zip(rng.sample(range(1, STEPS), 3), ENDS, strict=True):
                project.write(f"doom/{phase}-{stream}-{step}.{int(number)}", "")
                planned += 1
    return planned


def run_to_the_end(project: Project) -> None:
    """Run again and again: a run that was asked to stop pauses, and the command with it."""
    for _ in range(8):
        try:
            project.ablate("run", "exact", "--workers", "2", timeout_s=2 * PATIENCE_S)
        except AssertionError:
            continue
        states = project.rows("select distinct state from runs")
        if states == [("succeeded",)]:
            return
    raise AssertionError(project.rows("select state, reason, count(*) from runs group by 1, 2"))


def test_runs_ended_at_seeded_steps_end_with_the_bits_of_those_never_ended(tmp_path: Path) -> None:
    calm, ended = make_project(tmp_path / "calm"), make_project(tmp_path / "ended")
    planned = doom(ended, random.Random(5))

    calm.ablate("run", "exact", "--workers", "2", timeout_s=2 * PATIENCE_S)
    run_to_the_end(ended)

    done = list((ended.folder / "doom").glob("*.done"))
    assert len(done) == planned == len(PHASES) * SEEDS * len(ENDS)
    attempts = ended.rows("select count(*) from attempts")[0][0]
    assert attempts == len(PHASES) * SEEDS + planned
    assert len(weights(calm)) == len(PHASES) * SEEDS
    assert weights(ended) == weights(calm)
    assert ended.rows(POINTS) == calm.rows(POINTS)
    assert ended.rows("select count(*) from attempts where inexact is not null") == [(0,)]
