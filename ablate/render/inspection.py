"""What is in a checkpoint, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.inspection.checkpoint import Difference, Snapshot, TensorRow
from ablate.inspection.facts import TensorFacts
from ablate.render.formats import number, percent
from ablate.render.tables import Cell, Column, Table

_DIGESTS = {
    True: "verified",
    False: "NOT the recorded one: the file was altered after it was written",
    None: "nothing recorded to verify it by",
}


def rows_table(snapshot: Snapshot, rows: Sequence[TensorRow]) -> Table:
    """Return a row for each tensor; statistics are over the finite elements."""
    columns = (
        Column("name", is_fixed=True),
        Column("shape"),
        Column("type"),
        *(Column(title, is_number=True) for title in ("norm", "drift", "mean", "deviation")),
        *(Column(title, is_number=True) for title in ("min", "max", "not finite", "zeros")),
        Column("codes in use", is_number=True),
    )
    cells = tuple(
        (
            Cell(row.name),
            *_shape_cells(row.facts),
            _number_cell(row.facts.norm),
            Cell(percent(row.drift), row.drift),
            _number_cell(row.facts.mean),
            _number_cell(row.facts.deviation),
            _number_cell(row.facts.low),
            _number_cell(row.facts.high),
            Cell(
                str(row.facts.not_finite),
                row.facts.not_finite,
                "bad" if row.facts.not_finite else "plain",
            ),
            Cell(percent(row.facts.zeros, signed=False), row.facts.zeros),
            _codes_cell(row),
        )
        for row in rows
    )
    notes = (*_notes(snapshot), "drift: of the norm since step 0")
    return Table(snapshot.label, columns, cells, notes)


def differences_table(here: Snapshot, there: Snapshot, rows: Sequence[Difference]) -> Table:
    """Return a row for each tensor of two checkpoints, and which of them has it alone."""
    columns = (
        Column("name", is_fixed=True),
        Column("shape"),
        Column("type"),
        Column("norm here", is_number=True),
        Column("norm there", is_number=True),
        Column("norm change", is_number=True),
        Column("difference", is_number=True),
        Column("remark"),
    )
    cells = tuple(
        (
            Cell(row.name),
            *_shape_cells(row.here or row.there),
            _number_cell(row.here.norm if row.here else None),
            _number_cell(row.there.norm if row.there else None),
            Cell(percent(row.norm_change), row.norm_change),
            _number_cell(row.distance),
            _remark(row),
        )
        for row in rows
    )
    notes = (
        *(f"here: {here.label}; {note}" for note in _notes(here)),
        *(f"there: {there.label}; {note}" for note in _notes(there)),
        "difference: |here - there| / |there|",
    )
    return Table(f"{here.label} against {there.label}", columns, cells, notes)


def snapshot_object(snapshot: Snapshot) -> dict[str, Any]:
    """Return what JSON says of a checkpoint beside its rows."""
    return {
        "label": snapshot.label,
        "path": str(snapshot.path),
        "size_bytes": snapshot.size_bytes,
        "written": snapshot.written.isoformat(),
        "step": snapshot.step,
        "attempt": snapshot.attempt,
        "sha256": snapshot.sha256,
        "verified": snapshot.is_verified,
        "environment": dict(snapshot.environment),
    }


def _notes(snapshot: Snapshot) -> tuple[str, ...]:
    facts: Mapping[str, Any] = {
        "step": snapshot.step,
        "attempt": snapshot.attempt,
        "written": f"{snapshot.written:%Y-%m-%d %H:%M:%S} UTC",
        "bytes": snapshot.size_bytes,
        **snapshot.environment,
    }
    known = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    return known, f"sha256 {snapshot.sha256[:16]}: {_DIGESTS[snapshot.is_verified]}"


def _shape_cells(facts: TensorFacts | None) -> tuple[Cell, Cell]:
    if facts is None:
        return Cell(""), Cell("")
    return Cell(" x ".join(map(str, facts.shape)) or "-"), Cell(facts.dtype)


def _number_cell(value: float | None) -> Cell:
    return Cell(number(value), value)


def _codes_cell(row: TensorRow) -> Cell:
    if row.codes is None:
        return Cell("")
    return Cell(f"{number(row.codes)} of {row.facts.shape[0]}", row.codes)


def _remark(row: Difference) -> Cell:
    if row.there is None:
        return Cell("only here", None, "warn")
    if row.here is None:
        return Cell("only there", None, "warn")
    if row.here.shape != row.there.shape:
        shape = " x ".join(map(str, row.there.shape))
        return Cell(f"shape there: {shape or '-'}", None, "warn")
    return Cell("equal" if row.distance == 0 else "", None, "muted")
