"""``ablate compare --plot FILE.html``: a comparison with its effects and curves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from ablate.analysis.comparison import Comparison
from ablate.analysis.curves.study_data import StudyData
from ablate.render.comparison.tables import VERDICT_TONES, contrasts_table, runs_text, values_table
from ablate.render.comparison.text import heading, method, preview
from dashboards.figures.curves import curves_figure, curves_info
from dashboards.figures.effects import effects_figure, effects_info
from dashboards.page import Card, Drawn, Page, Part, Section, drawn, to_text, write_page
from dashboards.theme import looks


def compare_page(comparison: Comparison, data: StudyData, path: Path) -> None:
    """Write the page; it opens offline."""
    write_page(path, compare_html(comparison, data))


def compare_html(comparison: Comparison, data: StudyData) -> str:
    """Return the page."""
    numbers = count(1)
    keys = [metric.key for metric in comparison.metrics]
    curves = curve_figures(comparison, data, keys, numbers)
    page = Page(
        title=comparison.study,
        question=comparison.question,
        headline=headline(comparison),
        colors=colors(comparison),
        sections=(
            Section(title="Verdicts", parts=(Part(cards=cards(comparison)),)),
            comparison_section(comparison, numbers),
            Section(title="Curves", parts=(Part(figures=curves),)),
        ),
    )
    return to_text(page)


def headline(comparison: Comparison) -> str:
    """Return what was compared and how it came out, in one line."""
    verdicts = [str(row.verdict) for row in comparison.rows]
    counts = [f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts)]
    first = f"{text}. " if (text := preview(comparison)) else ""
    return f"{first}{heading(comparison)}. Of {len(verdicts)} variants: {', '.join(counts)}."


def cards(comparison: Comparison, *, limit: int = 5) -> tuple[Card, ...]:
    """Return the verdicts with their weightiest reasons."""
    return tuple(
        Card(
            title=row.variant,
            badge=str(row.verdict),
            tone=VERDICT_TONES[row.verdict],
            subtitle=("baseline, " if row.is_baseline else "") + runs_text(row),
            lines=row.reasons[:limit],
            look=i,
        )
        for i, row in enumerate(comparison.rows)
    )


def colors(comparison: Comparison) -> tuple[str, ...]:
    """Return the variants' colours, in order."""
    names = [row.variant for row in comparison.rows]
    found = looks(names, comparison.baseline)
    return tuple(found[name].color for name in names)


def comparison_section(comparison: Comparison, numbers: Iterable[int]) -> Section:
    """Return values, differences, effects and method."""
    contrasts = contrasts_table(comparison)
    parts = [Part(tables=(values_table(comparison),))]
    if contrasts:
        effects = effect_figures(comparison, numbers)
        parts.append(Part(tables=(contrasts,), figures=effects))
    parts.append(Part(paragraphs=(*comparison.notes, *method(comparison))))
    return Section(title="Variants compared", parts=tuple(parts))


def effect_figures(comparison: Comparison, numbers: Iterable[int]) -> tuple[Drawn, ...]:
    """Return a figure of effects for each metric in which something differs."""
    found = looks([row.variant for row in comparison.rows], comparison.baseline)
    infos = [info for m in comparison.metrics if (info := effects_info(comparison, m))]
    return tuple(
        drawn(
            number,
            effects_figure(info, found),
            f"Differences to {info.baseline} in {info.key}; the table above holds the numbers",
        )
        for info, number in zip(infos, numbers, strict=False)
    )


def curve_figures(
    comparison: Comparison, data: StudyData, keys: Iterable[str], numbers: Iterable[int]
) -> tuple[Drawn, ...]:
    """Return a figure of curves for each key that any run has logged."""
    found = looks(data.names, comparison.baseline)
    # One after the other: what is to be drawn of all keys together would fill the memory.
    infos = (i for k in keys if (i := curves_info(data, k, at_step=comparison.at_step)))
    return tuple(
        drawn(number, curves_figure(info, found), f"Curves of {info.key} over steps, by variant")
        for info, number in zip(infos, numbers, strict=False)
    )
