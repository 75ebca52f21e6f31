"""Trainers with habits of their own: how they end, fork, name, and fail."""

from __future__ import annotations

import signal

import pytest

from tests.support.patience import PATIENCE_S, slowness
from tests.support.projects import Project

STUDY = """
study: own
trainer: mine:train
base: {steps: 5}
phases:
  a: {}
  b: {set: {x: 1}}
seeds: 3
"""


LOGS_ONCE = "def train(config, run):\n    run.log({'loss': 1.0}, 1)\n"


def made(project: Project, body: str, study: str = STUDY) -> Project:
    text = "import os, subprocess, sys, time, signal, multiprocessing\n" + body
    project.write("mine.py", text)
    project.write("studies/own.yaml", study)
    project.ablate("study", "create", "own")
    return project


def states(project: Project) -> list[tuple]:
    return project.rows("SELECT state, reason, count(*) FROM runs GROUP BY 1, 2 ORDER BY 1, 2")


def attempts(project: Project) -> int:
    ((count,),) = project.rows("SELECT count(*) FROM attempts")
    return count


@pytest.mark.parametrize("code", ["0", "", "None"])
def test_exit_without_a_fault_is_an_end(project: Project, code: str) -> None:
    made(
        project, f"def train(config, run):\n    run.log({{'loss': 1.0}}, 1)\n    sys.exit({code})\n"
    )

    project.ablate("run", "own")

    assert states(project) == [("succeeded", None, 6)]
    assert attempts(project) == 6


def test_exit_with_a_message_fails_once_with_it(project: Project) -> None:
    made(project, f"{LOGS_ONCE}    sys.exit('no data in ./data')\n")

    project.ablate("run", "own", code=1)

    assert states(project) == [("failed", "no data in ./data", 6)]
    assert attempts(project) == 6


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_three_equal_failures_before_a_first_point_stop_the_study(
    project: Project, executor: str
) -> None:
    made(project, "def train(config, run):\n    raise KeyError('data')\n")

    told = project.ablate("run", "own", "--workers", "1", "--executor", executor, code=1)

    assert "3 runs of own failed alike before their first point: KeyError: 'data'" in told
    assert states(project) == [("failed", "KeyError: 'data'", 3), ("queued", None, 3)]


def test_each_run_has_a_folder_of_its_own(project: Project) -> None:
    body = """
def train(config, run):
    path = run.dir / "out" / "ckpt.txt"
    path.parent.mkdir()
    path.write_text(str(run.seed()))
    time.sleep(0.2)
    run.log({"read": float(path.read_text())}, 5)
"""
    made(project, body)

    project.ablate("run", "own", "--workers", "2")

    query = "SELECT seed, value FROM run_metrics WHERE key = 'import/scalar/read' ORDER BY 1"
    assert project.rows(query) == [(seed, float(seed)) for seed in (0, 0, 1, 1, 2, 2)]


def test_children_that_are_terminated_end(project: Project) -> None:
    body = """
def sleep(seconds):
    time.sleep(seconds)

def train(config, run):
    context = multiprocessing.get_context("fork")
    child = context.Process(target=sleep, args=(600,))
    child.start()
    time.sleep(0.2)
    began = time.time()
    child.terminate()
    child.join(300)
    with context.Pool(2) as pool:
        pool.map(sleep, [0, 0])
    run.log({"took": time.time() - began, "code": child.exitcode}, 5)
    ask = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    heard = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    assert heard.stdout == "True\\n", "what a trainer starts does not hear of Ctrl-C"
"""
    made(project, body, STUDY.replace("seeds: 3", "seeds: 1"))

    project.ablate("run", "own")

    rows = project.rows("SELECT key, value FROM run_metrics ORDER BY key, value")
    assert [value for key, value in rows if key.endswith("code")] == [-signal.SIGTERM] * 2
    assert all(value < 10 * slowness() for key, value in rows if key.endswith("took"))


def test_a_trainer_that_takes_our_handler_away_is_paused_by_a_stop(project: Project) -> None:
    body = """
def train(config, run):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    run.log({"loss": 1.0}, 1)
    time.sleep(120)
"""
    made(project, body, STUDY.replace("seeds: 3", "seeds: 1"))
    process = project.start("run", "own", "--workers", "2")
    project.wait_for(lambda: len(project.rows("SELECT * FROM points LIMIT 5")) >= 2)

    process.send_signal(signal.SIGINT)

    assert process.wait(PATIENCE_S) == 130
    assert project.rows("SELECT state, error FROM attempts") == [("paused", "asked to stop")] * 2


