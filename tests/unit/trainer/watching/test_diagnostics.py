"""Who pulls what, what moved, what knows nothing: finite differences and known cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.support.sounds import SETTINGS, rms, speechlike
from tests.support.trainer_run import GAN, PHASE_A, MemoryRun, run_for
from trainer.config.parsing import parse
from trainer.data.batches import Batch
from trainer.losses.audio import AUDIO_LOSSES
from trainer.losses.nulls import PREDICTORS, null_losses
from trainer.losses.objective import Objective
from trainer.model import Codec, build_codec
from trainer.movement import InitialWeights, StepSize
from trainer.signals import Signal
from trainer.watching.diagnostics import LevelTrend, inner_pulls, pulls

LEVELS = {"losses.rms_frame.weight": 0.1, "losses.rms_band.weight": 0.05}


def prepared() -> tuple[Objective, Codec, Batch]:
    torch.manual_seed(0)
    config = parse(
        {
            **PHASE_A,
            **LEVELS,
            "data.segment_s": 0.1,
            "losses.rms_log.weight": 0.3,
            "model.init_rms": 0.1,
        }
    )
    codec, start = build_codec(config), InitialWeights()
    start.take(codec)
    batch = Batch(torch.tensor(speechlike(1), dtype=torch.float32)[:, :1600])
    return Objective(config, codec, start), codec, batch


def test_force_is_minus_the_slope_over_the_logarithm_of_the_gain() -> None:
    objective, codec, batch = prepared()
    terms = objective(codec(batch.audio_BT, 1), batch, adversarial={})

    found = pulls(terms, {})

    step = 1e-3
    for name in ("l1", "sc", "log1p", "rms_frame", "rms_log"):
        values = [
            float(
                AUDIO_LOSSES[name](
                    Signal(terms.output.audio_BT.detach().double() * math.exp(sign * step)),
                    Signal(batch.audio_BT.double()),
                    SETTINGS,
                )
            )
            for sign in (1, -1)
        ]
        slope = terms.weights[name] * (values[0] - values[1]) / (2 * step)
        assert float(found[f"train/force/{name}"]) == pytest.approx(-slope, rel=1e-3, abs=1e-6)
    total = sum(v for k, v in found.items() if k.startswith("train/force/") and "total" not in k)
    assert float(found["train/force/total"]) == pytest.approx(float(total), rel=1e-5)


def test_what_acts_inside_the_codec_is_measured_where_it_acts() -> None:
    objective, codec, batch = prepared()
    made = codec(batch.audio_BT, 1)
    terms = objective(made, batch, adversarial={})
    latents = made.stages["pre_rvq"]

    found = inner_pulls(terms, latents)

    rest = torch.stack([terms.weights[n] * v for n, v in terms.raw.items() if n != "commitment"])
    inner = torch.autograd.grad(
        terms.weights["commitment"] * terms.raw["commitment"], latents, retain_graph=True
    )
    (outer,) = torch.autograd.grad(rest.sum(), latents)
    assert {k: float(v) for k, v in found.items()} == {
        "train/grad_in/commitment": pytest.approx(float(inner[0].norm()), rel=1e-5),
        "train/grad_in/output": pytest.approx(float(outer.norm()), rel=1e-5),
    }


def test_pull_is_minus_the_slope_of_the_term_along_the_parameter() -> None:
    objective, codec, batch = prepared()
    weight = codec.tracked()["out_proj_weight"]
    terms = objective(codec(batch.audio_BT, 1), batch, adversarial={})

    found = pulls(terms, {"out_proj_weight": weight})

    length, step = float(weight.detach().norm()), 1e-2
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            before = weight.clone()
            weight.mul_(1 + sign * step)
            values.append(
                float(objective(codec(batch.audio_BT, 1), batch, adversarial={}).raw["l1"])
            )
            weight.copy_(before)
    slope = terms.weights["l1"] * (values[0] - values[1]) / (2 * step * length)
    assert float(found["train/pull/out_proj_weight/l1"]) == pytest.approx(-slope, rel=0.02)


def test_every_weighted_term_of_the_output_is_followed_to_the_read_out() -> None:
    run = run_for({**PHASE_A, **LEVELS, **GAN, "diagnostics_every": 1, "steps": 2})

    for term in ("l1", "sc", "log1p", "rms_frame", "rms_band", "adversarial", "feature_matching"):
        for key in ("force", "grad", "pull/out_proj_weight", "pull/out_proj_bias"):
            assert 2 in run.curves[f"train/{key}/{term}"]
    assert "train/force/commitment" not in run.curves


def test_frozen_part_has_not_moved_by_a_bit_and_the_others_have() -> None:
    run = run_for({"optim.freeze": ["out_proj"], "diagnostics_every": 2})

    assert set(run.curves["train/change/out_proj_weight"].values()) == {0.0}
    assert set(run.curves["train/update/out_proj"].values()) == {0.0}
    assert run.last("train/change/pre_rvq_weight") > 0
    assert run.last("train/update/encoder") > 0


def test_frozen_codes_stay_where_they_were_fitted() -> None:
    run = run_for({"optim.freeze": ["quantizer"]})

    assert set(run.curves["train/change/codebook_q0"].values()) == {0.0}
    assert run_for({}).last("train/change/codebook_q0") > 0


def test_codes_without_any_term_never_move() -> None:
    run = run_for({**PHASE_A, "diagnostics_every": 2})

    assert set(run.curves["train/change/codebook_q0"].values()) == {0.0}


def test_step_size_is_the_length_of_the_step_over_the_weights() -> None:
    torch.manual_seed(0)
    codec = build_codec(parse({}))
    before = StepSize(codec)

    with torch.no_grad():
        for parameter in codec.get_submodule("out_proj").parameters():
            parameter.mul_(1.01)

    found = before.read()
    assert float(found["train/update/out_proj"]) == pytest.approx(0.01, rel=1e-3)
    assert float(found["train/update/encoder"]) == 0


def test_level_trend_is_the_slope_of_an_exponential() -> None:
    trend = LevelTrend()

    found = [trend.read(step, torch.tensor(math.exp(-step / 200))) for step in range(0, 200, 10)]

    assert found[:2] == [{}, {}]
    for row in found[2:]:
        assert float(row["train/audio/level_slope"]) == pytest.approx(-0.5, rel=1e-3)


def test_silence_and_level_tell_a_silent_output_from_a_right_one() -> None:
    quiet = run_for({"model.init_rms": 1e-6, "steps": 1})
    usual = run_for({"model.init_rms": 0.075, "steps": 1})

    assert quiet.first("train/audio/silence") == pytest.approx(1, abs=1e-3)
    for run in (quiet, usual):
        ratio = run.first("train/audio/rms") / run.first("train/audio/target_rms")
        assert run.first("train/audio/level") == pytest.approx(ratio, rel=1e-5)


def nulls(batch: torch.Tensor) -> dict[str, float]:
    return {key: float(value) for key, value in null_losses([batch], SETTINGS).items()}


def test_outputs_that_know_nothing_have_their_known_losses() -> None:
    x = speechlike(1)
    x *= 0.075 / rms(x)

    found = nulls(torch.tensor(x.copy(), dtype=torch.float32))

    assert set(found) == {f"null/{p}/{name}" for p in PREDICTORS for name in AUDIO_LOSSES}
    assert found["null/silence/sc"] == pytest.approx(1, abs=1e-5)
    assert found["null/silence/l1"] == pytest.approx(np.mean(np.abs(x)), rel=1e-5)
    # What has the right level has none of the level's losses; only the envelope has the frames'.
    for predictor in ("white", "ltas", "ltas_envelope", "bands"):
        assert found[f"null/{predictor}/rms_ratio"] == pytest.approx(0, abs=1e-4)
    frame = {p: found[f"null/{p}/rms_frame"] for p in PREDICTORS}
    assert frame["ltas_envelope"] < 0.6 * frame["ltas"] < frame["silence"]
    assert frame["bands"] < 0.1 * frame["white"]
    assert found["null/bands/rms_band"] < 0.1 * found["null/white/rms_band"]
    assert found["null/white/log1p"] > found["null/ltas/log1p"]


def test_nulls_are_logged_once_and_never_differ_between_seeds() -> None:
    one, two = (run_for({"steps": 2}, MemoryRun(seed=seed)) for seed in (0, 1))

    keys = [key for key in one.curves if key.startswith("null/")]
    assert len(keys) == len(PREDICTORS) * len(AUDIO_LOSSES)
    assert all(one.curves[key] == two.curves[key] for key in keys)
    assert all(list(one.curves[key]) == [0] for key in keys)
