"""`ablate status` and `ablate logs`: which run it is, who trains it, and where its files are."""

from __future__ import annotations

import json
import os
import platform
import pty
import re
import sqlite3
import subprocess
from contextlib import suppress

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.projects import (
    SLOW_STUDY,
    STUDY,
    Project,
    environment,
    kill,
    make_project,
)


@pytest.fixture
def failed(tmp_path) -> Project:
    """Return a project in which both seeds of a phase have failed, and a third waits."""
    study = STUDY.replace("set: {lr: 0.1}", "set: {lr: 0.1, raise_at: 3}")
    made = make_project(tmp_path, study)
    made.ablate("study", "create", "toy")
    made.ablate("run", "toy", "--workers", "2", code=1)
    made.write("studies/toy.yaml", study.replace("seeds: 2", "seeds: 3"))
    made.ablate("study", "create", "toy", "--update")
    return made


def moved_to(project: Project, runner: str) -> None:
    """Let the database say that every attempt was made by another runner."""
    with sqlite3.connect(project.folder / ".ablate" / "ablate.db") as connection:
        connection.execute("update attempts set runner = ?", (runner,))


def test_logs_of_a_phase_are_those_of_all_its_seeds_each_under_its_title(failed: Project) -> None:
    lines = failed.ablate("logs", "fast").splitlines()

    titles = [line for line in lines if line.startswith("==> ")]
    assert [title.split(" (run ")[0] for title in titles] == [
        f"==> toy/fast-s{seed}" for seed in range(3)
    ]
    assert titles[0].endswith("attempt 1 of 1: failed: RuntimeError: boom [/red] <b> <==")
    assert titles[2].endswith("never started <==")
    assert lines[lines.index(titles[1]) - 1] == "RuntimeError: boom [/red] <b>"
    assert lines[lines.index(titles[2]) - 1] == "RuntimeError: boom [/red] <b>"


def test_logs_of_a_label_are_those_of_one_run(failed: Project) -> None:
    shown = failed.ablate("logs", "fast-s1")

    assert shown.count("==> ") == 1
    assert shown.startswith("==> toy/fast-s1 (run ")


def test_logs_of_what_was_never_started_are_refused(failed: Project) -> None:
    assert "fast-s2 was never started" in failed.ablate("logs", "fast-s2", code=3)


def test_logs_say_on_which_machine_they_are(failed: Project) -> None:
    moved_to(failed, "gpu03/boot/4242/1/x")
    for log in failed.folder.glob(".ablate/runs/*/attempt-1/log.txt"):
        log.unlink()

    told = failed.told("logs", "fast")

    assert told.count("it was trained on gpu03 (pid 4242); its log is there") == 2


def test_artifacts_and_checkpoints_say_on_which_machine_they_are(failed: Project) -> None:
    moved_to(failed, "gpu03/boot/4242/1/x")

    kept = failed.ablate("artifacts", "fast-s0", code=3)
    inspected = failed.ablate("inspect", "fast-s0", code=3)

    assert "it was trained on gpu03 (pid 4242)" in kept
    assert "it was trained on gpu03 (pid 4242)" in inspected


def test_followed_logs_say_which_run_goes_on(tmp_path) -> None:
    talkative = SLOW_STUDY.replace("steps: 200", "steps: 600")
    project = make_project(tmp_path, talkative)
    trainer = (tmp_path / "toytrain.py").read_text()
    said = '        print(config["lr"], step, flush=True)\n        time.sleep('
    project.write("toytrain.py", trainer.replace("        time.sleep(", said))
    project.ablate("study", "create", "toy")
    running = project.start("run", "toy", "--only", "slow", "--workers", "2")
    project.wait_for(lambda: len(project.rows("select 1 from points where step = 2")) > 2)

    following = project.start("logs", "slow", "-f", output="followed.txt")
    followed = tmp_path / "followed.txt"
    project.wait_for(lambda: followed.read_text().count("==> toy/slow-s1") >= 2)
    kill(following)
    kill(running)

    assert followed.read_text().count("==> toy/slow-s0") >= 2


def test_status_tells_who_trains_and_that_the_runner_has_ended(slow: Project) -> None:
    running = slow.start("run", "toy", "--workers", "1")
    slow.wait_for(lambda: bool(slow.rows("select 1 from points where step >= 12")))

    (row,) = (r for r in json.loads(slow.ablate("status", "--format", "json"))["rows"] if r["step"])
    plain = slow.ablate("status")
    kill(running)
    after = slow.ablate("status")

    assert row["runner"].split("/")[0] == platform.node()
    assert row["runner"].split("/")[2] == str(running.pid)
    assert row["heard"].endswith("+00:00")
    assert f"{platform.node()} (pid {running.pid})" in plain
    assert "its runner has ended" not in plain
    assert "its runner has ended; `ablate run` goes on with it" in after
    assert slow.start("run", "toy").wait(PATIENCE_S) == 0


def test_status_in_a_pipe_lists_every_run(tmp_path) -> None:
    many = STUDY.replace("seeds: 2", f"seeds: [{', '.join(map(str, range(60)))}]")
    project = make_project(tmp_path, many)
    project.ablate("study", "create", "toy")

    shown = project.ablate("status").splitlines()

    assert shown[0] == "120 runs: 120 queued"
    assert sum("queued" in line for line in shown[1:]) == 120
    assert on_a_terminal(project, "status")[-1] == "not listed: 120 queued; --all lists them too"
    assert sum("queued" in line for line in on_a_terminal(project, "status", "--all")[1:]) == 120


def on_a_terminal(project: Project, *arguments: str) -> list[str]:
    """Return the lines that a command prints on a terminal, without colours."""
    main, child = pty.openpty()
    running = subprocess.Popen(
        project.command(*arguments), cwd=project.folder, env=environment(), stdout=child
    )
    os.close(child)
    shown = b""
    with suppress(OSError):  # as the end of a terminal is told
        while part := os.read(main, 65536):
            shown += part
    os.close(main)
    assert running.wait(PATIENCE_S) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()
