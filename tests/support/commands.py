"""The command line in a process that has it imported: most of a command's time is importing."""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
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
    arguments: tuple[str, ...],
    folder: Path,
    variables: Mapping[str, str],
    timeout_s: float,
    *,
    before: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does with a new interpreter.

    Args:
        arguments: Behind ``ablate``.
        folder: Where it is typed.
        variables: Its whole environment.
        timeout_s: After which it is killed.
        before: Python that is run before it in its process.
    """
    with tempfile.TemporaryDirectory(prefix="ablate-command-") as made:
        paths = Path(made) / "stdout", Path(made) / "stderr"
        process = processes.start(_call, arguments, folder, dict(variables), paths, before)
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout_s)
        shown = [path.read_text(encoding="utf-8") for path in paths]
        return subprocess.CompletedProcess(arguments, process.exitcode, *shown)


class Started:
    """A command that runs, as `subprocess.Popen` shows one; its output is appended to a file."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        folder: Path,
        variables: Mapping[str, str],
        output: Path,
    ) -> None:
        self.args = arguments
        self._process = processes.make(
            _call_in_a_session, arguments, folder, dict(variables), (output, output)
        )
        self._process.daemon = True  # what a failed test has left ends with pytest
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _call_in_a_session(
    arguments: tuple[str, ...], folder: Path, variables: dict[str, str], paths: tuple[Path, Path]
) -> None:
    os.setsid()
    _call(arguments, folder, variables, paths)


def _call(
    arguments: tuple[str, ...],
    folder: Path,
    variables: dict[str, str],
    paths: tuple[Path, Path],
    before: str = "",
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for number, path in enumerate(paths, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.argv = ["ablate", *arguments]
    exec(before, {})
    ablate.cli.main()
