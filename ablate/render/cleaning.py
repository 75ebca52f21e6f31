"""What can be cleaned away, as a table and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.render.formats import file_size
from ablate.render.tables import Cell, Column, Table

if TYPE_CHECKING:
    from ablate.app.cleaning import Leftover

_COLUMNS = (
    Column("run", is_fixed=True),
    Column("study"),
    Column("phase"),
    Column("seed", is_number=True),
    Column("state"),
    Column("points", is_number=True),
    Column("checkpoints", is_number=True),
    Column("size", is_number=True),
    Column("kept because"),
)


def leftovers_table(found: Sequence[Leftover]) -> Table:
    """Return a row for each run that no study wants, and each folder without a run."""
    notes = (f"{_counted(found)}, {file_size(_bytes(found))}",)
    return Table("", _COLUMNS, tuple(map(_row, found)), notes)


def _row(item: Leftover) -> tuple[Cell, ...]:
    size = Cell(file_size(item.size_bytes), item.size_bytes)
    name, kept = Cell(item.name[:8], item.name), Cell(item.kept_because or "", tone="warn")
    if item.orphan is None:
        return (name, *[Cell("")] * 3, Cell("no run", tone="muted"), Cell(""), Cell(""), size, kept)
    run = item.orphan.run
    return (
        name,
        Cell(run.study),
        Cell(run.variant, tone="strong"),
        Cell(str(run.seed), run.seed),
        Cell(run.state.value),
        Cell(f"{item.orphan.points:,}", item.orphan.points),
        Cell(str(item.orphan.checkpoints), item.orphan.checkpoints),
        size,
        kept,
    )


def _bytes(found: Sequence[Leftover]) -> int:
    return sum(item.size_bytes for item in found)


def _counted(found: Sequence[Leftover]) -> str:
    folders = sum(item.orphan is None for item in found)
    runs = len(found) - folders
    parts = [f"{runs} run{'s' * (runs != 1)} that no study wants"] if runs or not folders else []
    if folders:
        parts.append(f"{folders} folder{'s' * (folders != 1)} without a run")
    return " and ".join(parts)


def deleted_line(deleted: Sequence[Leftover], found: Sequence[Leftover]) -> str:
    """Return what was deleted of what was found."""
    if not deleted:
        return "nothing was deleted"
    kept = f"; {n} kept" if (n := len(found) - len(deleted)) else ""
    return f"deleted {_counted(deleted)}, {file_size(_bytes(deleted))}{kept}"
