"""A process is ended by its name only where it is the one that bore the name, and ours to end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ablate.attempt.runners import Life, Place, end_process, life_of, place_of, this_runner

_NAMED = "from ablate.attempt.runners import this_runner; print(this_runner(), flush=True); input()"


@pytest.fixture(params=[True, False], ids=["leads a group", "in a group of others"])
def process(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that waits, and its name."""
    with subprocess.Popen(
        [sys.executable, "-c", _NAMED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=request.param,
    ) as child:
        assert child.stdout
        yield child, child.stdout.readline().strip()
        child.kill()


def test_only_a_leader_of_a_group_is_ended(
    process: tuple[subprocess.Popen[str], str], request: pytest.FixtureRequest
) -> None:
    child, name = process
    leads = "leads a group" in request.node.name
    assert life_of(name) is Life.ALIVE
    assert end_process(name, timeout_s=20 if leads else 0.2) is leads
    assert child.poll() == (-signal.SIGKILL if leads else None)


def test_who_has_ended_long_ago_counts_as_ended(
    process: tuple[subprocess.Popen[str], str],
) -> None:
    child, name = process
    child.kill()
    child.wait()
    assert end_process(name, timeout_s=0.0)


def test_name_tells_the_place() -> None:
    place = place_of("gpu03/boot/4242/77/abcd")

    assert place == Place("gpu03", 4242)
    assert place is not None
    assert str(place) == "gpu03 (pid 4242)"
    assert not place.is_here


def test_own_name_is_of_here() -> None:
    place = place_of(this_runner())

    assert place is not None
    assert place.is_here


@pytest.mark.parametrize("name", [None, "", "ann", "import by ann", "a/b/c/d/e"])
def test_who_is_no_runner_has_no_place(name: str | None) -> None:
    assert place_of(name) is None
