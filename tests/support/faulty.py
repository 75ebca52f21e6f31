"""Runs a study in processes that die on purpose, and says what was kept."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from ablate.app.recovery import compare_copies
from ablate.app.running import RunRequest, run_studies
from ablate.attempt.checkpoints.files import load_checkpoint
from ablate.cli.progress import LineProgress
from ablate.execution import scheduler
from ablate.execution.executors.base import ExecutorRequest
from ablate.execution.executors.registry import make_executor
from ablate.planning.plan import make_plan
from ablate.planning.study_file.parsing import read_study
from ablate.planning.trainers.registry import load_trainer
from ablate.settings import Settings
from ablate.store import open_store
from ablate.store.schema.engine import connect, reading
from ablate.store.upkeep.migrate import check
from ablate.testing.faults import Faults
from tests.support.processes import call

TRAINER = '''
"""Logs 30 steps and saves each tenth; what `log` acknowledged is noted in a file beside it."""
import io, json, os, random, time
from ablate.testing.faults import Faults

KEYS = ("train/loss/a", "train/loss/b", "valid/loss/c")


def train(config, run):
    attempt = run._job.attempt
    faults = os.environ.get("FAULTS_OF_TRAINER")
    armed = Faults(faults) if faults is not None and attempt == 1 else None
    acknowledged = io.FileIO("acknowledged.txt", "ab")  # not through os.write, which may kill
    state = run.resume() or {"step": 0, "x": 1.0}
    step, x = state["step"], state["x"]
    while step < config["steps"]:
        step += 1
        time.sleep(0.005 if faults is not None else 0)
        x *= random.Random(step).uniform(0.5, 1.5)
        values = {key: x + n for n, key in enumerate(KEYS) if step % 5 == 0 or key[0] == "t"}
        values["train/loss/odd"] = float(["nan", "inf", "-inf", "-0.0", "5e-324"][step % 5])
        run.log(values, step)
        for key, value in values.items():
            acknowledged.write(f"{attempt} {step} {key} {value.hex()}\\n".encode())
        if step % 10 == 0:
            run.event("tenth", step, x=x)
            run.save(step, {"step": step, "x": x})
        if run.should_stop:
            return
    run.event("finished", step, x=x)
    if armed:
        io.FileIO("calls.json", "wb").write(json.dumps(armed.calls).encode())
'''

STUDY = """
study: toy
question: What is kept?
trainer: faultytrain:train
base: {steps: 30}
phases: {only: {baseline: true}}
metrics: {train/loss/a: min}
"""

POINTS_BY_ATTEMPT = """
    SELECT number, step, name, value, kind FROM points
    JOIN series ON series.id = series_id JOIN attempts ON attempts.id = attempt_id
    JOIN metric_keys ON metric_keys.id = key_id
