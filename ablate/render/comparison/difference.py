"""In what two variants or runs differ, as a table with the answer above."""

from __future__ import annotations

import math
from typing import Any

from ablate.app.differing import CurveDifference, Difference
from ablate.domain import Json
from ablate.render.formats import number
from ablate.render.tables import Cell, Column, Table
from ablate.text import counted, few, listed, written

_COLUMNS = (
    Column("what", is_fixed=True),
    Column("name", is_fixed=True),
    Column("first", is_number=True),
    Column("second", is_number=True),
    Column("parts at", is_number=True),
    Column("apart from", is_number=True),
)


def difference_table(found: Difference) -> Table:
    """Return config keys, files of code, and the curves that part, by the step at which they do."""
    rows = [_config_row(*change) for change in found.config]
    rows += [(Cell("code"), Cell(name), *_empty(4)) for name in found.code or ()]
    rows += [_curve_row(curve) for curve in found.parted]
    return Table(sentence(found), _COLUMNS, tuple(rows), tuple(_notes(found)))


def difference_object(found: Difference) -> dict[str, Any]:
    """Return what stands beside the rows in JSON."""
    return {
        "first": found.first,
        "second": found.second,
        "seeds": list(found.seeds),
        "code_known": found.code is not None,
        "first_step": found.parted[0].parting.first if found.parted else None,
        "equal_curves": len(found.curves) - len(found.parted),
        "only_in_one": list(found.only),
    }


def sentence(found: Difference) -> str:
    """Return in what they differ and where they part, in one sentence without a full stop."""
    parts = [counted(len(found.config), "config key") if found.config else "no config key"]
    if found.code:
        parts.append(f"the code of {few(found.code)}")
    text = f"{found.second} differs from {found.first} in {listed(parts)}"
    if not found.seeds:
        return f"{text}; they share no seed, so no curves are compared"
    if not found.curves:
        return f"{text}; they have no step of a metric in common"
    if not found.parted:
        return f"{text}; all {counted(len(found.curves), 'curve')} are equal to the bit"
    first = found.parted[0]
    return f"{text}; they part first at step {first.parting.first}, in {first.key}"


def _notes(found: Difference) -> list[str]:
    notes: list[str] = []
    if found.parted:
        seeds = listed([str(seed) for seed in found.seeds])
        notes.append(
            f"curves: values at the last step that both have; parts at: the first step that "
            f"differs in any bit, of seed {seeds}; apart from: from there on they differ by a "
            "fifth or more, to the end"
        )
    equal = [c.key for c in found.curves if c.parting.first is None]
    if equal and found.parted:
        notes.append(f"equal to the bit: {few(equal)}")
    if found.only:
        notes.append(f"logged by one alone: {few(found.only)}")
    if found.code is None:
        notes.append("the code of one of them is not known")
    return notes


def _config_row(key: str, first: Json, second: Json) -> tuple[Cell, ...]:
    return (Cell("config"), Cell(key), _value(first), _value(second), *_empty(2))


def _value(value: Json) -> Cell:
    return Cell("(absent)", None, "muted") if value is None else Cell(written(value))


def _curve_row(curve: CurveDifference) -> tuple[Cell, ...]:
    first, second = curve.parting.values
    lasting = curve.parting.lasting
    return (
        Cell("curve"),
        Cell(curve.key),
        _number(first),
        _number(second),
        Cell(str(curve.parting.first), curve.parting.first),
        Cell("" if lasting is None else str(lasting), lasting),
    )


def _number(value: float) -> Cell:
    # What JSON cannot hold is null there, in words elsewhere.
    return Cell(number(value), value if math.isfinite(value) else None)


def _empty(count: int) -> tuple[Cell, ...]:
    return (Cell(""),) * count
