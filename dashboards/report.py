"""``ablate report``: a study as one static HTML file or as Markdown, with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

from ablate import keys
from ablate.analysis.comparison import Comparison
from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.findings import Findings, findings_of
from ablate.errors import UsageError
from ablate.render.comparison.sections import diagnosis_lines, finding_tables, onset_table
from ablate.render.comparison.tables import VERDICT_TONES, contrasts_table, runs_text, values_table
from ablate.render.comparison.text import method, verdict_lines
from ablate.render.tables import Table, markdown_text, to_markdown
from dashboards.compare_page import (
    cards,
    colors,
    comparison_section,
    curve_figures,
    headline,
)
from dashboards.page import Page, Part, Section, to_text, write_page
from dashboards.samples import Samples, samples_part, share_of_each

_UNFOLDED = 4
"""Variants shown unfolded; a study of thirty variants would bury its reader."""
_FIRST_CURVES = tuple(group.prefix() for group in (keys.LOSS, keys.AUDIO, keys.RVQ, keys.NORM))
_NO_CURVES = (
    keys.SILENT.prefix(keys.VALID),
    *(group.prefix() for group in (keys.SILENT, keys.WEIGHTED, keys.PERF, keys.SYSTEM)),
)


def write_report(
    path: Path,
    data: StudyData,
    comparison: Comparison,
    samples: Mapping[str, Samples] | None = None,
) -> None:
    """Write the report in the format that the file's name asks for.

    Args:
        path: Where to.
        data: The study.
        comparison: Of its variants.
        samples: Variant -> what there is to hear and see of it; a Markdown report has none.

    Raises:
        UsageError: If the name ends neither in ``.html`` nor in ``.md``.
    """
    match path.suffix.lower():
        case ".html" | ".htm":
            write_page(path, report_html(data, comparison, samples or {}))
        case ".md":
            write_page(path, report_markdown(data, comparison))
        case _:
            raise UsageError(
                f"a report cannot be written as '{path.name}'", hint="end the name in .html or .md"
            )


def report_html(
    data: StudyData, comparison: Comparison, samples: Mapping[str, Samples] | None = None
) -> str:
    """Return the report as one page that opens offline."""
    heard = samples or {}
    numbers = count(1)
    findings = findings_of(data, comparison)
    sections = [
        Section(title="Summary", parts=(Part(cards=cards(comparison)),)),
        comparison_section(comparison, numbers),
    ]
    if onsets := _onsets(data, findings):
        sections.append(Section(title="When it became clear", parts=(Part(tables=(onsets,)),)))
    sections += [_variant_section(comparison, f, i, heard) for i, f in enumerate(findings)]
    first, rest = _curve_keys(data)
    figures = curve_figures(comparison, data, first, numbers)
    sections.append(Section(title="Curves", parts=(Part(figures=figures),)))
    if others := curve_figures(comparison, data, rest, numbers):
        folded = (Part(figures=others),)
        sections.append(
            Section(title="Further curves", parts=folded, summary=f"{len(others)} figures")
        )
    page = Page(
        title=comparison.study,
        question=comparison.question,
        headline=headline(comparison),
        sections=tuple(sections),
        colors=colors(comparison),
    )
    return to_text(page)


def report_markdown(data: StudyData, comparison: Comparison) -> str:
    """Return the report as GitHub Markdown, without figures."""
    findings = findings_of(data, comparison)
    parts = [f"# {markdown_text(comparison.study)}"]
    parts += [markdown_text(comparison.question)] if comparison.question else []
    parts += [markdown_text(headline(comparison)), "## Summary"]
    for row in comparison.rows:
        title, reasons = verdict_lines(row)
        parts.append(
            _items(f"**{markdown_text(title)}** ({markdown_text(runs_text(row))})", reasons)
        )
    parts.append("## Variants compared")
    parts += [to_markdown(t) for t in (values_table(comparison), contrasts_table(comparison)) if t]
    if notes := (*comparison.notes, *method(comparison)):
        parts.append("\n".join(f"- {markdown_text(note)}" for note in notes))
    if onsets := _onsets(data, findings):
        parts += ["## When it became clear", to_markdown(onsets)]
    for found in findings:
        row = comparison.row(found.variant)
        parts.append(f"## {markdown_text(f'{found.variant}: {row.verdict}')}")
        if lines := diagnosis_lines(row, found):
            parts += ["### Diagnosis", "\n".join(f"- {markdown_text(text)}" for text in lines)]
        if found.sentences:
            parts.append("\n".join(f"- {markdown_text(text)}" for text in found.sentences))
        parts += [to_markdown(table) for table in _tables(found, comparison)]
    return "\n\n".join(parts) + "\n"


def _variant_section(
    comparison: Comparison, found: Findings, index: int, samples: Mapping[str, Samples]
) -> Section:
    row = comparison.row(found.variant)
    parts = [Part(title="Diagnosis", lines=lines)] if (lines := diagnosis_lines(row, found)) else []
    parts.append(Part(title="Verdict", lines=row.symptoms))
    if found.sentences:
        parts.append(Part(title="Findings", lines=found.sentences))
    if found.variant in samples:
        share = share_of_each(samples)
        parts.append(samples_part(samples[found.variant], max_bytes=share))
    parts.append(Part(tables=_tables(found, comparison)))
    return Section(
        title=found.variant,
        parts=tuple(parts),
        badge=str(row.verdict),
        tone=VERDICT_TONES[row.verdict],
        summary="" if index < _UNFOLDED else f"{row.verdict}: show tables and findings",
    )


def _tables(found: Findings, comparison: Comparison) -> tuple[Table, ...]:
    return finding_tables(found, comparison.at_step or 0)


def _onsets(data: StudyData, findings: tuple[Findings, ...]) -> Table | None:
    targets = [(key, target.text) for key, target in data.targets.items()]
    return onset_table(findings, targets) if targets and findings else None


def _curve_keys(data: StudyData) -> tuple[list[str], list[str]]:
    """Return the keys that are drawn, those that matter most and the rest."""
    drawable = [key for key in data.keys if not key.startswith(_NO_CURVES)]
    first = [key for key in drawable if key.startswith(_FIRST_CURVES)]
    first = list(dict.fromkeys([*data.declared_keys(), *first]))
    return first, [key for key in drawable if key not in first]


def _items(title: str, reasons: tuple[str, ...]) -> str:
    return "\n".join([f"- {title}", *(f"  - {markdown_text(reason)}" for reason in reasons)])
