"""How a command ends when something is wrong around it: never with a traceback."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import textwrap
import time
from pathlib import Path

import pytest

from tests.support.commands import Started, run
from tests.support.patience import PATIENCE_S
from tests.support.projects import Project, environment


def _shell(project: Project, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``ablate`` is the command."""
    command = " ".join(project.command())
    return subprocess.run(
        ["bash", "-c", f'ablate() {{ {command} "$@"; }}; set -o pipefail; {line}'],
        cwd=project.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ablate study list >&-", 0),
        ("ablate study list 2>&-", 0),
        ("ablate study list <&- >&- 2>&-", 0),
        ("ablate study create toy >&- 2>&-", 0),
        ("ablate study create toy 2>/dev/full", 0),
        ("ablate status gone 2>&-", 3),
        ("ablate status gone 2>/dev/full", 3),
        ("ablate study list >/dev/full", 4),
        ("ablate export toy >/dev/full", 4),
        ("ablate sql 'SELECT 1' >/dev/full", 4),
        ("ablate schema | true", 141),
    ],
)
def test_streams_that_are_gone(project: Project, line: str, code: int) -> None:
    project.ablate("study", "create", "toy")

    done = _shell(project, line)

    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if code == 4:
        assert done.stderr.startswith("error: standard output cannot be written: No space left")


def test_what_is_printed_into_a_closed_stream_is_nowhere_else(project: Project) -> None:
    done = _shell(project, "ablate study create toy >&- 2>&-")

    assert (done.stdout, done.stderr) == ("", "")
    assert project.rows("PRAGMA integrity_check") == [("ok",)]


