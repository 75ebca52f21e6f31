"""A database that is lost or damaged: found out, and made anew from journal and spools."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.domain import AttemptState
from ablate.spool.batch import Ending
from ablate.store import open_store
from ablate.store.schema.models import Base
from ablate.testing.factories import must_claim
from tests.support.patience import PATIENCE_S
from tests.support.projects import TRAINER, Project, environment, make_project
from tests.support.thorough import few_or_many

STUDY = """
study: toy
question: Which rate?
trainer: toytrain:train
base: {steps: 40, lr: 0.01, sleep_s: 0.04, save_every: 10}
phases:
  slow: {baseline: true}
  fast: {from: slow, set: {lr: 0.1}}
seeds: 2
metrics: {train/loss/total: min}
targets: {train/audio/rms: ">= 0.05"}
guards:
  low: {when: "train/loss/total < 0.2", do: flag}
"""
THEIRS = "step,train/loss/total\n" + "".join(
    f"{step},{'nan' if step % 7 == 3 else 1 / (step + 1)}\n" for step in range(120)
)
RAISES = '        if step == config.get("raise_at")'
LOGS_TWICE = """\
        if step == 20:
            run.log({"valid/loss/l1": 2 * x, "train/loss/total": x}, step)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with trained, resumed, retried, cancelled and imported runs."""
    made = make_project(tmp_path_factory.mktemp("trained"), STUDY)
    made.write("toytrain.py", TRAINER.replace(RAISES, LOGS_TWICE + RAISES, 1))
    made.write("theirs.csv", THEIRS)
    made.ablate("study", "create", "toy")
    made.ablate("run", "toy", "--steps", "20", "--only", "slow")
    made.ablate("run", "toy", "--workers", "2")
    made.ablate("retry", "--fresh", "fast-s1")
    made.ablate("run", "toy")
    made.ablate("retry", "--fresh", "fast-s0")
    made.ablate("cancel", "fast-s0")
    made.ablate("import", "theirs.csv", "--study", "other")
    return made


@pytest.fixture
def project(trained: Project, tmp_path: Path) -> Project:
    """Return a copy of that project."""
    shutil.copytree(trained.folder, tmp_path / "project")
    return Project(tmp_path / "project")


def answers(project: Project) -> dict[str, str]:
    """Return what `compare` and `report` say."""
    found: dict[str, str] = {}
    for study in ("toy", "other"):
        found[f"compare {study}"] = project.ablate("compare", "--study", study)
        project.ablate("report", study, "-o", "report.html")
        found[f"report {study}"] = (project.folder / "report.html").read_text()
    found["status"] = project.ablate("status", "--format", "json")
    return found


def database(project: Project) -> Path:
    return project.folder / ".ablate" / "ablate.db"


def lose(project: Project) -> None:
    for path in database(project).parent.glob("ablate.db*"):
        path.unlink()


def test_lost_database_is_not_begun_anew_beside_its_journal(project: Project) -> None:
    lose(project)

    for command in (["status"], ["run", "--no-mlflow"], ["study", "create", "toy"]):
        told = project.ablate(*command, code=3)
        assert "is gone; its journal and what was trained are there" in told
        assert "run: ablate db rebuild" in told
    assert not database(project).exists()


def test_lost_database_is_made_anew_with_the_same_answers(project: Project) -> None:
    before = answers(project)
    lose(project)

    told = project.ablate("db", "rebuild")

    assert answers(project) == before
    assert "2 studies, 5 runs" in told
    assert "nothing differs" in project.ablate("db", "check")
    project.ablate("run", "toy")  # nothing is queued, and the journal goes on
    project.ablate("retry", "fast-s0")
    project.ablate("run", "toy")
    assert "nothing differs" in project.ablate("db", "check")


def test_damaged_database_is_kept_and_a_good_one_is_not_made_anew(project: Project) -> None:
    before = answers(project)
    assert "is good" in project.ablate("db", "rebuild", code=2)
    content = bytearray(database(project).read_bytes())
    content[4096 * 3 : 4096 * 5] = bytes(8192)
    lose(project)
    database(project).write_bytes(content)
    assert "ablate db rebuild" in project.ablate("db", "check", code=4)

    told = project.ablate("db", "rebuild")

    kept = database(project).with_name("ablate.db.damaged")
    assert kept.read_bytes() == content
    assert str(kept) in told
    assert answers(project) == before


def test_points_before_a_damage_of_a_spool_are_restored_and_the_rest_is_named(
    project: Project,
) -> None:
    [(run,)] = project.rows("SELECT run FROM run_metrics WHERE variant = 'slow' LIMIT 1")
    spool = project.folder / ".ablate" / "runs" / run / "attempt-2" / "spool"
    content = bytearray(spool.read_bytes())
    content[len(content) // 2] ^= 1
    spool.write_bytes(content)
    shutil.rmtree(next((project.folder / ".ablate" / "imports").iterdir()))
    lose(project)

    assert "not all is there" in project.ablate("db", "rebuild", code=1)

    told = project.ablate("db", "check")
    assert "is damaged at byte" in told
    assert "4 of 5" not in told
    assert "3 of 5 runs were compared" in told
    [(steps,)] = project.rows("SELECT max(step) FROM run_metrics WHERE run = ?", run)
    assert 20 <= steps < 40


def test_attempt_that_was_over_before_its_trainer_began_lacks_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path, STUDY)
    project.ablate("study", "create", "toy")
    data_dir = project.folder / ".ablate"
    with closing(open_store(f"sqlite:///{database(project)}", data_dir=data_dir)) as store:
        store.finish(must_claim(store), Ending(state=AttemptState.LOST))
    project.ablate("run", "toy")

    checked = project.ablate("db", "check")
    lose(project)
    made = project.ablate("db", "rebuild")

    assert "not compared" not in checked
    assert "not there" not in made
    assert project.rows("SELECT count(*) FROM attempts") == [(5,)]


def test_without_a_journal_study_files_tell_which_runs_folders_hold(project: Project) -> None:
    before = project.rows("SELECT variant, seed, step, key, value FROM run_metrics ORDER BY 1,2,3")
    shutil.rmtree(project.folder / ".ablate" / "journal")
    lose(project)

    assert "not all is there" in project.ablate("db", "rebuild", code=1)
    project.ablate("study", "create", "toy")

    after = project.rows("SELECT variant, seed, step, key, value FROM run_metrics ORDER BY 1,2,3")
    trained_once = [row for row in before if row[0] == "slow"]
    assert [row for row in after if row[0] == "slow"] == trained_once


def test_without_journal_and_study_file_runs_can_be_read(project: Project) -> None:
    shutil.rmtree(project.folder / ".ablate" / "journal")
    (project.folder / "studies" / "toy.yaml").unlink()
    lose(project)

    project.ablate("db", "rebuild", code=1)

    told = project.ablate("compare", "--study", "recovered")
    assert "slow" in told
    assert "fast" in told
    project.ablate("db", "check")


def test_nothing_on_the_disk_is_said(tmp_path: Path) -> None:
    project = make_project(tmp_path)

    assert "nothing is on the disk" in project.ablate("db", "rebuild", code=3)
    assert not database(project).exists()


def test_older_copy_is_told_and_brought_up_to_date(project: Project) -> None:
    project.ablate("db", "backup", "old.db")
    project.ablate("retry", "fast-s0")
    project.ablate("run", "toy")
    before = answers(project)
    lose(project)
    shutil.copy(project.folder / "old.db", database(project))

    assert "ablate db rebuild" in project.ablate("db", "check", code=4)
    project.ablate("db", "rebuild")

    assert answers(project) == before


def test_older_copy_that_is_used_is_the_truth(project: Project) -> None:
    project.ablate("db", "backup", "old.db")
    project.ablate("study", "archive", "other")
    lose(project)
    shutil.copy(project.folder / "old.db", database(project))
    project.ablate("retry", "fast-s0")
    before = answers(project)

    assert "nothing differs" in project.ablate("db", "check")
    lose(project)
    project.ablate("db", "rebuild")

    assert answers(project) == before


def test_server_database_is_made_anew_in_an_empty_one(
    project: Project, new_postgres_url: Callable[[], str]
) -> None:
    url, other = new_postgres_url(), new_postgres_url()
    project.ablate("--db", url, "study", "create", "toy")
    project.ablate("--db", url, "run", "toy", "--workers", "2")
    project.ablate("--db", url, "import", "theirs.csv", "--study", "other")
    before = project.ablate("--db", url, "compare", "--study", "toy")
    assert "nothing differs" in project.ablate("--db", url, "db", "check")
    assert "not empty" in project.ablate("--db", url, "db", "rebuild", code=2)
    (journal,) = [
        path
        for path in (project.folder / ".ablate" / "journal").iterdir()
        if path.stat().st_mtime_ns == max(p.stat().st_mtime_ns for p in path.parent.iterdir())
    ]

    project.ablate("--db", other, "db", "rebuild", "--journal", str(journal))

    assert project.ablate("--db", other, "compare", "--study", "toy") == before
    project.ablate("--db", other, "retry", "--fresh", "slow-s0")
    project.ablate("--db", other, "run", "toy")
    assert "nothing differs" in project.ablate("--db", other, "db", "check")


def test_not_beside_a_live_run(tmp_path: Path) -> None:
    slow = STUDY.replace("sleep_s: 0.04", "sleep_s: 0.2")
    project = make_project(tmp_path, slow)
    project.ablate("study", "create", "toy")
    process = project.start("run", "toy", "--workers", "1")
    try:
        running = "SELECT 1 FROM attempts WHERE state = 'running'"
        project.wait_for(lambda: bool(project.rows(running)))

        for command in (("downgrade", "base", "--yes"), ("downgrade", "0004", "--yes")):
            told = project.ablate("db", *command, code=5)
            assert f"pid {process.pid}" in told
            assert f"kill {process.pid}" in told
        process.send_signal(signal.SIGSTOP)  # before it notices that its file is gone
        lose(project)
        assert f"pid {process.pid}" in project.ablate("db", "rebuild", "--yes", code=5)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    project.ablate("db", "rebuild")
    project.ablate("db", "downgrade", "0004", "--yes")


def test_run_whose_database_is_deleted_ends_with_an_error(tmp_path: Path) -> None:
    project = make_project(tmp_path, STUDY.replace("sleep_s: 0.04", "sleep_s: 0.2"))
    project.ablate("study", "create", "toy")
    process = project.start("run", "toy", "--workers", "1")
    project.wait_for(lambda: bool(project.rows("SELECT 1 FROM run_metrics WHERE step = 5")))

    lose(project)

    assert process.wait(timeout=PATIENCE_S) == 4
    told = (project.folder / "output.txt").read_text()
    assert "was deleted or moved while it was in use" in told
    assert "ablate db rebuild" in told
    project.ablate("db", "rebuild")
    assert project.rows("SELECT count(*) FROM run_metrics WHERE step = 5") == [(2,)]


def test_runner_of_another_machine_needs_a_word(project: Project) -> None:
    project.ablate("db", "downgrade", "0004", "--yes")
    with closing(sqlite3.connect(database(project))) as connection, connection:
        connection.execute(
            "UPDATE attempts SET state = 'running', runner = 'elsewhere/b/12/1.0/ab' WHERE id = 1"
        )

    told = project.ablate("db", "upgrade", code=5)

    assert "elsewhere (pid 12)" in told
    assert "--yes" in told
    assert project.rows("SELECT version_num FROM ablate_alembic_version") == [("0004",)]
    project.ablate("db", "upgrade", "--yes")


def harm(content: bytes, rng: random.Random, kind: str) -> bytes:
    harmed = bytearray(content)
    if kind == "bit":
        place = rng.randrange(len(content) * 8)
        harmed[place // 8] ^= 1 << place % 8
    else:
        place = rng.randrange(len(content) // 512) * 512
        harmed[place : place + 512] = bytes(512)
    return bytes(harmed)


def all_rows(path: Path) -> str:
    """Return all rows of all tables and of the view, as any SQL client sees them."""
    tables = [*Base.metadata.tables, "run_metrics", "ablate_alembic_version"]
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        return repr([connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables])


def said(*arguments: str) -> str:
    """Return what a command says in this process."""
    done = CliRunner().invoke(app, arguments)
    return f"{done.exit_code} {done.exception!r} {done.stdout}"


def all_answers(path: Path) -> dict[str, str]:
    found = {"rows": all_rows(path)}
    for study in ("toy", "other"):
        found[f"compare {study}"] = said("compare", "--study", study)
        said("report", study, "-o", "report.html")
        found[f"report {study}"] = Path("report.html").read_text()
    return found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["bit", "sector"])
def test_no_damage_that_changes_an_answer_is_called_good(
    project: Project, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    path = database(project)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    right = all_answers(path)
    rng = random.Random(f"{kind}/9")
    found = harmless = 0
    for number in range(few_or_many(12, 150)):
        lose(project)
        path.write_bytes(harm(content, rng, kind))
        if said("db", "check").startswith("0 "):
            harmless += 1
            assert all_answers(path) == right, f"case {number} is called good and is not"
        else:
            found += 1
    print(f"{kind}: {found} found, {harmless} change no answer")
    assert found + harmless == few_or_many(12, 150)
