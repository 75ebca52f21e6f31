"""The run as its trainer sees it, on a real spool and real checkpoints."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.attempt.artifacts import artifacts_of
from ablate.attempt.context import RunContext
from ablate.attempt.device_log import DeviceLog
from ablate.attempt.job import Job
from ablate.attempt.worker import run_job
from ablate.domain import AttemptState, Checkpoint
from ablate.protocol import Run
from ablate.rules import Guard
from ablate.spool.batch import Ending
from ablate.spool.spool import SpoolReader, SpoolWriter
from tests.support.attempts import Attempt
from tests.support.jobs import make_job


def test_job_survives_its_file(tmp_path: Path) -> None:
    guard = Guard.parse("g", "a/b < 1 and a/c > 2", do="flag")
    checkpoint = Checkpoint(step=5, path="attempt-1/x", sha256="0" * 64, size_bytes=1)
    job = make_job(tmp_path, guards=(guard,), resume_from=(checkpoint,), project=tmp_path)

    assert Job.read(job.write()) == job


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.0,
        True,
        np.float32(1),
        np.float64(1),
        np.int64(1),
        np.array(1.0),
        np.bool_(True),
        torch.tensor(1.0),
        torch.tensor(1, dtype=torch.int8),
        torch.tensor(1.0, dtype=torch.bfloat16),
        torch.tensor([[1.0]]),
    ],
)
def test_every_kind_of_number_is_logged(tmp_path: Path, value: object) -> None:
    attempt = Attempt(tmp_path)

    attempt.context.log({"a/b": value}, 1)

    assert attempt.curve("a/b") == [(1, 1.0)]


def test_numbers_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    for step, value in enumerate([math.nan, math.inf, -math.inf, -0.0, 5e-324]):
        attempt.context.log({"a/b": value}, step)

    values = [value for _, value in attempt.curve("a/b")]

    assert math.isnan(values[0])
    assert values[1:3] == [math.inf, -math.inf]
    assert math.copysign(1, values[3]) == -1
    assert values[4] == 5e-324


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("a/b", "1.0", TypeError, "a/b: '1.0' is str, not a number"),
        ("a/b", None, TypeError, "a/b: None is NoneType"),
        ("a/b", 1j, TypeError, "a/b: 1j is complex"),
        ("a/b", 2**63, ValueError, "a/b: the integer 9223372036854775808 is outside"),
        (" / ", 1.0, ValueError, "' / ' is not a metric key"),
        ("", 1.0, ValueError, "'' is not a metric key"),
        ("a/" + "b" * 250, 1.0, ValueError, "at most 250 characters"),
    ],
)
def test_what_is_no_number_or_no_key_is_refused_by_name(
    tmp_path: Path, key: str, value: object, error: type[Exception], message: str
) -> None:
    attempt = Attempt(tmp_path)

    with pytest.raises(error, match=message.replace("(", r"\(")):
        attempt.context.log({key: value}, 1)
    assert attempt.read().logs == ()


def test_seeds_of_streams_are_stable_distinct_and_independent_of_the_variant(
    tmp_path: Path,
) -> None:
    context = Attempt(tmp_path).context
    other = Attempt(tmp_path / "other", seed=1).context

    seeds = {context.seed(name) for name in ("init", "data", "dropout")}

    assert len(seeds) == 3
    assert context.seed("init") != other.seed("init")
    assert all(0 <= seed < 2**63 for seed in seeds)
    again = Attempt(tmp_path / "again").context
    assert again.seed("init") == context.seed("init")


def test_guard_fires_once_at_the_same_step_after_a_resume(tmp_path: Path) -> None:
    guard = Guard.parse("low", "a/b < 1", for_steps=10, after_step=5, do="stop")
    attempt = Attempt(tmp_path, guards=(guard,))
    for step in range(12):
        attempt.context.log({"a/b": 0.5}, step)
    assert not attempt.context.should_stop
    attempt.context.save(11, {})

    resumed = Attempt(tmp_path, attempt=2, guards=(guard,), resume_from=attempt.checkpoints())
    resumed.context.resume()
    for step in range(12, 16):
        resumed.context.log({"a/b": 0.5}, step)

    assert resumed.context.should_stop
    assert resumed.context.ending.state is AttemptState.STOPPED
    assert resumed.context.ending.reason == "guard low at step 15: a/b < 1 since step 5"
    assert [e.step for e in resumed.read().events if e.name == "guard_fired"] == [15]


def test_a_break_in_the_condition_starts_the_count_again(tmp_path: Path) -> None:
    guard = Guard.parse("low", "a/b < 1", for_steps=10, do="flag")
    attempt = Attempt(tmp_path, guards=(guard,))
    for step in range(30):
        attempt.context.log({"a/b": 2.0 if step == 9 else 0.5}, step)

    assert [e.step for e in attempt.read().events] == [20]
    assert not attempt.context.should_stop


def test_guard_over_two_metrics_waits_for_both_and_takes_the_newest_of_each(
    tmp_path: Path,
) -> None:
    guard = Guard.parse("faint", "a/level < 0.25 and v/silence >= 0.8", for_steps=10, do="stop")
    attempt = Attempt(tmp_path, guards=(guard,))
    for step in range(6):
        attempt.context.log({"a/level": 0.1}, step)  # v/silence is not known yet
    attempt.context.log({"v/silence": 0.9}, 6)  # from here on both hold
    for step in range(7, 13):
        attempt.context.log({"a/level": 0.1}, step)
    attempt.context.save(12, {})

    resumed = Attempt(tmp_path, attempt=2, guards=(guard,), resume_from=attempt.checkpoints())
    resumed.context.resume()
    for step in range(13, 17):
        assert not resumed.context.should_stop
        resumed.context.log({"a/level": 0.2}, step)

    assert resumed.context.ending.reason == (
        "guard faint at step 16: a/level < 0.25 and v/silence >= 0.8 since step 6"
    )
    (fired,) = [e for e in resumed.read().events if e.name == "guard_fired"]
    assert fired.data["values"] == {"a/level": 0.2, "v/silence": 0.9}


def test_one_condition_that_breaks_starts_the_count_of_all_again(tmp_path: Path) -> None:
    guard = Guard.parse("faint", "a/level < 0.25 and v/silence >= 0.8", for_steps=10, do="flag")
    attempt = Attempt(tmp_path, guards=(guard,))
    for step in range(30):
        attempt.context.log({"a/level": 0.1}, step)
        if step % 3 == 0:
            attempt.context.log({"v/silence": 0.7 if step == 9 else 0.9}, step)

    assert [e.step for e in attempt.read().events] == [22]  # 12 is the first step with both


def test_limit_pauses_before_the_end_of_the_run(tmp_path: Path) -> None:
    paused = Attempt(tmp_path / "a", step_limit=50).context
    paused.log({"a/b": 1.0}, 50)
    done = Attempt(tmp_path / "b", step_limit=100).context
    done.log({"a/b": 1.0}, 100)

    assert paused.should_stop
    assert paused.ending.state is AttemptState.PAUSED
    assert not done.should_stop  # what its trainer does behind its last step, it does now
    assert done.ending.state is AttemptState.SUCCEEDED


def test_trainer_that_is_told_to_stop_at_its_last_step_has_not_come_to_its_end(
    tmp_path: Path,
) -> None:
    context = Attempt(tmp_path).context
    context.log({"a/b": 1.0}, 100)  # the last of the config
    context.request_stop("asked to stop")

    assert context.should_stop
    assert context.ending == Ending(state=AttemptState.PAUSED, reason="asked to stop")


def test_trainer_that_trains_on_after_it_was_told_to_stop_comes_to_its_end(tmp_path: Path) -> None:
    context = Attempt(tmp_path).context
    context.request_stop("asked to stop")
    for step in (99, 100):
        context.log({"a/b": 1.0}, step)
        assert context.should_stop

    assert context.ending.state is AttemptState.SUCCEEDED


def test_names_become_keys_by_the_rule_of_imports(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)

    for step in range(2):
        attempt.context.log({"loss": 1.0 + step, "val_loss": 2, "a/b": 3, "Acc Top": 4}, step)

    assert attempt.curve("import/scalar/loss") == [(0, 1.0), (1, 2.0)]
    assert attempt.read().logs[0].keys == (
        "import/scalar/loss",
        "valid/scalar/loss",
        "a/b",
        "import/scalar/Acc_Top",
    )
    with pytest.raises(ValueError, match="'val_loss' and 'valid_loss' are one metric"):
        attempt.context.log({"valid_loss": 1.0}, 3)
    with pytest.raises(ValueError, match="'val_loss' and 'valid/scalar/loss' are one metric"):
        attempt.context.log({"val_loss": 1.0, "valid/scalar/loss": 2.0}, 3)


def test_a_trainer_that_never_looks_has_trained_to_its_end(tmp_path: Path) -> None:
    warned: list[str] = []
    job = make_job(tmp_path, step_limit=5)
    job.write()
    spool = SpoolWriter(job.folder.spool, attempt_id=1)
    context = RunContext(job, spool, on_step=lambda: None, warn=warned.append)
    context.request_stop("asked to stop")
    context.log({"a/b": 1.0}, 7)
    assert warned == []

    context._unheard_since = time.time() - 31  # pyright: ignore[reportPrivateUsage]
    context.log({"a/b": 1.0}, 8)
    context.log({"a/b": 1.0}, 9)

    assert [text[:26] for text in warned] == ["asked to stop 30 s ago, bu"]
    assert context.ending.state is AttemptState.SUCCEEDED
    assert context.should_stop
    assert context.ending.state is AttemptState.PAUSED


def test_a_guard_that_stops_keeps_nothing_behind_its_step(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, guards=(Guard.parse("g", "a/b > 2", do="stop"),))

    for step in range(6):
        attempt.context.log({"a/b": float(step)}, step)
        attempt.context.log({"a/c": float(step)}, step)

    assert attempt.curve("a/b") == [(step, float(step)) for step in range(4)]
    assert attempt.curve("a/c") == [(step, float(step)) for step in range(4)]
    ending = attempt.context.ending
    assert ending.state is AttemptState.STOPPED
    assert ending.reason == "guard g at step 3: a/b > 2 since step 3"


def test_device_points_behind_a_stop_are_dropped(tmp_path: Path, device_tensors: None) -> None:
    attempt = Attempt(tmp_path, guards=(Guard.parse("g", "a/b > 2", do="stop"),))

    for step in range(6):
        attempt.context.log({"a/b": torch.tensor(float(step))}, step)
    attempt.context.flush()

    assert attempt.curve("a/b") == [(step, float(step)) for step in range(4)]


def test_plain_seed_and_short_streams(tmp_path: Path) -> None:
    context = Attempt(tmp_path, seed=7).context

    assert context.seed() == 7
    assert context.seed("init") >> 31 == context.seed("init", bits=32)
    assert 0 <= context.seed("data", bits=1) <= 1
    with pytest.raises(ValueError, match="1 to 63 bits"):
        context.seed("init", bits=64)


def test_each_run_has_a_folder_that_its_attempts_share(tmp_path: Path) -> None:
    first, second = (Attempt(tmp_path / "run", attempt=number).context for number in (1, 2))
    (first.dir / "ckpt.pt").write_text("x")

    assert (second.dir / "ckpt.pt").read_text() == "x"
    assert Attempt(tmp_path / "other").context.dir != first.dir


def test_artifact_is_copied(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "run")
    (tmp_path / "a.txt").write_text("kept")

    attempt.context.artifact(tmp_path / "a.txt")
    (tmp_path / "a.txt").unlink()

    assert (attempt.job.folder.artifacts / "a.txt").read_text() == "kept"


def test_artifact_is_kept_under_the_name_it_is_given_and_replaced_whole(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "run")
    source = tmp_path / "a.wav"
    for text in ("first", "second"):
        source.write_text(text)
        attempt.context.artifact(source, name="samples/step-000000010/x y-output.wav")

    (kept,) = artifacts_of(attempt.job.run_dir)

    assert kept.name == "samples/step-000000010/x y-output.wav"
    assert kept.path.read_text() == "second"


@pytest.mark.parametrize(
    "name",
    ["../a", "/etc/a", "a/../../b", "", "a//b", "a/", ".", "a\\b", "a\x00b", "a\nb", "é" * 501],
)
def test_artifact_whose_name_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    attempt = Attempt(tmp_path / "run")
    (tmp_path / "a.txt").write_text("kept")

    with pytest.raises(ValueError, match="relative path with forward slashes"):
        attempt.context.artifact(tmp_path / "a.txt", name=name)

    assert artifacts_of(attempt.job.run_dir) == ()


def test_artifact_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "run")

    with pytest.raises(FileNotFoundError):
        attempt.context.artifact(tmp_path / "absent.txt")

    assert not [p for p in attempt.job.run_dir.rglob("*") if p.is_file() and "tmp" in p.name]


@pytest.fixture
def device_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tensors treated as if they were on a device."""
    monkeypatch.setattr("ablate.attempt.device_log.is_on_device", lambda _: True)


