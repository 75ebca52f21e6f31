"""``ablate compare --plot FILE.html``: a comparison with its effects and curves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from ablate.analysis.answer import answer_of
from ablate.analysis.comparison import ComparedVariant, Comparison
from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.judging.verdicts import Verdict
from ablate.render.comparison.brief import sorted_rows, standings_table, without_data
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
from ablate.rules import Status
from dashboards.figures.curves import curves_figure, curves_info
from dashboards.figures.effects import effects_figure, effects_info
from dashboards.figures.standings import described, standings_figure, standings_info
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
        answer=answer_of(comparison),
        headline=headline(comparison),
        sections=(
            Section(title="Summary", blocks=first_screen(comparison, numbers)),
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


_MOST_STANDINGS = 4


def first_screen(comparison: Comparison, numbers: Iterable[int]) -> tuple[Block, ...]:
    """Return the summary with a figure of each metric that decides, then of missed targets."""
    return (*summary(comparison), Drawings(standing_drawings(comparison, numbers)))


def summary(comparison: Comparison) -> tuple[Block, ...]:
    """Return the variants sorted by verdict, a line for each, and who has no data."""
    rows, missing = sorted_rows(comparison), without_data(comparison)
    table = (Tables((standings_table(comparison, rows),)),) if rows else ()
    return (*table, *((Notes(missing),) if missing else ()))


def standing_drawings(comparison: Comparison, numbers: Iterable[int]) -> tuple[Drawing, ...]:
    """Return a figure of where the variants stand for a few metrics, those that decide first."""
    found = looks([row.variant for row in comparison.rows], comparison.baseline)
    rows = sorted_rows(comparison)
    missed = [
        metric
        for metric in comparison.metrics
        if metric.target and not metric.is_primary and _is_missed(rows, metric.key)
    ]
    wanted = [*(m for m in comparison.metrics if m.is_primary), *missed][:_MOST_STANDINGS]
    infos = [info for metric in wanted if (info := standings_info(comparison, metric, rows))]
    return tuple(
        drawing(number, standings_figure(info, found), described(info))
        for info, number in zip(infos, numbers, strict=False)
    )


def _is_missed(rows: Iterable[ComparedVariant], key: str) -> bool:
    statuses = [s.status for row in rows if (s := row.values.get(key))]
    return any(status not in (None, Status.GOOD) for status in statuses)


def cards(comparison: Comparison) -> Entries:
    """Return the verdicts on what has data, with how many runs each is of."""
    return Entries(
        tuple(
            verdict_entry(row, subtitle="baseline, " * row.is_baseline + runs_text(row))
            for row in comparison.rows
            if row.verdict is not Verdict.NO_DATA
        )
    )


def colors(comparison: Comparison) -> tuple[str, ...]:
    """Return the colours of the cards, in order."""
    found = looks([row.variant for row in comparison.rows], comparison.baseline)
    seen = [row for row in comparison.rows if row.verdict is not Verdict.NO_DATA]
    return tuple(found[row.variant].color for row in seen)


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
            f"Differences in {info.key}; the table above holds the numbers",
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