def test_threads_are_waited_for_and_exit_functions_run_as_in_a_script(project: Project) -> None:
    body = """
import atexit, logging.handlers, threading

def write_late(path):
    time.sleep(1)
    path.write_text("late")

def train(config, run):
    run.log({"loss": 1.0}, 5)
    atexit.register((run.dir / "exit").write_text, "exit")
    threading.Thread(target=write_late, args=[run.dir / "thread"]).start()
    multiprocessing.Process(target=write_late, args=[run.dir / "process"]).start()
    target = logging.FileHandler(run.dir / "log", delay=True)
    logging.getLogger("own").addHandler(logging.handlers.MemoryHandler(100, target=target))
    logging.getLogger("own").warning("kept in memory")
"""
    made(project, body, STUDY.replace("seeds: 3", "seeds: 1"))

    project.ablate("run", "own")

    assert states(project) == [("succeeded", None, 2)]
    written = [path.name for path in project.folder.glob(".ablate/runs/*/files/*")]
    assert sorted(written) == sorted(["exit", "log", "process", "thread"] * 2)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        (
            "return (x for x in [1])",
            "TypeError: mine:train returned a generator, which nothing runs",
        ),
        ("raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})", "Mute"),
    ],
)
def test_odd_exceptions_fail_a_run_once(project: Project, how: str, reason: str) -> None:
    body = f"""
def train(config, run):
    run.log({{"loss": 1.0}}, 1)
    {how}
"""
    made(project, body, STUDY.replace("seeds: 3", "seeds: 1"))

    project.ablate("run", "own", code=1)

    assert states(project) == [("failed", reason, 2)]
    assert attempts(project) == 2


def test_a_trainer_that_never_looks_ends_as_finished(project: Project) -> None:
    body = """
def train(config, run):
    for step in range(1, 21):
        run.log({"loss": 1.0}, step)
        time.sleep(0.1)
"""
    made(project, body, STUDY.replace("seeds: 3", "seeds: 1"))
    process = project.start("run", "own", "--workers", "2")
    project.wait_for(lambda: len(project.rows("SELECT * FROM points LIMIT 5")) >= 2)

    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_S)

    assert states(project) == [("succeeded", None, 2)]
    assert project.rows("SELECT max(step), count(*) FROM run_metrics") == [(20, 40)]


def test_annotated_config_is_what_the_trainer_gets(project: Project) -> None:
    body = """
from dataclasses import dataclass, field

@dataclass
class Optim:
    lr: float = 0.5

@dataclass
class Options:
    steps: int
    x: int = 0
    optim: Optim = field(default_factory=Optim)

def train(config: Options, run):
    run.log({"lr": config.optim.lr + config.x}, config.steps)
"""
    made(project, body, STUDY.replace("seeds: 3", "seeds: 1"))

    project.ablate("run", "own")

    query = "SELECT variant, step, value FROM run_metrics ORDER BY 1"
    assert project.rows(query) == [("a", 5, 0.5), ("b", 5, 1.5)]


def test_what_a_module_imports_from_others_is_imported_once_for_all_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = "import os\nwith open('imports.txt', 'a') as f:\n    f.write(f'{__name__}\\n')\n"
    starts = "import threading, time\n"
    starts += "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    project.write("site-packages/plain.py", counted)
    project.write("site-packages/lazy.py", counted)
    project.write("site-packages/restless.py", counted + starts)
    project.write("site-packages/broken.py", "raise SystemExit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(project.folder / "site-packages"))
    body = """
import helper

def train(config, run):
    import lazy, restless
    run.log({"loss": 1.0}, 5)
"""
    project.write("helper.py", "import plain\nif plain is None:\n    import broken\n")
    made(project, body)

    process = project.start("run", "own", "--workers", "2")
    assert process.wait(PATIENCE_S) == 0

    said = (project.folder / "output.txt").read_text()
    assert "restless starts a thread when it is imported" in said
    imports = (project.folder / "imports.txt").read_text().split()
    assert imports.count("restless") == 1 + 6
    assert {imports.count(name) for name in ("plain", "lazy")} <= {1, 2}
    paths = project.rows("SELECT content FROM codes")
    assert len(paths) == 1
    assert "helper.py" in paths[0][0]
    assert "plain.py" not in paths[0][0]


def test_a_project_module_cannot_be_preloaded(project: Project) -> None:
    project.write("mine.py", LOGS_ONCE)
    project.write("studies/own.yaml", STUDY + "preload: [json, mine]\n")

    refused = project.ablate("study", "create", "own", code=2)

    assert "'mine' is code of this project" in refused
    assert "own.yaml:9:17" in refused


def test_metric_that_no_run_has_logged_is_told(project: Project) -> None:
    metrics = "metrics: {train/scalar/loss: min, train_los: min}\n"
    made(project, LOGS_ONCE.replace("'loss'", "'train_loss'"), STUDY + metrics)

    process = project.start("run", "own")
    assert process.wait(PATIENCE_S) == 0

    said = (project.folder / "output.txt").read_text()
    told = "no run of own has logged train/scalar/los; did you mean 'train/scalar/loss'?"
    assert told in said
    assert said.count("has logged") == 1
