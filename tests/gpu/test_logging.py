"""Logging CUDA tensors never waits for the device."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from ablate.attempt.context import RunContext
from ablate.spool.spool import SpoolReader, SpoolWriter
from tests.support.jobs import make_job

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

BUSY_CYCLES = 2_000_000_000
"""About a second on any GPU of today."""


def test_log_returns_while_the_device_is_busy(tmp_path: Path) -> None:
    job = make_job(tmp_path, device="cuda")
    job.write()
    with SpoolWriter(job.folder.spool, attempt_id=1) as spool:
        run = RunContext(job, spool, on_step=lambda: None)
        loss = torch.zeros((), device="cuda")
        for step in range(200):  # the first use of a kernel loads it, which waits for the device
            loss += 1
            run.log({"a/b": loss}, step)
        run.flush()
        torch.cuda._sleep(BUSY_CYCLES)
        start = time.perf_counter()
        for step in range(200, 400):
            loss += 1
            run.log({"a/b": loss}, step)
        logged_s = time.perf_counter() - start
        torch.cuda.synchronize()
        busy_s = time.perf_counter() - start
        run.flush()
        with SpoolReader(job.folder.spool) as reader:
            values = {log.step: log.values[0] for log in reader.read().logs}

    assert values == {step: step + 1.0 for step in range(400)}
    assert logged_s < busy_s / 2
