"""What an import does, as a table."""

from __future__ import annotations

from ablate.app.imports.importing import Import
from ablate.render.tables import Cell, Column, Table


def arrivals_table(planned: Import) -> Table:
    """Return a row for each run of the source: where it goes, and whether it is new."""
    columns = (
        Column("variant", is_fixed=True),
        Column("seed", is_number=True),
        Column("change"),
        Column("points", is_number=True),
        Column("state"),
        Column("source", is_below=True),
    )
    rows = tuple(
        (
            Cell(a.cell.variant, tone="strong"),
            Cell(str(a.cell.seed), a.cell.seed),
            Cell(a.change),
            Cell(str(a.run.points.counts.kept), a.run.points.counts.kept),
            Cell(a.run.state.value),
            Cell(a.run.source),
        )
        for a in planned.arrivals
    )
    return Table("", columns, rows)
