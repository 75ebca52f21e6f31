"""How far the copy in MLflow is, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from ablate.mirrors.records import Standing
from ablate.render.tables import Cell, Column, Table, Tone

_TONES: dict[str, Tone] = {"whole": "good", "behind": "plain", "parked": "bad"}


def standings_table(standings: Sequence[Standing], uri: str) -> Table:
    """Return the runs with the steps that are in MLflow and in SQL, and what was refused."""
    columns = (
        Column("study"),
        Column("what", is_fixed=True),
        Column("state"),
        Column("copied step", is_number=True),
        Column("step", is_number=True),
        Column("reason"),
        Column("since"),
    )
    counts = Counter(standing.state for standing in standings)
    said = ", ".join(f"{counts[state]} {state}" for state in _TONES if counts[state])
    rows = tuple(map(_row, standings))
    return Table("", columns, rows, (f"{uri}: {said or 'nothing to copy yet'}",))


def _row(standing: Standing) -> tuple[Cell, ...]:
    since = standing.since
    return (
        Cell(standing.study),
        Cell(standing.what, tone="strong"),
        Cell(standing.state, tone=_TONES[standing.state]),
        _step(standing.copied),
        _step(standing.step),
        Cell(standing.reason or ""),
        Cell(f"{datetime.fromtimestamp(since, UTC):%F %T} UTC" if since else "", since),
    )


def _step(value: int | None) -> Cell:
    return Cell("" if value is None else str(value), value)
