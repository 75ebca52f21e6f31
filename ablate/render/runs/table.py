"""Runs as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ablate.domain import IMPORTED, Run, RunState
from ablate.render.tables import Cell, Column, Table, Tone, count_cell
from ablate.text import silence

_TONES: dict[RunState, Tone] = {
    RunState.SUCCEEDED: "good",
    RunState.FAILED: "bad",
    RunState.DIVERGED: "bad",
    RunState.STOPPED: "warn",
    RunState.CANCELLED: "muted",
}
_SILENT_S = 60.0


def runs_table(
    runs: Sequence[Run],
    now: float,
    other_code: Mapping[str, Sequence[str]] = MappingProxyType({}),
    no_numbers: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    """Return runs with their state, step and why they ended or wait; where they branch off.

    Args:
        runs: In their order.
        now: Unix seconds, against which it is told how long a run has logged nothing.
        other_code: Run id -> in what the code that trained it differs from what is there now.
        no_numbers: Run id -> which metrics are NaN or infinite in their newest value.
    """
    has_branches = any(run.parent for run in runs)
    has_inexact = any(run.inexact for run in runs)
    columns = (
        Column("run", is_fixed=True),
        Column("study"),
        Column("phase"),
        Column("seed", is_number=True),
        *([Column("start_at")] if has_branches else []),
        Column("state"),
        Column("step", is_number=True),
        Column("attempts", is_number=True),
        Column("wall_s", is_number=True),
        *([Column("trained by other code")] if other_code else []),
        *([Column("not finite")] if no_numbers else []),
        *([Column("resumed inexactly")] if has_inexact else []),
        Column("reason"),
    )
    rows = tuple(
        (
            Cell(run.id[:8], run.id),
            Cell(run.study),
            Cell(run.variant, tone="strong"),
            count_cell(run.seed),
            *([Cell(_start(run))] if has_branches else []),
            Cell(run.state.value, tone=_TONES.get(run.state, "plain")),
            count_cell(run.step),
            count_cell(run.attempts),
            Cell(f"{run.wall_s:.1f}", run.wall_s),
            *([Cell(", ".join(other_code.get(run.id, ())), tone="warn")] if other_code else []),
            *([Cell(no_numbers.get(run.id, ""), tone="bad")] if no_numbers else []),
            *([Cell(run.inexact or "", tone="warn")] if has_inexact else []),
            Cell(run.reason or run.waits_for or _silence(run, now)),
        )
        for run in runs
    )
    return Table("", columns, rows, (count_states(runs),))


def _silence(run: Run, now: float) -> str:
    """Say that a run logs nothing any more, after a minute of it."""
    silent_s = 0.0 if run.logged_at is None or run.trainer == IMPORTED else now - run.logged_at
    return silence(silent_s) if silent_s > _SILENT_S else ""


def _start(run: Run) -> str:
    return f"{run.parent.variant}@{run.parent.step}" if run.parent else ""


def count_states(runs: Sequence[Run]) -> str:
    """Return ``10 succeeded, 2 queued``."""
    counts = Counter(run.state for run in runs)
    return ", ".join(f"{counts[s]} {s.value}" for s in RunState if counts[s]) or "no runs"
