"""The Tab key, as the shells ask: in a process of its own, with what was typed so far."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.projects import STUDY, Project, environment, make_project

_BASH = """
eval "$(_ABLATE_COMPLETE=source_bash ablate)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_ablate_completion ablate
printf '%s\\n' "${COMPREPLY[@]}"
"""
_HEAVY = ("sqlalchemy", "torch", "mlflow", "pandas", "numpy", "scipy", "ruamel", "plotly")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the command as pip installs it."""
    path = tmp_path_factory.mktemp("bin") / "ablate"
    path.write_text(f"#!{sys.executable}\nfrom ablate.cli import main\nmain()\n")
    path.chmod(0o755)
    return path.parent


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with a study that has run and one that waits."""
    more = "  slow.down: {from: slow, set: {lr: 0.2}}\n  lr=0.01: {from: slow, set: {lr: 0.3}}\n"
    made = make_project(
        tmp_path_factory.mktemp("typed"), STUDY.replace("seeds:", f"{more}seeds:", 1)
    )
    made.ablate("study", "create", "toy")
    made.ablate("run", "toy", "--workers", "2", "--steps", "60")
    made.write("studies/other.yaml", STUDY.replace("toy", "other", 1).replace("fast", "slower"))
    made.ablate("study", "create", "other")
    return made


def asked(program: Path, folder: Path, command: list[str], **variables: str) -> tuple[str, str]:
    path = f"{program}:{environment()['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment() | {"PATH": path} | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout, done.stderr


def bash(program: Path, folder: Path, *words: str) -> list[str]:
    """Return what bash is offered for the last of the words, which may be empty."""
    shown, said = asked(program, folder, ["bash", "-c", _BASH, "bash", "ablate", *words])
    assert said == ""
    return shown.split()


def zsh(program: Path, folder: Path, typed: str) -> list[str]:
    """Return what zsh is offered behind what was typed."""
    shown, said = asked(
        program,
        folder,
        ["ablate"],
        _ABLATE_COMPLETE="complete_zsh",
        _TYPER_COMPLETE_ARGS=f"ablate {typed}",
    )
    assert said == ""
    return re.findall(r'^(?:_arguments .*\(\()?"([^"]*)"', shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["compare", "sl"], ["slow", "slow.down", "slower"]),
        (["compare", "slow", "sl"], ["slow.down", "slower"]),
        (["compare", "--study", "other", "s"], ["slow", "slower"]),
        (["compare", "--study", ""], ["toy", "other"]),
        (["compare", "--baseline", "fa"], ["fast"]),
        (["compare", "--metric", "train/l"], ["train/loss/total"]),
        (["compare", "--format", "m"], ["md"]),
        (["status", ""], ["toy", "other"]),
        (["status", "--format", "nd"], ["ndjson"]),
        (["run", "t"], ["toy"]),
        (["run", "--only", "fast-"], ["fast-s0", "fast-s1"]),
        (["logs", "fast"], ["fast", "fast-s0", "fast-s1"]),
        (["retry", "fast-s0", "fast-"], ["fast-s1"]),
        (["compare", "other/s"], ["other/slow", "other/slower"]),
        (["logs", "other/slower-"], ["other/slower-s0", "other/slower-s1"]),
        (["diff", "fast", "slower-"], ["slower-s0", "slower-s1"]),
        (["inspect", "fast-s1"], ["fast-s1"]),
        (["report", "o"], ["other"]),
        (["export", "toy", "--format", "p"], ["parquet"]),
        (["study", "show", "o"], ["other"]),
        (["study", "create", "scale-fix-"], ["scale-fix-full"]),
        (["study", "create", "new", "--from", "ot"], ["other"]),
        (["stu"], ["study"]),
    ],
)
def test_names_are_offered(
    project: Project, program: Path, words: list[str], expected: list[str]
) -> None:
    assert bash(program, project.folder, *words) == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("compare slow sl", ["slow.down", "slower"]),
        ("compare other/s", ["other/slow", "other/slower"]),
        ("status --format nd", ["ndjson"]),
        ("stu", ["study"]),
    ],
)
def test_names_are_offered_in_zsh_too(
    project: Project, program: Path, typed: str, expected: list[str]
) -> None:
    assert zsh(program, project.folder, typed) == expected


def test_id_that_is_begun_is_offered(project: Project, program: Path) -> None:
    [(run_id,)] = project.rows("select id from runs order by id desc limit 1")

    assert bash(program, project.folder, "logs", run_id[:5]) == [run_id[:8]]


def test_name_with_an_equals_sign_goes_on_behind_it(project: Project, program: Path) -> None:
    assert bash(program, project.folder, "compare", "lr") == ["lr=0.01"]
    assert bash(program, project.folder, "compare", "lr", "=", "0") == ["0.01"]
    assert zsh(program, project.folder, "compare lr=0") == ["lr=0.01"]


@pytest.mark.parametrize("trouble", ["no project", "no database", "no file", "no settings"])
def test_without_names_nothing_is_offered_said_or_made(
    program: Path, tmp_path: Path, trouble: str
) -> None:
    if trouble == "no database":
        (tmp_path / ".ablate").mkdir()
    if trouble == "no file":
        (tmp_path / ".ablate").mkdir()
        (tmp_path / ".ablate" / "ablate.db").write_bytes(b"no database at all" * 100)
    if trouble == "no settings":
        (tmp_path / "ablate.toml").write_text("db = [")
    before = sorted(tmp_path.rglob("*"))

    for words in (["status", ""], ["compare", "x"], ["logs", "x"], ["compare", "--metric", ""]):
        assert bash(program, tmp_path, *words) == []

    assert sorted(tmp_path.rglob("*")) == before


def test_database_is_named_by_the_option_too(
    project: Project, program: Path, tmp_path: Path
) -> None:
    database = str(project.folder / ".ablate" / "ablate.db")

    assert bash(program, tmp_path, "--db", database, "status", "t") == ["toy"]


def test_nothing_heavy_is_loaded_and_nothing_written(project: Project, program: Path) -> None:
    before = {p: p.read_bytes() for p in project.folder.rglob("*") if p.is_file()}

    shown, loaded = asked(
        program,
        project.folder,
        ["ablate"],
        _ABLATE_COMPLETE="complete_bash",
        COMP_WORDS="ablate compare fa",
        COMP_CWORD="2",
        PYTHONPROFILEIMPORTTIME="1",
    )

    assert shown.split() == ["fast"]
    modules = {line.split("|")[-1].strip().split(".")[0] for line in loaded.splitlines()}
    assert "ablate" in modules
    assert not modules & set(_HEAVY)
    assert {p: p.read_bytes() for p in project.folder.rglob("*") if p.is_file()} == before