@pytest.mark.usefixtures("device_tensors")
def test_device_tensors_are_kept_as_they_were_when_logged(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    loss, count = torch.zeros(()), torch.tensor(2**53 - 1)
    for step in range(200):
        loss += 1
        attempt.context.log({"a/loss": loss, "a/count": count, "a/lr": 0.5 * step}, step)
        if step % 10 == 0:
            attempt.context.log({"a/host": float(step)}, step)
    waiting = [log for log in attempt.read().logs if "a/loss" in log.keys]
    attempt.context.flush()

    assert len(waiting) < 200
    assert attempt.curve("a/loss") == [(step, step + 1.0) for step in range(200)]
    assert attempt.curve("a/lr") == [(step, 0.5 * step) for step in range(200)]
    assert {value for _, value in attempt.curve("a/count")} == {2.0**53 - 1}
    assert attempt.curve("a/host") == [(step, float(step)) for step in range(0, 200, 10)]
    assert [log.step for log in attempt.read().logs] == sorted(
        log.step for log in attempt.read().logs
    )


@pytest.mark.usefixtures("device_tensors")
def test_points_on_a_device_survive_an_exception(tmp_path: Path) -> None:
    job = make_job(tmp_path, train=f"{__name__}:fails_with_points_on_a_device")
    job.write()

    run_job(job)

    with SpoolReader(job.folder.spool) as reader:
        batch = reader.read()
    assert [log.values for log in batch.logs] == [(3.0,)]
    assert batch.ending is not None
    assert batch.ending.state is AttemptState.FAILED


def fails_with_points_on_a_device(_config: Any, run: Run) -> None:
    run.log({"a/b": torch.tensor(3.0)}, 1)
    raise ValueError("no")


def test_machine_is_measured_seldom_and_seen_by_no_guard(tmp_path: Path) -> None:
    guard = Guard.parse("never", "system/rss_bytes > 0", for_steps=0, after_step=0, do="stop")
    attempt = Attempt(tmp_path, system_metrics_s=1e-9, guards=(guard,))
    for step in range(3):
        attempt.context.log({"train/loss/l1": 0.5}, step)

    measured = dict(attempt.curve("system/rss_bytes"))
    assert set(measured) == {1, 2}  # the first turn begins to count processor time
    assert all(value > 1e6 for value in measured.values())
    assert dict(attempt.curve("system/cpu_percent")).keys() == measured.keys()
    assert not attempt.context.should_stop


def test_machine_is_not_measured_before_its_time(tmp_path: Path) -> None:
    never, later = Attempt(tmp_path / "a"), Attempt(tmp_path / "b", system_metrics_s=60)
    for attempt in (never, later):
        for step in range(3):
            attempt.context.log({"train/loss/l1": 0.5}, step)

        assert {key for log in attempt.read().logs for key in log.keys} == {"train/loss/l1"}


def test_what_a_device_says_at_the_end_fails_the_run_by_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_log: DeviceLog) -> None:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr(DeviceLog, "flush", fails)
    job = make_job(tmp_path, train=f"{__name__}:logs_once")
    job.write()

    run_job(job)

    with SpoolReader(job.folder.spool) as reader:
        ending = reader.read().ending
    assert ending is not None
    assert ending.state is AttemptState.FAILED
    assert ending.reason == "RuntimeError: device-side assert triggered"


def logs_once(_config: Any, run: Run) -> None:
    run.log({"a/b": 1.0}, 1)
