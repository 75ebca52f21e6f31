"""The bundled trainer on a GPU: exact resume, mixed precision, compilation, prefetching."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.trainer_run import GAN, PHASE_A, MemoryRun, run_for

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

STREAMVC = {"preset": "streamvc", "data.batch_size": 2, "data.segment_s": 0.32}


def on_gpu(overrides: dict[str, Any], **changes: Any) -> MemoryRun:
    run = MemoryRun(seed=3, **changes)
    run.device = "cuda"
    return run_for(overrides, run)


@pytest.mark.parametrize(
    "overrides", [{}, PHASE_A, GAN, STREAMVC], ids=["base", "phase_a", "gan", "streamvc"]
)
def test_stopped_and_resumed_run_equals_one_never_stopped(overrides: dict[str, Any]) -> None:
    whole = on_gpu(overrides)

    first = on_gpu(overrides, stop_at=4)
    second = on_gpu(overrides, checkpoint=first.checkpoint)

    assert second.weights_sha256() == whole.weights_sha256()
    assert whole.is_finite()


def test_gpu_trains_what_the_cpu_trains() -> None:
    there, here = on_gpu(PHASE_A), run_for(PHASE_A)

    for key in ("valid/loss/l1", "valid/audio/rms", "train/rvq/explained_variance"):
        assert there.last(key) == pytest.approx(here.last(key), rel=0.05), key


@pytest.mark.parametrize(
    "runtime",
    [
        {"runtime.amp": "bf16"},
        {"runtime.compile": "default"},
        {"runtime.compile": "reduce-overhead", "runtime.amp": "bf16"},
    ],
    ids=["amp", "compile", "cuda graphs"],
)
def test_faster_ways_stay_near_the_plain_one(runtime: dict[str, Any]) -> None:
    plain, fast = on_gpu({}), on_gpu(runtime)

    assert fast.is_finite()
    assert fast.last("valid/loss/l1") == pytest.approx(plain.last("valid/loss/l1"), rel=0.1)
