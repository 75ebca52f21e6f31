"""Runs as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ablate.attempt.runners import place_of
from ablate.domain import IMPORTED, Run, RunState
from ablate.render.tables import Cell, Column, Table, Tone, count_cell
from ablate.text import counted, duration, silence

_TONES: dict[RunState, Tone] = {
    RunState.SUCCEEDED: "good",
    RunState.FAILED: "bad",
    RunState.DIVERGED: "bad",
    RunState.STOPPED: "warn",
    RunState.CANCELLED: "muted",
}
_SILENT_S = 60.0


@dataclass(frozen=True, slots=True)
class Remarks:
    """What is known of runs beside what is stored of each; keys are run ids."""

    other_code: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """In what the code that trained it differs from what is there now."""
    no_numbers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Which metrics are NaN or infinite in their newest value."""
    gone: Collection[str] = ()
    """The running ones whose runner has ended without a word."""


_NO_REMARKS = Remarks()


def runs_table(
    runs: Sequence[Run],
    now: float,
    remarks: Remarks = _NO_REMARKS,
    not_listed: Sequence[Run] = (),
) -> Table:
    """Return runs with their state, step and why they ended or wait; where they branch off.

    Where a run is being trained, by whom and since when nothing was heard of it is told too.

    Args:
        runs: In their order.
        now: Unix seconds, against which it is told how long a run has logged nothing.
        remarks: On them.
        not_listed: Further runs, which are only counted.
    """
    other_code, no_numbers = remarks.other_code, remarks.no_numbers
    is_one_study = len({run.study for run in runs}) == 1
    columns: dict[Column, Callable[[Run], Cell]] = {
        Column("run", is_fixed=True, rank=2): lambda run: Cell(run.id[:8], run.id),
        Column("study", rank=6 * is_one_study): lambda run: Cell(run.study),
        Column("phase", is_fixed=True): lambda run: Cell(run.variant, tone="strong"),
        Column("seed", is_number=True): lambda run: count_cell(run.seed),
    }
    if any(run.parent for run in runs):
        columns[Column("start_at", rank=3)] = lambda run: Cell(_start(run))
    columns[Column("state")] = lambda run: Cell(
        run.state.value, tone=_TONES.get(run.state, "plain")
    )
    columns[Column("step", is_number=True)] = lambda run: count_cell(run.step)
    columns[Column("attempts", is_number=True, rank=4)] = lambda run: count_cell(run.attempts)
    columns[Column("wall_s", is_number=True, rank=5)] = lambda run: Cell(
        f"{run.wall_s:.1f}", run.wall_s
    )
    if any(run.logged_at is not None for run in runs):
        columns[Column("runner", rank=1)] = _runner
        columns[Column("heard", is_number=True)] = lambda run: _heard(run, now)
    if other_code:
        columns[Column("trained by other code", is_below=True)] = lambda run: Cell(
            ", ".join(other_code.get(run.id, ())), tone="warn"
        )
    if no_numbers:
        columns[Column("not finite", is_below=True)] = lambda run: Cell(
            no_numbers.get(run.id, ""), tone="bad"
        )
    if any(run.inexact for run in runs):
        columns[Column("resumed inexactly", is_below=True)] = lambda run: Cell(
            run.inexact or "", tone="warn"
        )
    columns[Column("reason", is_below=True)] = lambda run: Cell(_reason(run, now, remarks.gone))
    rows = tuple(tuple(cell(run) for cell in columns.values()) for run in runs)
    title = _count_line([*runs, *not_listed])
    return Table(title, tuple(columns), rows, _not_listed_line(not_listed))


def _reason(run: Run, now: float, gone: Collection[str]) -> str:
    if run.reason or run.waits_for:
        return run.reason or run.waits_for or ""
    if run.id in gone:
        return "its runner has ended; `ablate run` goes on with it"
    # After a minute it is told that nothing comes any more.
    silent_s = 0.0 if run.logged_at is None or run.trainer == IMPORTED else now - run.logged_at
    return silence(silent_s) if silent_s > _SILENT_S else ""


def _runner(run: Run) -> Cell:
    if run.state is not RunState.RUNNING or run.runner is None:
        return Cell("")
    return Cell(str(place_of(run.runner) or run.runner), run.runner)


def _heard(run: Run, now: float) -> Cell:
    """Say when a run last logged, by the clock of the machine that trains it."""
    if run.logged_at is None:
        return Cell("")
    at = datetime.fromtimestamp(run.logged_at, UTC).isoformat(timespec="seconds")
    return Cell(f"{duration(max(0.0, now - run.logged_at))} ago", at)


def _start(run: Run) -> str:
    return f"{run.parent.variant}@{run.parent.step}" if run.parent else ""


def count_states(runs: Sequence[Run]) -> str:
    """Return ``10 succeeded, 2 queued``."""
    counts = Counter(run.state for run in runs)
    return ", ".join(f"{counts[s]} {s.value}" for s in RunState if counts[s]) or "no runs"


def _count_line(runs: Sequence[Run]) -> str:
    return f"{counted(len(runs), 'run')}: {count_states(runs)}" if runs else count_states(runs)


def _not_listed_line(runs: Sequence[Run]) -> tuple[str, ...]:
    if not runs:
        return ()
    return (f"not listed: {count_states(runs)}; --all lists them too",)


_MOST_LISTED = 50
"""Runs that are listed one by one on a terminal, unless all are asked for."""
_URGENT = (RunState.RUNNING, RunState.FAILED, RunState.DIVERGED, RunState.STOPPED)


def worth_listing(runs: Sequence[Run], remarks: Remarks) -> tuple[list[Run], list[Run]]:
    """Return the runs to list of very many, and the others: first what runs, and what went wrong.

    Of few runs all are listed.
    """
    if len(runs) <= _MOST_LISTED:
        return list(runs), []
    marked = {*remarks.other_code, *remarks.no_numbers}
    ranks = {state: rank for rank, state in enumerate(_URGENT)}
    urgent = [run for run in runs if run.state in ranks or run.id in marked]
    urgent.sort(key=lambda run: ranks.get(run.state, len(ranks)))
    chosen = {(run.study, run.variant, run.seed) for run in urgent[:_MOST_LISTED]}
    listed = [run for run in runs if (run.study, run.variant, run.seed) in chosen]
    return listed, [run for run in runs if (run.study, run.variant, run.seed) not in chosen]
