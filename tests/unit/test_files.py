import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.errors import StoreError
from ablate.files import scratch_folder, written_whole
from tests.support.present import present


def test_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with written_whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with pytest.raises(TypeError), written_whole(path) as file:
        file.write("no bytes")  # pyright: ignore[reportArgumentType, reportCallIssue] (on purpose)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "a.txt"
    link.symlink_to(tmp_path / "there" / "b.txt")

    with written_whole(link) as file:
        file.write(b"new")

    assert link.is_symlink()
    assert (tmp_path / "there" / "b.txt").read_text() == "new"


def test_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    with written_whole(pipe) as file:
        file.write(b"through")

    assert os.read(reader, 100) == b"through"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)


def test_folder_that_is_missing_is_named(tmp_path):
    path = tmp_path / "none" / "a.txt"

    with (
        pytest.raises(StoreError, match=r"none/a\.txt cannot be written: No such file"),
        written_whole(path) as file,
    ):
        file.write(b"")


HOLDS_ONE = """
import sys, time
from pathlib import Path
from ablate.files import scratch_folder

with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "copy.db").write_text("much")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_scratch_folder_of_a_living_process_stays_and_that_of_a_killed_one_goes(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS_ONE, tmp_path], stdout=subprocess.PIPE, text=True
    )
    theirs = Path(present(other.stdout).readline().strip())

    with scratch_folder(tmp_path) as own:
        assert (theirs / "copy.db").read_text() == "much"
        assert own != theirs
    assert list(tmp_path.iterdir()) == [theirs]

    other.send_signal(signal.SIGKILL)
    other.communicate()
    with scratch_folder(tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]
    assert list(tmp_path.iterdir()) == []
