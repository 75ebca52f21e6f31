"""A disk without space pauses what needs it, loses nothing, and is noticed at once."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.attempt.checkpoints.files import load_checkpoint, save_checkpoint
from ablate.attempt.context import RunContext
from ablate.attempt.patience import is_full
from ablate.attempt.worker import run_job
from ablate.domain import AttemptState
from ablate.errors import StoreUnavailableError
from ablate.protocol import Run
from ablate.spool.batch import Ending
from ablate.spool.spool import SpoolReader, SpoolWriter
from tests.support.disks import SmallDisk
from tests.support.jobs import make_job
from tests.support.patience import PATIENCE_S, slowness
from tests.support.projects import DIGESTS, POINTS, Project, kill

NOTICED_S = 5.0 * slowness()
FILLED_AT = "select 1 from points where step >= 60"


def wait_for_words(project: Project, *words: str) -> None:
    output = project.folder / "output.txt"
    project.wait_for(lambda: all(w in output.read_text() for w in words), timeout_s=NOTICED_S)


def test_full_disk_of_the_database_is_waited_for(
    slow: Project, calm: Project, small_disk: SmallDisk
) -> None:
    url = f"{small_disk.folder}/ablate.db"
    slow.ablate("--db", url, "study", "create", "toy")
    (slow.folder / ".ablate" / "ablate.db").unlink()
    (slow.folder / ".ablate" / "ablate.db").symlink_to(url)
    running = slow.start("--db", url, "run", "toy", "--workers", "2")
    slow.wait_for(lambda: bool(slow.rows(FILLED_AT)))

    small_disk.fill()
    wait_for_words(slow, f"database sqlite:///{url}: ", "disk is full", "free some space")
    time.sleep(2.5)  # the trainers reach their end meanwhile
    assert running.poll() is None
    small_disk.clear()

    assert running.wait(PATIENCE_S) == 0
    assert slow.rows(POINTS) == calm.rows(POINTS)
    assert slow.rows(DIGESTS) == calm.rows(DIGESTS)
    assert slow.rows("select count(*) from attempts") == [(4,)]
    assert "can be used again" in (slow.folder / "output.txt").read_text()


@pytest.fixture
def on_small_disk(slow: Project, small_disk: SmallDisk) -> Project:
    """A project whose runs write to the small disk; its database lies elsewhere."""
    (slow.folder / ".ablate" / "runs").symlink_to(small_disk.folder)
    return slow


def test_full_disk_of_the_runs_pauses_the_trainers(
    on_small_disk: Project, calm: Project, small_disk: SmallDisk
) -> None:
    running = on_small_disk.start("run", "toy", "--workers", "2")
    on_small_disk.wait_for(lambda: bool(on_small_disk.rows(FILLED_AT)))

    small_disk.fill()
    wait_for_words(on_small_disk, "slow-s0: ", "/runs/", "no space is left", "free some space")
    wait_for_words(on_small_disk, "fast-s0: ")
    assert running.poll() is None
    small_disk.clear()

    assert running.wait(PATIENCE_S) == 0
    assert on_small_disk.rows(POINTS) == calm.rows(POINTS)
    assert on_small_disk.rows("select count(*) from attempts") == [(4,)]
    said = (on_small_disk.folder / "output.txt").read_text()
    assert said.count("no space is left") == said.count("there is space again") == 2


def test_ctrl_c_ends_trainers_that_wait_and_nothing_acknowledged_is_lost(
    on_small_disk: Project, calm: Project, small_disk: SmallDisk
) -> None:
    running = on_small_disk.start("run", "toy", "--workers", "2")
    on_small_disk.wait_for(lambda: bool(on_small_disk.rows(FILLED_AT)))
    small_disk.fill()
    wait_for_words(on_small_disk, "no space is left")

    assert kill(running, 2) == 130
    assert on_small_disk.rows("select count(*) from runs where state = 'running'") == [(0,)]
    small_disk.clear()
    on_small_disk.ablate("run", "toy", "--workers", "2")

    assert on_small_disk.rows(POINTS) == calm.rows(POINTS)


STATES: dict[str, Any] = {
    "json": {"weights": [0.5] * 50_000},
    "torch": {"weights": torch.zeros(50_000)},
}


@pytest.fixture(params=sorted(STATES))
def state(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "json":
        monkeypatch.setattr("ablate.attempt.checkpoints.states.torch_module", lambda: None)
    return STATES[request.param]


def test_checkpoint_without_space_leaves_the_one_before_and_no_trace(
    small_disk: SmallDisk, state: Any
) -> None:
    folder = small_disk.folder / "checkpoints"
    first = save_checkpoint(folder, small_disk.folder, 1, state, {})
    before = small_disk.files()
    small_disk.fill()

    with pytest.raises((OSError, RuntimeError)) as caught:  # the latter is torch's
        save_checkpoint(folder, small_disk.folder, 2, state, {})

    assert is_full(caught.value)
    assert small_disk.files() == before
    assert load_checkpoint(small_disk.folder, first).step == 1


def test_saving_and_logging_wait_until_there_is_space(small_disk: SmallDisk, state: Any) -> None:
    job = make_job(small_disk.folder)
    job.write()
    said: list[str] = []

    def warn(text: str) -> None:
        said.append(text)
        if "no space" in text:
            small_disk.clear()

    with SpoolWriter(job.folder.spool, attempt_id=1) as spool:
        run = RunContext(job, spool, on_step=lambda: None, warn=warn)
        run.log({"train/loss/a": 0.0}, 0)
        small_disk.fill()
        for step in range(1, 300):
            run.log({"train/loss/a": step, f"train/loss/k{step % 7}": 1.0}, step)
        small_disk.fill()
        run.save(300, state)

    assert ["no space" in text for text in said] == [True, False, True, False]
    assert all(str(small_disk.folder) in text for text in said)
    with SpoolReader(job.folder.spool) as reader:
        batch = reader.read()
    assert [(log.step, log.values[0]) for log in batch.logs] == [(n, float(n)) for n in range(300)]
    assert all(log.keys[1] == f"train/loss/k{log.step % 7}" for log in batch.logs[1:])
    assert load_checkpoint(job.run_dir, batch.checkpoints[0]).step == 300


def log_steps(run: RunContext, steps: int) -> None:
    for step in range(steps):
        run.log({"train/loss/a": step}, step)


def test_wait_for_a_disk_ends_when_the_run_shall_stop(small_disk: SmallDisk) -> None:
    job = make_job(small_disk.folder)
    job.write()
    with SpoolWriter(job.folder.spool, attempt_id=1) as spool:
        run = RunContext(job, spool, on_step=lambda: None, warn=lambda _: run.request_stop("now"))
        small_disk.fill()

        with pytest.raises(StoreUnavailableError, match="No space left") as caught:
            log_steps(run, 300)

        assert "free some space" in (caught.value.hint or "")
        small_disk.clear()


def save_what_does_not_fit(config: dict[str, Any], run: Run) -> None:
    disk = SmallDisk(Path(config["disk"]))
    reserve = disk.folder / "reserve"
    reserve.write_bytes(bytes(1 << 16))
    disk.fill()
    reserve.unlink()
    run.save(1, {"weights": [0.5] * 50_000})


def test_stop_while_a_checkpoint_does_not_fit_leaves_the_run_queued(small_disk: SmallDisk) -> None:
    train = f"{__name__}:{save_what_does_not_fit.__name__}"
    job = make_job(small_disk.folder, train=train, config={"disk": str(small_disk.folder)})
    job.write()
    before = signal.getsignal(signal.SIGTERM)

    run_job(job, warn=lambda _: signal.raise_signal(signal.SIGTERM))

    signal.signal(signal.SIGTERM, before)
    with SpoolReader(job.folder.spool) as reader:
        ending = reader.read().ending
    assert ending == Ending(
        state=AttemptState.PAUSED, reason="asked to stop while its disk was full"
    )


def test_folder_that_cannot_be_written_is_named_not_waited_for(tmp_path: Path) -> None:
    job = make_job(tmp_path / "file" / "run")
    (tmp_path / "file").touch()

    with pytest.raises(StoreUnavailableError, match=r"job\.json cannot be written"):
        job.write()
