"""What a stop does to a trainer that handles the signal itself, and to what it forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ablate.attempt.worker import run_job
from ablate.spool.spool import SpoolReader
from tests.support.jobs import make_job
from tests.support.patience import PATIENCE_S

HANDLED = {
    "leaves": "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))",
    "leaves with a code": "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))",
    "is interrupted": "signal.signal(signal.SIGTERM, signal.default_int_handler)",
    "returns": "signal.signal(signal.SIGTERM, lambda *_: asked.append(1))",
    "leaves after ours": (
        "ours = signal.getsignal(signal.SIGTERM)\n"
        "    signal.signal(signal.SIGTERM, lambda *a: [ours(*a), sys.exit()])"
    ),
}

TRAINER = """
import signal, sys

def train(config, run):
    asked = []
    {handled}
    for step in range(1, config["steps"] + 1):
        run.log({{"loss": 1.0}}, step)
        if step == {asked_at}:
            signal.raise_signal(signal.SIGTERM)
        if asked:
            break
"""

DELAYED = """
import multiprocessing, os, signal, sys, time
os.register_at_fork(after_in_child=lambda: time.sleep(0.05))  # before ours, as on a busy machine

from ablate.attempt.signals import StopSignal

def nothing(_):
    pass

with StopSignal(lambda: None):
    for _ in range(5):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(nothing, [0, 0])
"""


def ending_of(folder: Path, handled: str, asked_at: int) -> tuple[str, str | None]:
    name = f"trainer_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(TRAINER.format(handled=handled, asked_at=asked_at))
    job = make_job(folder, project=folder, train=f"{name}:train", config={"steps": 9})
    job.folder.path.mkdir()
    run_job(job)
    ending = SpoolReader(job.folder.spool).read().ending
    assert ending is not None
    return ending.state, ending.reason


@pytest.mark.parametrize("asked_at", [4, 9])  # 9 is the last: an evaluation may follow
@pytest.mark.parametrize("handled", HANDLED.values(), ids=HANDLED)
def test_trainer_with_its_own_handler_is_paused(
    tmp_path: Path, handled: str, asked_at: int
) -> None:
    assert ending_of(tmp_path, handled, asked_at) == ("paused", "asked to stop")


def test_without_a_signal_leaving_is_an_end(tmp_path: Path) -> None:
    assert ending_of(tmp_path, "sys.exit(0)", asked_at=4) == ("succeeded", None)


def test_pool_that_ends_its_workers_at_once_does_not_wait_for_them() -> None:
    subprocess.run([sys.executable, "-c", DELAYED], check=True, timeout=PATIENCE_S)
