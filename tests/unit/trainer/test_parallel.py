"""Several processes on one run, as on several GPUs; here on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

from ablate.protocol import ConfigError
from tests.support.trainer_run import GAN, PHASE_A, MemoryRun, run_for

# Means over items are means of the members' means; these two are ratios over the batch.
RATIOS = {"losses.sc.weight": 0, "losses.feature_matching.weight": 0}
MEANS = {**RATIOS, "data.batch_size": 4}
CODES = {"quantizer.restart_every": 2, "quantizer.restart_below": 0.5}


def pair(overrides: dict[str, Any], **changes: Any) -> MemoryRun:
    run = MemoryRun(seed=3, **changes)
    run.processes = 2
    return run_for(overrides, run)


@pytest.mark.parametrize(
    "overrides",
    [MEANS, {**MEANS, **PHASE_A}, {**MEANS, **GAN}],
    ids=["base", "pre_output", "gan"],
)
def test_two_processes_train_what_one_does(overrides: dict[str, Any]) -> None:
    alone, together = run_for(overrides), pair(overrides)

    assert together.saved_steps == alone.saved_steps
    for key in ("valid/loss/l1", "valid/audio/rms", "valid/loss/log1p"):
        assert together.last(key) == pytest.approx(alone.last(key), rel=2e-3), key


def test_two_processes_stop_together_and_resume_to_the_same_bits() -> None:
    whole = pair({**MEANS, **CODES})

    first = pair({**MEANS, **CODES}, stop_at=4)
    second = pair({**MEANS, **CODES}, checkpoint=first.checkpoint)

    assert first.saved_steps == [4]
    assert second.weights_sha256() == whole.weights_sha256()


def test_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be shared by 2 GPUs"):
        pair({"data.batch_size": 3})
