"""Progress of `ablate run` on stderr: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self, TextIO

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ablate.domain import AttemptState, Run
from ablate.execution.progress import RunProgress
from ablate.render.listing import hanging
from ablate.spool.batch import Ending
from ablate.text import duration, printable, silence

_PLAIN_EVERY_S = 15.0

_MARKS = {
    AttemptState.SUCCEEDED: ("done", "green"),
    AttemptState.STOPPED: ("stopped", "yellow"),
    AttemptState.PAUSED: ("paused", "yellow"),
    AttemptState.LOST: ("lost", "yellow"),
    AttemptState.DIVERGED: ("diverged", "red"),
    AttemptState.FAILED: ("failed", "red"),
    AttemptState.CANCELLED: ("cancelled", "yellow"),
}


class LineProgress:
    """One line for each thing that happens, and one for each active run every 15 s.

    Implements `ablate.execution.progress.Observer`. Ends are counted against ``total``.

    Args:
        stream: Where to print.
        total: How many runs wait.
        with_study: Whether runs of several studies are among them, so that names say which.
    """

    def __init__(self, stream: TextIO, total: int, *, with_study: bool) -> None:
        self._stream = stream
        self._total = total
        self._with_study = with_study
        self._done = 0
        self._last = time.monotonic()
        self._said: dict[str, tuple[int | None, float]] = {}
        """Run -> the step, and the seconds without one, that were said of it last."""

    def started(self, run: Run, attempt: int) -> None:
        """Say that an attempt began."""
        again = f" (attempt {attempt})" if attempt > 1 else ""
        self._say(f"start     {_name(run, self._with_study)}{again}")

    def progressed(self, active: Sequence[RunProgress]) -> None:
        """Say where each run stands, now and then."""
        now = time.monotonic()
        if now - self._last < _PLAIN_EVERY_S:
            return
        self._last = now
        for progress in active:
            if self._is_news(progress):
                self._say(f"run       {'  '.join(_fields(progress, self._with_study))}")

    def _is_news(self, progress: RunProgress) -> bool:
        """Whether a run has moved, or has stood still for twice as long as was said of it."""
        step, idle_s = self._said.get(progress.run.id, (None, 0.0))
        if progress.step == step and (progress.idle_s or 0.0) < 2 * (idle_s or _PLAIN_EVERY_S):
            return False
        self._said[progress.run.id] = progress.step, progress.idle_s or 0.0
        return True

    def ended(self, run: Run, ending: Ending) -> None:
        """Say how an attempt ended."""
        self._done += ending.state is not AttemptState.LOST  # that one is tried again
        word, _ = _MARKS[ending.state]
        reason = f": {ending.reason}" if ending.reason else ""
        name = _name(run, self._with_study)
        self._say(f"{word:<9} {name} [{self._done}/{self._total}]{reason}")

    def noted(self, text: str) -> None:
        """Say something else."""
        self._say(f"note      {text}")

    def _say(self, line: str) -> None:
        print(printable(line), file=self._stream, flush=True)


class LiveProgress:
    """A table of the active runs that is redrawn, with the ends scrolling above it.

    Implements `ablate.execution.progress.Observer`; the arguments are those of `LineProgress`.
    """

    def __init__(self, console: Console, total: int, *, with_study: bool) -> None:
        self._console = console
        self._total = total
        self._with_study = with_study
        self._done = 0
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def started(self, run: Run, attempt: int) -> None:
        """Nothing to say: the run appears in the table."""

    def progressed(self, active: Sequence[RunProgress]) -> None:
        """Redraw the table."""
        rows = [_fields(progress, self._with_study) for progress in active]
        # A line each for what is above and below the runs, and one for the cursor.
        room = max(1, self._console.height - 4)
        table = _one_line_each(rows[:room])
        unbounded = self._console.options.update(max_width=_UNBOUNDED)
        if self._console.measure(table, options=unbounded).maximum > self._console.width:
            room = max(1, room // 2)
            table = _two_lines_each(rows[:room])
        hidden = f"; {len(rows) - room} more are being trained" if len(rows) > room else ""
        done = Text(f"{self._done} of {self._total} runs done{hidden}", style="dim")
        self._live.update(Group(table, done))

    def ended(self, run: Run, ending: Ending) -> None:
        """Print how an attempt ended above the table."""
        self._done += ending.state is not AttemptState.LOST  # that one is tried again
        word, style = _MARKS[ending.state]
        name = printable(_name(run, self._with_study))
        line = Text.assemble((f"{word:<9}", style), " ", name)
        reason = printable(ending.reason) if ending.reason else ""
        if reason and line.cell_len + 2 + cell_len(reason) <= self._console.width:
            line.append(f"  {reason}", style="dim")
            reason = ""
        self._console.print(line, soft_wrap=True)
        for part in hanging(reason, self._console.width, _UNDER_NAME):
            self._console.print(Text(part, style="dim"), soft_wrap=True)

    def noted(self, text: str) -> None:
        """Print something else above the table."""
        for part in hanging(printable(text), self._console.width, 0):
            self._console.print(Text(part, style="dim"), soft_wrap=True)


_UNBOUNDED = 10_000
"""Columns of a terminal on which anything fits."""
_UNDER_NAME = 10
"""The column in which names stand behind how a run ended."""


def _one_line_each(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, expand=False)
    for name, justify in _COLUMNS:
        table.add_column(name, justify=justify, no_wrap=True, overflow="ignore")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _two_lines_each(rows: Sequence[Sequence[str]]) -> Group:
    """Return the runs for a narrow terminal: each name whole, and below it the rest."""
    lines: list[Text] = []
    for name, *rest in rows:
        lines.append(Text(name, overflow="fold"))
        lines.append(Text(f"  {'  '.join(filter(None, rest))}", no_wrap=True, overflow="ellipsis"))
    return Group(*lines)


_COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("phase", "left"),
    ("seed", "right"),
    ("step", "right"),
    ("steps/s", "right"),
    ("metric", "left"),
    ("ETA", "right"),
)


def _name(run: Run, with_study: bool) -> str:
    return f"{run.study}/{run.label}" if with_study else run.label


def _fields(progress: RunProgress, with_study: bool) -> list[str]:
    run = progress.run
    end = "" if progress.steps is None else f"/{progress.steps}"
    speed = "" if progress.steps_per_s is None else f"{progress.steps_per_s:.1f} steps/s"
    if progress.idle_s is not None:
        speed = silence(progress.idle_s)
    metric = ""
    if progress.metric is not None and progress.value is not None:
        metric = f"{progress.metric} {progress.value:.4g}"
    eta = "" if progress.eta_s is None else f"ETA {duration(progress.eta_s)}"
    return [
        f"{run.study}/{run.variant}" if with_study else run.variant,
        f"s{run.seed}",
        f"{progress.step}{end}",
        speed,
        metric,
        eta,
    ]
