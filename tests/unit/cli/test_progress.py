"""The live table of `ablate run`: every name whole, the count always in sight."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from ablate.cli.progress import LiveProgress
from ablate.domain import AttemptState
from ablate.execution.progress import RunProgress
from ablate.spool.batch import Ending
from tests.support.factories import make_run

_LONG = "quantizer_residual_with_rms_loss_and_weight_decay_10"


def progress_of(variant: str, seed: int) -> RunProgress:
    return RunProgress(
        run=make_run(variant, seed),
        step=120,
        steps=700,
        steps_per_s=12.5,
        idle_s=None,
        metric="valid/loss/total",
        value=0.123,
    )


def shown(width: int, height: int, active: list[RunProgress]) -> list[str]:
    """Return the lines of the last frame."""
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True)
    with LiveProgress(console, 90, with_study=False) as live:
        live.progressed(active)
    frame = file.getvalue().rpartition("runs done")[0].rpartition("\x1b[?25l")[2]
    whole = file.getvalue()[file.getvalue().index(frame) :].partition("\x1b[?25h")[0]
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", whole).rstrip().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_names_are_whole_at_any_width(width: int) -> None:
    lines = shown(width, 30, [progress_of(_LONG, 0), progress_of("short", 1)])

    assert "".join(lines).count(_LONG) == 1
    assert any("120/700" in line for line in lines)
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [60, 200])
def test_count_is_in_sight_however_many_run(width: int) -> None:
    lines = shown(width, 12, [progress_of(f"{_LONG}{n}", n) for n in range(64)])

    assert len(lines) < 12
    assert re.fullmatch(r"0 of 90 runs done; \d\d more are being trained *", lines[-1])


def test_long_reason_hangs_below_the_name() -> None:
    console = Console(file=io.StringIO(), width=60, force_terminal=False)
    live = LiveProgress(console, 1, with_study=False)

    reason = "the shapes of the quantizer and of its inputs do not fit: see quantizer.dim"
    live.ended(make_run(_LONG, 0), Ending(state=AttemptState.FAILED, reason=reason))

    assert console.file.getvalue().split("\n") == [  # type: ignore[attr-defined]
        f"failed    {_LONG}-s0",
        "          the shapes of the quantizer and of its inputs do",
        "            not fit: see quantizer.dim",
        "",
    ]
