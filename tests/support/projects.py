"""A project in an empty folder, and the command line in a process of its own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support import commands
from tests.support.commands import Started
from tests.support.patience import PATIENCE_S

TRAINER = '''
"""A trainer that needs no torch: x shrinks by a factor each step, with a seeded wobble."""
import os, random, signal, time


def train(config, run):
    rng = random.Random(run.seed("data"))
    state = run.resume()
    step, x = 0, 1.0
    if state is None:
        run.log({"train/loss/total": x, "train/audio/rms": 0.1}, 0)
    else:
        step, x = state["step"], state["x"]
        rng.setstate((state["rng"][0], tuple(state["rng"][1]), state["rng"][2]))
    while step < config["steps"]:
        step += 1
        x *= 1 - config["lr"] * rng.random()
        time.sleep(config.get("sleep_s", 0))
        run.log({"train/loss/total": x, "train/audio/rms": 0.1 * x}, step)
        if step == config.get("raise_at"):
            raise RuntimeError("boom [/red] <b>")
        if step == config.get("die_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if step % config.get("save_every", 50) == 0 or run.should_stop:
            run.save(step, {"step": step, "x": x, "rng": rng.getstate()})
        if run.should_stop:
            return
    run.event("finished", step, digest=repr(x))
'''

STUDY = """
study: toy
question: Which rate?
trainer: toytrain:train
base: {steps: 200, lr: 0.01, sleep_s: 0}
phases:
  slow: {baseline: true}
  fast: {from: slow, set: {lr: 0.1}}
seeds: 2
metrics: {train/loss/total: min}
targets: {train/audio/rms: ">= 0.05"}
"""

SLOW_STUDY = STUDY.replace("sleep_s: 0", "sleep_s: 0.01")
"""The same points, but slow enough to be disturbed."""

POINTS = "select variant, seed, key, step, value, kind from run_metrics order by 1, 2, 3, 4"
DIGESTS = "select data from events where name = 'finished' order by data"


@dataclass(frozen=True)
class Project:
    """A folder with a study and a trainer of the user's own."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "ablate.cli", *arguments]

    def ablate(self, *arguments: str, code: int = 0, timeout_s: float = PATIENCE_S) -> str:
        """Run a command to its end and return stdout; the exit code must be ``code``."""
        done = commands.run(arguments, self.folder, environment(), timeout_s)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    def told(self, *arguments: str) -> str:
        """Run a command to its end and return what it says on stderr and stdout."""
        done = commands.run(arguments, self.folder, environment(), PATIENCE_S)
        return done.stderr + done.stdout

    def start(self, *arguments: str, output: str = "output.txt", **variables: str) -> Started:
        """Start a command and return its process; its output goes to a file."""
        path = self.folder / output
        path.touch()
        return Started(arguments, self.folder, environment() | variables, path)

    def rows(self, query: str, *values: object) -> list[tuple]:
        """Read the database as any SQL client would."""
        path = self.folder / ".ablate" / "ablate.db"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def wait_for(self, is_true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_true():
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.05)


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ABLATE_", "MLFLOW_"))}
    # Below a device nothing can be written: no cache, and none of the user's own.
    quiet = {"ABLATE_MLFLOW": "0", "ABLATE_SYSTEM_METRICS_S": "0", "ABLATE_CACHE_DIR": os.devnull}
    return kept | quiet | {"NO_COLOR": "1", "COLUMNS": "200"}


def make_project(folder: Path, study: str = STUDY) -> Project:
    """Return a folder with the trainer and a study file."""
    made = Project(folder)
    made.write("toytrain.py", TRAINER)
    made.write("studies/toy.yaml", study)
    return made


def size_of(spool: Path) -> int:
    """Return how long a spool is: of an attempt that was over before its trainer began, nothing."""
    return spool.stat().st_size if spool.exists() else 0


def kill(process: Started | subprocess.Popen[bytes], number: int = signal.SIGKILL) -> int:
    process.send_signal(number)
    return process.wait(PATIENCE_S)
