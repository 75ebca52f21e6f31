"""A run that begins from the checkpoint of another, on real spools and real checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablate.attempt.job import Job
from ablate.attempt.worker import run_job
from ablate.domain import AttemptState, BranchPoint
from ablate.errors import BranchError
from ablate.protocol import Run
from ablate.rules import Guard
from ablate.spool.spool import SpoolReader
from tests.support.attempts import Attempt
from tests.support.jobs import gate, make_job


def trained_parent(folder: Path, **changes: Any) -> Attempt:
    """Return a parent that logged 60 steps and saved at every tenth, the last two and 20 kept."""
    parent = Attempt(folder / "parent", checkpoint_steps=(20,), **changes)
    for step in range(1, 61):
        parent.context.log({"train/audio/rms": 0.5}, step)
        if step % 10 == 0:
            parent.context.save(step, {"n": step})
    return parent


def origin(parent: Attempt) -> dict[str, Any]:
    (checkpoint,) = [c for c in parent.checkpoints() if c.step == 20]
    point = BranchPoint(run_id="ab12", variant="phase_a", seed=3, checkpoint=checkpoint)
    return {"branch_from": point, "branch_dir": parent.job.run_dir}


def test_job_with_a_branch_survives_its_file(tmp_path: Path) -> None:
    job = make_job(tmp_path, **origin(trained_parent(tmp_path)), checkpoint_steps=(5, 9))

    assert Job.read(job.write()) == job


def test_checkpoints_at_which_others_begin_are_kept(tmp_path: Path) -> None:
    parent = trained_parent(tmp_path)

    assert parent.context.checkpoint_steps == {20}
    left = sorted(p.name for p in (parent.job.folder.checkpoints).glob("*.ckpt"))
    assert left == [f"step-{step:09d}.ckpt" for step in (20, 50, 60)]


def test_branch_begins_behind_the_checkpoint_and_tells_from_which_run(tmp_path: Path) -> None:
    parent = trained_parent(tmp_path)

    child = Attempt(tmp_path / "child", attempt_id=2, **origin(parent))

    assert child.context.resume() == {"n": 20}
    batch = child.read()
    assert (batch.has_started, batch.start_step, batch.inexact) == (True, 20, None)
    (event,) = batch.events
    assert (event.name, event.step) == ("branched", 20)
    assert event.data == {"run": "ab12", "variant": "phase_a", "seed": 3}


def test_branch_has_guards_and_gates_of_its_own(tmp_path: Path) -> None:
    rules: dict[str, Any] = {
        "guards": (Guard.parse("low", "train/audio/rms < 1", for_steps=15, do="flag"),),
        "gates": (gate(15, do="stop"), gate(30, do="flag")),
    }
    parent = trained_parent(tmp_path, **rules)

    child = Attempt(tmp_path / "child", **origin(parent), **rules)
    child.context.resume()
    for step in range(21, 41):
        child.context.log({"train/audio/rms": 0.5}, step)

    assert not child.context.should_stop
    told = [(e.name, e.step) for e in child.read().events]
    assert told == [("branched", 20), ("gate_judged", 30), ("guard_fired", 36)]


def test_own_checkpoint_comes_before_that_of_the_parent(tmp_path: Path) -> None:
    parent = trained_parent(tmp_path)
    child = Attempt(tmp_path / "child", **origin(parent))
    child.context.resume()
    child.context.save(25, {"n": 25})
    known = child.checkpoints()

    again = Attempt(tmp_path / "child", attempt=2, resume_from=known, **origin(parent))
    assert again.context.resume() == {"n": 25}

    (child.job.run_dir / known[0].path).unlink()
    last = Attempt(tmp_path / "child", attempt=3, resume_from=known, **origin(parent))
    assert last.context.resume() == {"n": 20}
    assert [e.name for e in last.read().events] == ["branched", "checkpoint_rejected"]


@pytest.mark.parametrize("harm", ["remove", "cut"])
def test_branch_without_its_checkpoint_fails_and_says_what_is_left(
    tmp_path: Path, harm: str
) -> None:
    parent = trained_parent(tmp_path)
    point = origin(parent)
    file = parent.job.run_dir / point["branch_from"].checkpoint.path
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:10])
    else:
        file.unlink()
        file.with_suffix(".json").unlink()
    job = make_job(tmp_path / "child", train=f"{__name__}:train_on", **point)
    job.write()

    run_job(job)

    with SpoolReader(job.folder.spool) as reader:
        batch = reader.read()
    assert batch.logs == ()
    assert batch.ending is not None
    assert batch.ending.state is AttemptState.FAILED
    reason = batch.ending.reason or ""
    assert reason.startswith("BranchError: phase_a-s3@20 cannot be used: ")
    if harm == "remove":
        assert reason.endswith("its file is gone; steps with a checkpoint there: 50, 60")
    else:
        assert reason.endswith(
            "was altered after it was written; steps with a checkpoint there: 20, 50, 60"
        )


def train_on(_config: Any, run: Run) -> None:
    run.resume()
    run.log({"a/b": 1.0}, 100)


def test_trainer_that_never_resumes_cannot_branch_unnoticed(tmp_path: Path) -> None:
    child = Attempt(tmp_path / "child", **origin(trained_parent(tmp_path)))

    with pytest.raises(BranchError, match=r"phase_a-s3@20: its trainer has to call run\.resume"):
        child.context.log({"a/b": 1.0}, 1)
    assert child.read().logs == ()
