"""Going on from another run's checkpoint: all that fits is taken, and the rest is told."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import torch

from tests.support.trainer_run import FITTED, GAN, PHASE_A, PRE_OUTPUT, MemoryRun, run_for

PARENT = {**PRE_OUTPUT, "steps": 4, "quantizer.progressive_steps": 0}
CHILD = {"steps": 6, "quantizer.progressive_steps": 0}


def branched(overrides: dict[str, Any]) -> tuple[MemoryRun, MemoryRun]:
    parent = run_for(PARENT)
    return parent, run_for(
        {**PRE_OUTPUT, **CHILD, **overrides}, MemoryRun(seed=3, checkpoint=parent.checkpoint)
    )


def adapted(run: MemoryRun) -> dict[str, Any] | None:
    return next((data for name, _, data in run.events if name == "branch_adapted"), None)


def test_other_weights_of_the_losses_go_on_from_all_of_it() -> None:
    _, child = branched({"losses.rms_log.weight": 1.0})

    assert adapted(child) is None
    assert child.saved_steps == [6]
    assert min(child.curves["train/loss/total"]) > 4


def test_longer_run_is_the_continuation_of_the_shorter_one() -> None:
    _, child = branched({})

    whole = run_for({**PRE_OUTPUT, **CHILD})

    assert child.weights_sha256() == whole.weights_sha256()


def test_new_layer_is_drawn_and_told() -> None:
    parent, child = branched({**PHASE_A, **CHILD})

    found = adapted(child)
    assert found is not None
    assert "final_conv.weight" in found["fresh"]
    assert found["left_behind"] == []
    # What both have was taken, and is still compared with where the parent began.
    start = parent.first("train/norm/out_proj_weight")
    drift = child.last("train/drift/out_proj_weight")
    assert child.last("train/norm/out_proj_weight") == pytest.approx(start * (1 + drift), rel=1e-5)


def test_other_kind_of_codes_is_fitted_anew() -> None:
    _, child = branched({**FITTED, "quantizer.codebook_size": 32})

    found = adapted(child)
    assert found is not None
    assert "quantizer.books.0.codes_VD" in found["fresh"]
    # Fitted to the parent's latents, not drawn: it explains what random codes cannot.
    assert child.last("train/rvq/explained_variance") > 0.5


def test_codes_that_fit_are_taken_though_their_affine_is_new() -> None:
    fitted = {**FITTED, "quantizer.ste": "consistent", "optim.freeze": ["quantizer"]}
    parent = run_for({**PARENT, **fitted})
    affine = {**PRE_OUTPUT, **CHILD, **fitted, "quantizer.post_affine": True}
    child = run_for(affine, MemoryRun(seed=3, checkpoint=parent.checkpoint))

    found = adapted(child)
    assert found is not None
    assert "quantizer.books.0.post_scale" in found["fresh"]
    assert "quantizer.books.0.codes_VD" not in found["fresh"]
    # Frozen after the parent's fit: they are the parent's to the bit.
    assert child.last("train/change/codebook_q0") == 0


def test_discriminators_may_join() -> None:
    _, child = branched(GAN)

    assert 6 in child.curves["train/loss/adversarial"]
    assert child.is_finite()


def test_checkpoint_says_which_config_made_it() -> None:
    run = run_for(PARENT)
    assert run.checkpoint is not None
    state = torch.load(io.BytesIO(run.checkpoint), weights_only=True)

    config = json.loads(state["config"])
    assert config["quantizer"]["codebook_size"] == 16
    assert config["steps"] == 4
