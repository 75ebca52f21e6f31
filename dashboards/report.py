"""``ablate report``: a study as one static HTML file or as Markdown, with the same numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

from ablate import keys
from ablate.analysis.answer import answer_of
from ablate.analysis.comparison import ComparedVariant, Comparison
from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.findings import Findings, findings_of
from ablate.analysis.judging.verdicts import Verdict
from ablate.errors import UsageError
from ablate.render.comparison.sections import diagnosis_lines, finding_tables, onset_table
from ablate.render.comparison.tables import VERDICT_TONES, runs_text
from ablate.render.comparison.text import comparison_tables, method, verdict_entry
from ablate.render.document import (
    Block,
    Document,
    Drawings,
    Entries,
    Heading,
    Items,
    Notes,
    Section,
    Tables,
    to_markdown,
)
from dashboards.compare_page import (
    cards,
    colors,
    compared,
    curve_drawings,
    first_screen,
    headline,
    summary,
)
from dashboards.page import to_page, write_page
from dashboards.samples import Samples, sample_blocks, share_of_each

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
    seen = _seen(comparison, findings)
    sections = [
        Section(title="Summary", blocks=first_screen(comparison, numbers)),
        Section(title="Verdicts", blocks=(cards(comparison),)),
        Section(title="Variants compared", blocks=compared(comparison, numbers)),
        *_onsets(data, findings),
        *(_variant_section(comparison, f, i, heard) for i, f in enumerate(seen)),
        *_curve_sections(comparison, data, numbers),
    ]
    return to_page(_report(comparison, sections), colors(comparison))


def report_markdown(data: StudyData, comparison: Comparison) -> str:
    """Return the report as GitHub Markdown, without figures."""
    findings = findings_of(data, comparison)
    seen = [row for row in comparison.rows if row.verdict is not Verdict.NO_DATA]
    verdicts = Entries(tuple(verdict_entry(row, runs_text(row)) for row in seen))
    notes = Notes((*comparison.notes, *method(comparison)))
    compared = (Tables(comparison_tables(comparison)), notes)
    sections = [
        Section(title="Summary", blocks=summary(comparison)),
        Section(title="Verdicts", blocks=(verdicts,)),
        Section(title="Variants compared", blocks=compared),
        *_onsets(data, findings),
        *(_variant_text(comparison, found) for found in _seen(comparison, findings)),
    ]
    return to_markdown(_report(comparison, sections)) + "\n"


def _seen(comparison: Comparison, findings: Sequence[Findings]) -> list[Findings]:
    """Return the findings about variants that have data; the summary names the others."""
    seen = {row.variant for row in comparison.rows if row.verdict is not Verdict.NO_DATA}
    return [found for found in findings if found.variant in seen]


def _report(comparison: Comparison, sections: Sequence[Section]) -> Document:
    return Document(
        title=comparison.study,
        question=comparison.question,
        answer=answer_of(comparison),
        headline=headline(comparison),
        sections=tuple(sections),
    )


def _variant_section(
    comparison: Comparison, found: Findings, index: int, samples: Mapping[str, Samples]
) -> Section:
    row = comparison.row(found.variant)
    blocks = [*_diagnosis(row, found), Heading("Verdict"), Items(row.symptoms)]
    if found.sentences:
        blocks += [Heading("Findings"), Items(found.sentences)]
    if found.variant in samples:
        share = share_of_each(samples)
        blocks += sample_blocks(samples[found.variant], max_bytes=share)
    blocks.append(_tables(found, comparison))
    return Section(
        title=found.variant,
        blocks=tuple(blocks),
        badge=str(row.verdict),
        tone=VERDICT_TONES[row.verdict],
        summary="" if index < _UNFOLDED else f"{row.verdict}: show tables and findings",
    )


def _variant_text(comparison: Comparison, found: Findings) -> Section:
    """Return what the summary, which has every reason here, does not say."""
    row = comparison.row(found.variant)
    blocks = (*_diagnosis(row, found), Items(found.sentences), _tables(found, comparison))
    return Section(title=found.variant, badge=str(row.verdict), blocks=blocks)


def _diagnosis(row: ComparedVariant, found: Findings) -> tuple[Block, ...]:
    lines = diagnosis_lines(row, found)
    return (Heading("Diagnosis"), Items(lines)) if lines else ()


def _tables(found: Findings, comparison: Comparison) -> Tables:
    return Tables(finding_tables(found, comparison.at_step or 0))


def _curve_sections(
    comparison: Comparison, data: StudyData, numbers: Iterable[int]
) -> Iterator[Section]:
    first, rest = _curve_keys(data)
    drawings = Drawings(curve_drawings(comparison, data, first, numbers))
    yield Section(title="Curves", blocks=(drawings,))
    if others := curve_drawings(comparison, data, rest, numbers):
        summary = f"{len(others)} figures"
        yield Section(title="Further curves", blocks=(Drawings(others),), summary=summary)


def _onsets(data: StudyData, findings: Sequence[Findings]) -> Iterator[Section]:
    targets = [(key, target.text) for key, target in data.targets.items()]
    if targets and findings:
        table = onset_table(findings, targets)
        yield Section(title="When it became clear", blocks=(Tables((table,)),))


def _curve_keys(data: StudyData) -> tuple[list[str], list[str]]:
    """Return the keys that are drawn, those that matter most and the rest."""
    drawable = [key for key in data.keys if not key.startswith(_NO_CURVES)]
    first = [key for key in drawable if key.startswith(_FIRST_CURVES)]
    first = list(dict.fromkeys([*data.declared_keys(), *first]))
    return first, [key for key in drawable if key not in first]