def _code(project: Project, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command after some lines that break something in it."""
    return run(arguments, project.folder, environment(), PATIENCE_S, before=textwrap.dedent(text))


_BREAK = """
import ablate.render.studies
def broken(*_, **__):
    raise {error}
ablate.render.studies.studies_table = broken
"""


def test_fault_of_ours_is_told_in_three_lines(project: Project) -> None:
    project.ablate("study", "create", "toy")

    done = _code(project, _BREAK.format(error=r"KeyError('a\x1b[31m\nb')"), "study", "list")

    first, second, third = done.stderr.splitlines()
    assert first.startswith("error: a fault of ablate: KeyError: ")
    assert "\x1b" not in done.stderr
    assert second.startswith("  --> ablate/cli/commands/study.py:")
    assert third.startswith("hint: ")
    assert done.returncode == 70


def test_debug_shows_the_traceback_too(project: Project) -> None:
    project.ablate("study", "create", "toy")

    text = _BREAK.format(error="KeyError('x')")
    done = _code(project, text, "--debug", "study", "list")

    assert "Traceback" in done.stderr
    assert "error: a fault of ablate: KeyError: 'x'" in done.stderr
    assert done.returncode == 70


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        ("OSError(30, 'Read-only file system', '/x/y')", "/x/y cannot be written: Read-only", 4),
        ("OSError(28, 'No space left on device')", "a file cannot be written: No space", 4),
        ("PermissionError(13, 'Permission denied', '/x')", "/x cannot be used: Permission", 4),
        ("NotADirectoryError(20, 'Not a directory', 'a/b')", "a/b cannot be used: Not a dir", 4),
        ("MemoryError()", "there is not enough memory", 1),
        ("RecursionError('deep')", "a fault of ablate: RecursionError: deep", 70),
        ("KeyboardInterrupt()", "", 130),
    ],
)
def test_faults_of_the_machine_are_named(
    project: Project, error: str, said: str, code: int
) -> None:
    project.ablate("study", "create", "toy")

    done = _code(project, _BREAK.format(error=error), "study", "list")

    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {said}" if said else "")
    assert ("hint: " in done.stderr) == bool(said)


def test_ctrl_c_in_a_command_that_waits(project: Project) -> None:
    project.ablate("study", "create", "toy")
    process = project.start("status", "--watch")
    output = project.folder / "output.txt"
    project.wait_for(lambda: b"slow" in output.read_bytes())
    time.sleep(0.2)

    process.send_signal(signal.SIGINT)

    assert process.wait(PATIENCE_S) == 130
    assert b"Traceback" not in output.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("db", "backup", "/proc/x.db"),
        ("report", "toy", "-o", "/proc/x.html"),
        ("export", "toy", "-o", "/proc/x.csv"),
        ("report", "toy", "-o", "toytrain.py/x.html"),
        ("compare", "--study", "toy", "--plot", "/proc/x.html"),
        ("--db", "toytrain.py/x.db", "study", "create", "toy"),
    ],
)
def test_place_that_cannot_be_written_is_named(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.ablate("study", "create", "toy")

    said = project.ablate(*arguments, code=4)

    path = next(a for a in arguments if "/x." in a).split("/x.")[0]
    assert said.startswith("error: ")
    assert path in said.splitlines()[0]


def _on_a_terminal(project: Project, *arguments: str) -> str:
    """Return what a command prints on a terminal."""
    main, side = pty.openpty()
    variables = {**environment(), "COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    process = Started(arguments, project.folder, variables, Path(os.ttyname(side)))
    said = b""
    while process.poll() is None or select.select([main], [], [], 0)[0]:
        if select.select([main], [], [], 0.02)[0]:
            said += os.read(main, 65536)
    os.close(main)
    os.close(side)
    return said.decode()


_EVIL = "\x1b]0;owned\x07\x1b[31m\u202e=cmd()"
_TALKS = """
def train(config, run):
    print("\\x1b]0;owned\\x07 hello", flush=True)
    run.log({"train/loss/\\x1b[31mtotal": 1.0}, 0)
    raise RuntimeError("\\x1b[31mboom\\u202e")
"""


def test_nothing_foreign_acts_on_a_terminal(project: Project) -> None:
    project.write("toytrain.py", _TALKS)
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", code=1)
    commands = [
        ("logs", "slow-s0"),
        *(("status", "--format", form) for form in ("table", "json")),
        ("export", "toy"),
        *(("compare", "--study", "toy", "--format", form) for form in ("table", "csv")),
        *(("sql", f"SELECT '{_EVIL}'", "--format", form) for form in ("table", "csv")),
        ("status", _EVIL),
    ]

    for arguments in commands:
        said = _on_a_terminal(project, *arguments)
        assert said.strip(), arguments
        for part in ("\x1b]0", "\x1b[31m", "\x07", "\u202e"):
            assert part not in said, (arguments, said)


def test_a_file_gets_foreign_text_as_it_is(project: Project) -> None:
    project.write("toytrain.py", _TALKS)
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", code=1)

    assert "\x1b]0;owned\x07 hello" in project.ablate("logs", "slow-s0")
    assert "train/loss/\x1b[31mtotal" in project.ablate("export", "toy")


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_whatever_is_made_has_the_modes_of_the_umask(project: Project, mask: int) -> None:
    for arguments in (("study", "create", "toy"), ("run", "--no-mlflow", "toy")):
        done = _code(project, f"import os; os.umask({mask})", *arguments)
        assert done.returncode == 0, done.stderr

    wrong = {
        path.relative_to(project.folder).as_posix(): oct(path.stat().st_mode & 0o777)
        for path in (project.folder / ".ablate").rglob("*")
        if path.stat().st_mode & 0o777 != (0o777 if path.is_dir() else 0o666) & ~mask
    }

    assert wrong == {}


def test_the_current_folder_is_gone(project: Project) -> None:
    folder: Path = project.folder / "gone"
    folder.mkdir()

    done = _shell(project, f"cd {folder}; rmdir {folder}; ablate status")

    assert done.returncode == 2
    assert done.stderr.startswith("error: the current folder is gone\nhint: ")
