"""The command line in a process that has it imported: most of a command's time is importing."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import ablate.cli
from tests.support import processes

_ROOMS = ("analysis", "app", "execution", "importers", "planning", "render", "spool", "store")
"""Of what commands import when they run."""

for _room in _ROOMS:
    _package = importlib.import_module(f"ablate.{_room}")
    for _module in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_module.name)


def run(
    arguments: tuple[str, ...], folder: Path, variables: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does with a new interpreter."""
    with tempfile.TemporaryDirectory(prefix="ablate-command-") as made:
        paths = Path(made) / "stdout", Path(made) / "stderr"
        process = processes.start(_call, arguments, folder, dict(variables), paths)
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout_s)
        shown = [path.read_text(encoding="utf-8") for path in paths]
        return subprocess.CompletedProcess(arguments, process.exitcode, *shown)


def _call(
    arguments: tuple[str, ...], folder: Path, variables: dict[str, str], paths: tuple[Path, Path]
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for number, path in enumerate(paths, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.argv = ["ablate", *arguments]
    ablate.cli.main()
