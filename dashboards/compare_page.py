"""``ablate compare --plot FILE.html``: a comparison with its effects and curves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from ablate.analysis.comparison import Comparison
from ablate.analysis.curves.study_data import StudyData
from ablate.render.comparison.tables import runs_text
from ablate.render.comparison.text import (
    comparison_tables,
    heading,
    method,
    preview,
    verdict_entry,
)
from ablate.render.document import (
    Block,
    Document,
    Drawing,
    Drawings,
    Entries,
    Notes,
    Section,
    Tables,
)
from dashboards.figures.curves import curves_figure, curves_info
from dashboards.figures.effects import effects_figure, effects_info
from dashboards.page import drawing, to_page, write_page
from dashboards.theme import looks


def compare_page(comparison: Comparison, data: StudyData, path: Path) -> None:
    """Write the page; it opens offline."""
    write_page(path, compare_html(comparison, data))


def compare_html(comparison: Comparison, data: StudyData) -> str:
    """Return the page."""
    numbers = count(1)
    keys = [metric.key for metric in comparison.metrics]
    curves = curve_drawings(comparison, data, keys, numbers)
    document = Document(
        title=comparison.study,
        question=comparison.question,
        headline=headline(comparison),
        sections=(
            Section(title="Verdicts", blocks=(cards(comparison),)),
            Section(title="Variants compared", blocks=compared(comparison, numbers)),
            Section(title="Curves", blocks=(Drawings(curves),)),
        ),
    )
    return to_page(document, colors(comparison))


def headline(comparison: Comparison) -> str:
    """Return what was compared and how it came out, in one line."""
    verdicts = [str(row.verdict) for row in comparison.rows]
    counts = [f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts)]
    first = f"{text}. " if (text := preview(comparison)) else ""
    return f"{first}{heading(comparison)}. Of {len(verdicts)} variants: {', '.join(counts)}."


def cards(comparison: Comparison) -> Entries:
    """Return the verdicts, with how many runs each is of."""
    marks = ["baseline, " if row.is_baseline else "" for row in comparison.rows]
    return Entries(
        tuple(
            verdict_entry(row, subtitle=mark + runs_text(row))
            for row, mark in zip(comparison.rows, marks, strict=True)
        )
    )


def colors(comparison: Comparison) -> tuple[str, ...]:
    """Return the variants' colours, in order."""
    names = [row.variant for row in comparison.rows]
    found = looks(names, comparison.baseline)
    return tuple(found[name].color for name in names)


def compared(comparison: Comparison, numbers: Iterable[int]) -> tuple[Block, ...]:
    """Return values, differences, effects and method."""
    return (
        *(Tables((table,)) for table in comparison_tables(comparison)),
        Drawings(effect_drawings(comparison, numbers)),
        Notes((*comparison.notes, *method(comparison))),
    )


def effect_drawings(comparison: Comparison, numbers: Iterable[int]) -> tuple[Drawing, ...]:
    """Return a figure of effects for each metric in which something differs."""
    found = looks([row.variant for row in comparison.rows], comparison.baseline)
    infos = [info for m in comparison.metrics if (info := effects_info(comparison, m))]
    return tuple(
        drawing(
            number,
            effects_figure(info, found),
            f"Differences to {info.baseline} in {info.key}; the table above holds the numbers",
        )
        for info, number in zip(infos, numbers, strict=False)
    )


def curve_drawings(
    comparison: Comparison, data: StudyData, keys: Iterable[str], numbers: Iterable[int]
) -> tuple[Drawing, ...]:
    """Return a figure of curves for each key that any run has logged."""
    found = looks(data.names, comparison.baseline)
    # One after the other: what is to be drawn of all keys together would fill the memory.
    infos = (i for k in keys if (i := curves_info(data, k, at_step=comparison.at_step)))
    return tuple(
        drawing(number, curves_figure(info, found), f"Curves of {info.key} over steps, by variant")
        for info, number in zip(infos, numbers, strict=False)
    )