"""
METRICS = "SELECT key, step, value, kind FROM run_metrics ORDER BY 1, 2"
CODES = {"nan": 1, "inf": 2, "-inf": 3, "-0x0.0p+0": 4}


@dataclass(frozen=True)
class FaultyProject:
    """A folder with the trainer above, its database anywhere."""

    folder: Path
    url: str

    @property
    def settings(self) -> Settings:
        return Settings(project=self.folder, db_url=self.url, mlflow=False)

    def run(self, executor: str = "inline", faults: str = "", of_trainer: str = "") -> int:
        """Do what `ablate run` does in a process of its own; return its exit code."""
        return call(_run, self, executor, faults, of_trainer)

    def calls(self, executor: str = "inline") -> Counter[str]:
        """Return how often each point is called by a run that nothing disturbs."""
        assert self.run(executor) == 0
        return Counter(json.loads((self.folder / "calls.json").read_text()))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(connect(self.url, read_only=True)) as database, reading(database) as open_:
            return [tuple(row) for row in open_.execute(text(query))]

    def acknowledged(self) -> list[str]:
        """Return what `log` had returned from: attempt, step, key, value."""
        note = self.folder / "acknowledged.txt"
        return note.read_text().splitlines() if note.exists() else []

    def lost(self) -> int:
        """Return how many acknowledged points cannot be read by attempt."""
        stored = {row[:3]: row[3:] for row in self.rows(POINTS_BY_ATTEMPT)}
        return sum(not _is_stored(line, stored) for line in self.acknowledged())

    def doubled(self) -> int:
        """Return how many (run, key, step) have more than one row in the view."""
        query = "SELECT 1 FROM run_metrics GROUP BY run, key, step HAVING count(*) > 1"
        return len(self.rows(query))

    def check_whole(self, calm: FaultyProject) -> None:
        """Check that a disturbed project holds what a calm one does."""
        assert self.lost() == 0
        assert self.doubled() == 0
        assert check(self.url).is_good
        copies = compare_copies(self.settings)
        assert (copies.differences, copies.not_compared, copies.whole) == ((), (), 1), copies
        assert self.rows("SELECT state FROM runs") == [("succeeded",)]
        assert self.rows(METRICS) == calm.rows(METRICS)
        assert self.events() == calm.events()
        self._check_rollups()
        self._check_checkpoints()

    def events(self) -> tuple[list[tuple[int, object]], set[tuple[int, object]]]:
        """Return what the trainer itself told: each tenth step, and that it finished.

        The latter only as a set: an attempt that resumes from the last step tells it once more.
        """
        with closing(open_store(self.url, read_only=True)) as store:
            found = [event for _, event in store.events([store.runs("toy")[0].id])]
        tenths = [(event.step, event.data["x"]) for event in found if event.name == "tenth"]
        return tenths, {(e.step, e.data["x"]) for e in found if e.name == "finished"}

    def _check_rollups(self) -> None:
        """Hold what every attempt's rollups say against its points."""
        bucket = "(p.step + 49) / 50"
        of_points = self.rows(
            f"select series_id, {bucket}, count(*) from points p group by 1, 2 order by 1, 2"
        )
        of_rollups = self.rows(
            "select series_id, bucket, n + n_nan + n_pos_inf + n_neg_inf from rollups order by 1, 2"
        )
        assert of_rollups == of_points

    def _check_checkpoints(self) -> None:
        with closing(open_store(self.url, read_only=True)) as store:
            (run,) = store.runs("toy")
            newest = store.checkpoints(run.id)[0]
        folder = self.folder / ".ablate" / "runs" / run.id
        assert newest.step == 30
        assert load_checkpoint(folder, newest).state["step"] == 30


def _is_stored(line: str, stored: dict[tuple[Any, ...], tuple[Any, ...]]) -> bool:
    attempt, step, key, number = line.split()
    value, kind = stored.get((int(attempt), int(step), key), (None, None))
    if number in CODES:
        return kind == CODES[number]
    return (value, kind) == (float.fromhex(number), 0)


class _Clock:
    """Goes on at each look: what is done now and then is done after the same steps each time."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self.sleep = time.sleep

    def monotonic(self) -> float:
        self._now_s += 0.1
        return self._now_s


def _run(project: FaultyProject, executor: str, faults: str, of_trainer: str) -> None:
    if executor == "local":
        os.environ["FAULTS_OF_TRAINER"] = of_trainer
    os.chdir(project.folder)
    output = (project.folder / "output.txt").open("a")
    os.dup2(output.fileno(), 2)
    if executor == "inline":
        scheduler.time = _Clock()
    else:
        scheduler._STORE_EVERY_S = scheduler._POLL_S = 0.01
    armed = Faults(faults)
    settings = project.settings
    wanted = ExecutorRequest(workers=1, device="cpu")
    request = RunRequest(executor=make_executor(executor, wanted))
    with closing(open_store(project.url, data_dir=project.settings.data_dir)) as store:
        run_studies(store, settings, request, LineProgress(output, 1, with_study=False))
    if executor == "inline":
        (project.folder / "calls.json").write_text(json.dumps(armed.calls))


def make_project(folder: Path, url: str | None = None) -> FaultyProject:
    """Return a project whose study is planned."""
    (folder / "studies").mkdir(parents=True)
    (folder / ".ablate").mkdir()
    (folder / "faultytrain.py").write_text(TRAINER)
    file = folder / "studies" / "toy.yaml"
    file.write_text(STUDY)
    project = FaultyProject(folder, url or f"sqlite:///{folder}/.ablate/ablate.db")
    spec, document = read_study(file)
    with closing(open_store(project.url, data_dir=project.settings.data_dir)) as store:
        store.apply_plan(make_plan(spec, load_trainer(spec.trainer, folder), document))
    return project


def copy_of(project: FaultyProject, folder: Path) -> FaultyProject:
    """Return a copy of a project that has not run yet, with its SQLite database."""
    shutil.copytree(project.folder, folder)
    return FaultyProject(folder, f"sqlite:///{folder}/.ablate/ablate.db")
