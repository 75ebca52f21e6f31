"""Outputs whose level is right and that are no speech, made and logged by a user's own trainer.

Each logs what the bundled trainer logs of its held-out set. White noise, the target's spectrum with
random phases (of the whole and of short windows) and other utterances are made without a model; a
level term alone, and the healthy codec, are trained by the bundled trainer itself.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.projects import Project

pytestmark = pytest.mark.training

TRAINER = """
import torch
from trainer.data.batches import held_out, load_corpus
from trainer.loop import train as train_bundled
from trainer.losses.audio import LossSettings, measure
from trainer.losses.nulls import null_losses
from trainer.config.parsing import from_nested
from trainer.spec import BUNDLED
from trainer.signals import Signal


def train(config, run):
    kind = config["kind"]
    if kind in TRAINED:
        return train_bundled(BUNDLED.resolve({**BASE, **TRAINED[kind]}), run)
    codec = from_nested(BUNDLED.resolve(BASE))
    settings = LossSettings(codec.data.sample_rate_hz, codec.data.target_rms)
    targets = [batch.audio_BT for batch in held_out(load_corpus(codec).valid, codec)]
    generator = torch.Generator().manual_seed(run.seed("noise") % 2**31)
    run.log(null_losses(targets, settings), 0)
    for step in (50, 100, 150):
        made = [MADE[kind](target, generator) for target in targets]
        made = [x * rms(target) / rms(x) for x, target in zip(made, targets)]
        run.log(described(made, targets, settings), step)


def rms(x):
    return x.square().mean(dim=1, keepdim=True).sqrt()


def described(made, targets, settings):
    found = {"train/audio/rms": torch.cat(made).square().mean().sqrt().item()}
    found["train/audio/target_rms"] = torch.cat(targets).square().mean().sqrt().item()
    silences = [torch.zeros_like(x) for x in targets]
    for group, outputs in (("loss", made), ("silent", silences)):
        rows = [measure(Signal(x), Signal(y), settings) for x, y in zip(outputs, targets)]
        for name in rows[0]:
            parts = [row[name].item() * len(x) for row, x in zip(rows, targets)]
            found[f"valid/{group}/{name}"] = sum(parts) / sum(map(len, targets))
    return found


def white(target, generator):
    return torch.randn(target.shape, generator=generator)


def phases(target, generator):
    spectrum = torch.fft.rfft(target)
    turned = torch.polar(spectrum.abs(), 6.2832 * torch.rand(spectrum.shape, generator=generator))
    return torch.fft.irfft(turned, n=target.shape[1])


def short_phases(target, generator):
    window = torch.hann_window(1024)
    spectrum = torch.stft(target, 1024, 256, window=window, return_complex=True)
    turned = torch.polar(spectrum.abs(), 6.2832 * torch.rand(spectrum.shape, generator=generator))
    return torch.istft(turned, 1024, 256, window=window, length=target.shape[1])


def other(target, generator):
    return target.roll(3, dims=0) if len(target) > 3 else target.flip(1)


MADE = {f.__name__: f for f in (white, phases, short_phases, other)}
BASE = {"preset": "base", "steps": 150, "data.source": "synthetic", "data.synthetic_s": 60}
OFF = {f"losses.{name}.weight": 0 for name in ("l1", "sc", "log1p", "rms_band")}
TRAINED = {"codec": {}, "level": OFF | {"losses.rms_frame.weight": 1}}
"""
STUDY = """
study: loud
question: Does a level that is right hide that nothing else is?
trainer: loud:train
base: {kind: codec}
phases:
  codec: {baseline: true}
  white: {set: {kind: white}}
  phases: {set: {kind: phases}}
  short_phases: {set: {kind: short_phases}}
  other: {set: {kind: other}}
  level: {set: {kind: level}}
seeds: 1
targets: {train/audio/rms: "0.075 +-40%"}
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    project = Project(tmp_path_factory.mktemp("loud"))
    project.write("loud.py", TRAINER)
    project.write("studies/loud.yaml", STUDY)
    project.ablate("study", "create", "loud")
    project.ablate("run", "loud", timeout_s=2 * PATIENCE_S)
    found = json.loads(project.ablate("compare", "--format", "json"))["rows"]
    return {row["variant"]: row for row in found}


def test_every_output_meets_the_target_of_its_level(rows: dict[str, dict[str, Any]]) -> None:
    statuses = {n: row["values"]["train/audio/rms"]["status"] for n, row in rows.items()}

    assert statuses == dict.fromkeys(rows, "good")


def test_the_healthy_codec_passes(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["codec"]["verdict"] == "passed", rows["codec"]["reasons"]


@pytest.mark.parametrize("variant", ["white", "phases", "other", "level"])
def test_what_no_loss_tells_from_what_knows_nothing_fails(
    rows: dict[str, dict[str, Any]], variant: str
) -> None:
    assert rows[variant]["verdict"] == "failed"
    assert any(
        "no held-out loss tells the output from one that knows nothing" in reason
        for reason in rows[variant]["reasons"]
    )


def test_the_spectrum_of_short_windows_without_its_phases_does_not_pass(
    rows: dict[str, dict[str, Any]],
) -> None:
    assert rows["short_phases"]["verdict"] == "degrading"
    assert "spectrum only, the waveform is worse than silence" in rows["short_phases"]["reasons"][0]
