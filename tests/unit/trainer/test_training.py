"""Whole runs, short: what is logged, exact resume, and measuring that changes nothing."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from ablate.protocol import ConfigError, Diverged
from tests.support.trainer_run import FITTED, GAN, PHASE_A, PRE_OUTPUT, MemoryRun, run_for
from trainer.config.config import OptimConfig
from trainer.losses.audio import AUDIO_LOSSES, REGISTRY
from trainer.optimizer import learning_rate

VARIANTS: dict[str, dict[str, Any]] = {
    "pre_output": {**PRE_OUTPUT, "quantizer.progressive_steps": 3},
    "cosine": {**PRE_OUTPUT, "quantizer.metric": "cosine"},
    "affine": PHASE_A,
    "progressive kmeans": {**PRE_OUTPUT, **FITTED, "quantizer.progressive_steps": 3},
    "base with restarts": {"quantizer.restart_every": 1, "quantizer.restart_below": 2.0},
    "bypass": {"quantizer.kind": "bypass"},
    "rotation": {"quantizer.ste": "rotation"},
    "fsq": {"quantizer.kind": "fsq", "quantizer.n_quantizers": 2, "quantizer.dropout": 0.5},
    "codes from the data, dropout, restarts of learnt codes": {
        **PRE_OUTPUT,
        "quantizer.init": "data",
        "quantizer.progressive_steps": 0,
        "quantizer.dropout": 0.5,
        "quantizer.restart_below": 2.0,
        "quantizer.restart_every": 1,
    },
    "balanced gan": {**GAN, "balancer.enabled": True},
    "all discriminators": {
        **GAN,
        "discriminator.kinds": ["stft", "multi_period", "multi_scale"],
        "discriminator.loss": "lsgan",
    },
    "streamvc": {
        "preset": "streamvc",
        "quantizer.codebook_size": 16,
        "discriminator.enabled": True,
        "discriminator.start_step": 1,
        "discriminator.channels": 4,
    },
    "bottleneck that converts": {
        "model.speaker_dim": 8,
        "model.speaker_channels": 8,
        "model.pitch": True,
        "model.content_units": 10,
        "model.content_gradient": False,
    },
    "mixed precision": {"runtime.amp": "bf16"},
    "gan": {**GAN, "discriminator.start_step": 2, "discriminator.ramp_steps": 3},
    "norm_reg and anchors": {
        **PHASE_A,
        "losses.norm_reg.weight": 0.1,
        "losses.rms_log.weight": 0.3,
        "losses.mel.weight": 0.1,
    },
}


@pytest.mark.parametrize("name", VARIANTS)
def test_stopped_and_resumed_run_equals_one_never_stopped(name: str) -> None:
    whole = run_for(VARIANTS[name])

    first = run_for(VARIANTS[name], MemoryRun(seed=3, stop_at=4))
    second = run_for(VARIANTS[name], MemoryRun(seed=3, checkpoint=first.checkpoint))

    assert first.saved_steps == [4]
    assert second.saved_steps == [6]
    assert second.weights_sha256() == whole.weights_sha256()
    for key, curve in whole.curves.items():
        if not key.startswith("train/perf/"):
            joined = {**first.curves.get(key, {}), **second.curves.get(key, {})}
            assert joined == curve, key
    assert whole.is_finite()


def test_same_seed_repeats_and_another_differs() -> None:
    one, same, other = (run_for({}, MemoryRun(seed=seed)) for seed in (0, 0, 1))

    assert one.weights_sha256() == same.weights_sha256() != other.weights_sha256()


def test_measuring_does_not_change_the_weights() -> None:
    seldom = {"log_every": 100, "valid_every": 100, "diagnostics_every": 100}
    always = {"log_every": 1, "valid_every": 1, "diagnostics_every": 1}

    rarely, often = run_for(seldom), run_for(always)

    assert len(often.curves["train/loss/mel"]) > len(rarely.curves["train/loss/mel"])
    assert often.weights_sha256() == rarely.weights_sha256()


def test_term_without_weight_does_not_change_the_weights() -> None:
    # The discriminators train, but neither of their terms counts.
    off = {f"losses.{name}.weight": 0 for name in ("adversarial", "feature_matching")}

    alone, beside = run_for({}), run_for({**GAN, **off})

    assert alone.weights_sha256() == beside.weights_sha256()


def test_every_loss_is_logged_from_the_untrained_model_on() -> None:
    run = run_for({})

    inner = {"adversarial", "feature_matching", "content_ce"}
    for name in set(REGISTRY) - inner:
        assert sorted(run.curves[f"train/loss/{name}"]) == [0, 2, 4, 6]
    for name in AUDIO_LOSSES:
        assert sorted(run.curves[f"train/silent/{name}"]) == [0, 2, 4, 6]
        assert sorted(run.curves[f"valid/loss/{name}"]) == [0, 4, 6]
        assert sorted(run.curves[f"valid/silent/{name}"]) == [0, 4, 6]
    assert sorted(run.curves["train/force/l1"]) == [3, 6]
    assert sorted(run.curves["train/optim/grad_norm"]) == [2, 4, 6]


def test_norm_that_this_codec_lacks_is_left_out_and_refused_where_it_counts() -> None:
    lacking = {"losses.norm_reg.parameters": ["final_conv_weight"]}

    assert "train/loss/norm_reg" not in run_for({**lacking, "steps": 1}).curves
    with pytest.raises(ConfigError, match="this codec has no final_conv_weight"):
        run_for({**lacking, "losses.norm_reg.weight": 0.1})


def test_weighted_terms_add_up_to_the_total() -> None:
    run = run_for({**GAN, "losses.rms_log.weight": 0.3})

    for step, total in run.curves["train/loss/total"].items():
        parts = [
            curve[step]
            for key, curve in run.curves.items()
            if key.startswith("train/weighted/") and step in curve
        ]
        assert sum(parts) == pytest.approx(total, rel=1e-5)


def test_spectral_convergence_of_silence_is_one() -> None:
    run = run_for({})

    assert run.last("train/silent/sc") == pytest.approx(1, abs=1e-4)
    assert run.last("valid/silent/sc") == pytest.approx(1, abs=1e-4)


def test_force_of_a_term_of_degree_one_is_minus_its_value_at_equal_sign() -> None:
    # |y - x| where y is far louder than x: L grows with the gain as |y| does.
    run = run_for({**PRE_OUTPUT, "model.init_rms": 0.9, "diagnostics_every": 1, "steps": 1})

    force, loss = run.last("train/force/l1"), run.last("train/weighted/l1")
    assert force < 0
    assert -force == pytest.approx(loss, rel=0.15)


def test_untrained_output_gets_the_level_asked_for() -> None:
    run = run_for({**PHASE_A, "model.init_rms": 0.231})

    assert run.first("train/audio/rms") == pytest.approx(0.231, rel=1e-3)
    assert run.first("train/drift/out_proj_weight") == 0


def test_identity_final_conv_starts_without_effect() -> None:
    run = run_for({**PHASE_A, "model.final_conv": "identity"})

    assert run.first("train/stage/3_final_conv") == pytest.approx(run.first("train/stage/2_affine"))
    assert "train/drift/final_conv_bias" not in run.curves  # it starts at zero
    assert run.first("train/norm/final_conv_weight") == pytest.approx(4.0)


def test_events_explain_the_curves() -> None:
    run = run_for({**VARIANTS["progressive kmeans"], **GAN, "discriminator.start_step": 1})

    assert [(name, step) for name, step, _ in run.events] == [
        ("data_ready", 0),
        ("discriminator_started", 1),
        ("warmup_ended", 2),
        ("quantizer_activated", 3),
    ]
    assert run.curves["train/rvq/n_active"] == {0: 1, 2: 1, 4: 2, 6: 2}


def test_restarts_are_events_when_many_codes_move() -> None:
    none = run_for({"quantizer.restart_every": 2, "quantizer.restart_below": 0})
    many = run_for({"quantizer.restart_every": 2, "quantizer.restart_below": 2.0})

    assert not [name for name, *_ in none.events if name == "codebook_restarted"]
    steps = [step for name, step, _ in many.events if name == "codebook_restarted"]
    assert steps[0] == 2
    moved = next(data["codes"] for name, _, data in many.events if name == "codebook_restarted")
    assert len(moved) == 4
    assert max(moved) >= 7


def test_checkpoints_come_at_their_interval_where_others_branch_off_and_at_the_end() -> None:
    run = MemoryRun(seed=3)
    run.checkpoint_steps = frozenset({3})

    assert run_for({"checkpoint_every": 4}, run).saved_steps == [3, 4, 6]


def test_finished_run_resumed_does_nothing() -> None:
    done = run_for({})

    again = run_for({}, MemoryRun(seed=3, checkpoint=done.checkpoint))

    assert again.saved_steps == []
    assert again.curves == {}


def test_loss_that_is_no_number_ends_the_run_as_diverged() -> None:
    run = MemoryRun(seed=3)
    settings = {"optim.learning_rate": 1.0, "optim.warmup_steps": 0, "optim.clip_norm": 0}

    with pytest.raises(Diverged) as caught:
        run_for({**settings, "losses.rms_ratio.weight": 1e30, "losses.l2.weight": 1e38}, run)

    assert caught.value.key in ("train/loss/total", "train/optim/grad_norm")
    assert run.saved_steps == []


def test_folder_of_recordings_trains(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(4):
        audio = 0.1 * rng.standard_normal(4000)
        soundfile.write(tmp_path / f"{i}.wav", audio, 8000)
    (tmp_path / "broken.wav").write_bytes(b"")

    run = run_for({"data.source": "folder", "data.path": str(tmp_path)})

    assert [data["file"] for name, _, data in run.events if name == "file_skipped"] == [
        "broken.wav"
    ]
    assert math.isfinite(run.last("valid/audio/si_sdr_db"))


@pytest.mark.parametrize("rate_hz", [8000, 24000])
def test_other_sample_rates_train(rate_hz: int) -> None:
    run = run_for({"data.sample_rate_hz": rate_hz, "steps": 2})

    assert run.is_finite()
    assert ("valid/audio/high_to_mid_db" in run.curves) == (rate_hz > 12000)


def test_learning_rate_warms_up_then_follows_its_schedule() -> None:
    constant = OptimConfig(learning_rate=1.0, warmup_steps=10)
    cosine = OptimConfig(learning_rate=1.0, warmup_steps=10, decay_steps=110, final_fraction=0.1)

    assert [learning_rate(constant, s) for s in (1, 5, 10, 1000)] == [0.1, 0.5, 1.0, 1.0]
    assert [learning_rate(cosine, s) for s in (5, 10, 60, 110, 500)] == pytest.approx(
        [0.5, 1.0, 0.55, 0.1, 0.1]
    )


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("default")  # what the compiler imports warns of itself
def test_compiled_codec_is_diagnosed_like_any() -> None:
    one_layer = {"model.channels": [32], "model.strides": [40]}  # each takes seconds to compile
    plain, compiled = run_for(one_layer), run_for(one_layer | {"runtime.compile": "default"})

    assert compiled.curves.keys() == plain.curves.keys()
    assert compiled.is_finite()
    assert compiled.last("valid/loss/l1") == pytest.approx(plain.last("valid/loss/l1"), rel=0.1)


def test_training_leaves_torchs_thread_count_to_the_run() -> None:
    run_for({"steps": 1})

    assert torch.get_num_threads() == MemoryRun.threads
