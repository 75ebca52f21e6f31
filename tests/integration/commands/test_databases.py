"""The whole product on each database, and its schema from nothing and back, by command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.projects import Project, environment

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/elsewhere/results.db"


def test_three_sentences_on_each_database(project: Project, url: str) -> None:
    project.ablate("--db", url, "study", "create", "toy")
    project.ablate("--db", url, "run", "--workers", "2")

    rows = json.loads(project.ablate("--db", url, "compare", "--format", "json"))["rows"]

    assert [(row["variant"], row["runs"]) for row in rows] == [("slow", 2), ("fast", 2)]
    assert not (project.folder / ".ablate" / "ablate.db").exists()
    assert "whole: " in project.ablate("--db", url, "db", "check")


def test_schema_goes_up_down_and_up_again_by_command(project: Project, url: str) -> None:
    def alembic(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=ROOT,
            env={**environment(), "ABLATE_DB": url},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    alembic("upgrade", "head")
    assert "(head)" in alembic("current")
    assert "whole: " in project.ablate("--db", url, "db", "check")
    project.ablate("--db", url, "db", "downgrade", "base", code=2)
    project.ablate("--db", url, "db", "downgrade", "base", "--yes")
    assert "run: ablate db upgrade" in project.ablate("--db", url, "db", "check", code=4)
    project.ablate("--db", url, "db", "upgrade")
    assert "whole: " in project.ablate("--db", url, "db", "check")


def test_password_is_never_shown(project: Project) -> None:
    url = "postgresql+psycopg://someone:hunter2@127.0.0.1:9/none"

    shown = project.ablate("--db", url, "status", code=4)

    assert "hunter2" not in shown
    assert "127.0.0.1" in shown


def test_environment_names_the_database(project: Project) -> None:
    done = subprocess.run(
        project.command("study", "create", "toy"),
        cwd=project.folder,
        env={**environment(), "ABLATE_DB": "mine.db"},
        capture_output=True,
    )

    assert done.returncode == 0
    assert (project.folder / "mine.db").exists()
    assert [path.name for path in (project.folder / "studies").iterdir()] == ["toy.yaml"]
