"""The tutorial's files and commands, done as it says; what it prints is what a reader gets."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
LEFT_OUT = ("ablate mlflow ",)
"""MLflow takes seconds to start, and its UI serves until it is interrupted."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("") for line in block.splitlines()]
    typed = [line for line in lines if line.startswith("ablate ")]
    return [line for line in typed if not line.startswith(LEFT_OUT)]


def do(command: str, folder: Path) -> str:
    _, *arguments = shlex.split(command)
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = run(tuple(arguments), folder, {**os.environ, "PYTHONPATH": paths}, PATIENCE_S)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Return each command of the page with what it printed."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "studies").mkdir()
    files = [*blocks("python"), *blocks("yaml")]
    for text in files:
        (folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
    found: list[tuple[str, str]] = []
    for command in commands():
        if command.endswith("--update"):
            study = folder / "studies" / "fit.yaml"
            study.write_text(study.read_text().replace("seeds: 3", "seeds: 6"))
        found.append((command, do(command, folder)))
    assert (folder / "fit.html").is_file()
    assert (folder / "points.csv").is_file()
    return found


def test_comparisons_are_those_that_are_shown(printed: list[tuple[str, str]]) -> None:
    shown = [block for block in blocks("") if block.startswith("- ")]
    compared = [text for command, text in printed if command.startswith("ablate compare")]

    assert len(shown) == len(compared) == 2
    for block, text in zip(shown, compared, strict=True):
        # A sentence may go on in a second line, which is indented.
        assert [line for line in block.splitlines() if line.strip() not in text] == []
