"""What `ablate compare` shows below the answer: one table, and what it does not say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ablate.analysis.comparison import ComparedVariant, Comparison, Metric
from ablate.analysis.judging.contrast_text import difference_text
from ablate.analysis.judging.verdicts import Verdict
from ablate.analysis.statistics.contrasts import Contrast
from ablate.analysis.statistics.summaries import MetricSummary
from ablate.analysis.wording import number
from ablate.render.comparison.tables import (
    contrast_cell,
    short_names,
    values_table,
    verdict_cell,
)
from ablate.render.document import Block, Items, Notes, Paragraph, Tables
from ablate.render.tables import Cell, Column, Table
from ablate.rules import Status
from ablate.text import counted, few

FEW = 4
"""Up to so many variants stand side by side, with all metrics; more of them have a line each."""
MOST_LINES = 40
"""Of more variants than this, the first have a line."""
_MOST_REASONS = 10
_ORDER = (
    Verdict.PASSED,
    Verdict.DEGRADING,
    Verdict.UNRESOLVED,
    Verdict.UNDER_WAY,
    Verdict.NO_EFFECT,
    Verdict.NOT_JUDGED,
    Verdict.FAILED,
)


def brief_blocks(comparison: Comparison) -> tuple[Block, ...]:
    """Return the table, the reasons, who has no data, and what a reader must know."""
    shown = sorted_rows(comparison)
    table = _side_by_side if len(shown) <= FEW else standings_table
    tables = Tables((table(comparison, shown),)) if shown else None
    reasons = _reasons(shown[:MOST_LINES])
    last = without_data(comparison)
    return (
        *([tables] if tables else []),
        *([Items(_cut(reasons))] if reasons else []),
        *([Notes((*last, *comparison.notes))] if last or comparison.notes else []),
        Paragraph((_how(comparison),)),
    )


def sorted_rows(comparison: Comparison) -> list[ComparedVariant]:
    """Return the variants with data: by verdict, by targets met, by the first primary metric."""
    rows = [row for row in comparison.rows if row.verdict is not Verdict.NO_DATA]
    metric = next((m for m in comparison.metrics if m.is_primary), None)
    return sorted(
        rows, key=lambda row: (_ORDER.index(row.verdict), -row.targets_met, _place(row, metric))
    )


def _place(row: ComparedVariant, metric: Metric | None) -> float:
    """Return what is less the better a variant's mean is; infinite where nothing says it."""
    summary = row.values.get(metric.key) if metric else None
    sign = {"min": 1.0, "max": -1.0}.get(metric.goal or "") if metric else None
    if summary is None or sign is None or not math.isfinite(summary.mean):
        return math.inf
    return sign * summary.mean


def _side_by_side(comparison: Comparison, rows: Sequence[ComparedVariant]) -> Table:
    """Return all metrics with a column for each variant, differences under the primary ones."""
    names = {row.variant for row in rows}
    ordered = [row for row in comparison.rows if row.variant in names]
    table = values_table(replace(comparison, rows=tuple(ordered)), with_error=False)
    lines = list(table.rows)
    for metric in (m for m in comparison.metrics if m.is_primary):
        at = next(i for i, line in enumerate(lines) if line[0].text == metric.key)
        lines[at + 1 : at + 1] = _difference_rows(ordered, metric)
    return replace(table, title="", rows=tuple(lines))


def _difference_rows(rows: Sequence[ComparedVariant], metric: Metric) -> list[tuple[Cell, ...]]:
    """Return a row for each place in the order of references, named where it is one for all."""
    found: list[tuple[Cell, ...]] = []
    for place in range(max(len(row.references) for row in rows)):
        names = {row.references[place] for row in rows if place < len(row.references)}
        head = f"  against {names.pop()}" if len(names) == 1 else "  difference"
        cells = [_difference(row, metric, place, is_named=bool(names)) for row in rows]
        found.append((Cell(head), Cell(""), *cells))
    return found


def _difference(row: ComparedVariant, metric: Metric, place: int, *, is_named: bool) -> Cell:
    if place >= len(row.references):
        return Cell("")
    reference = row.references[place]
    summary = row.values.get(metric.key)
    cell = contrast_cell(row, summary.contrast_to(reference) if summary else None)
    if not is_named or cell.text == "-":
        return cell
    return replace(cell, text=f"{cell.text} ({reference})", lines=(*cell.lines, f"({reference})"))


def without_data(comparison: Comparison) -> tuple[str, ...]:
    """Return one line that names the variants that have no data, or none."""
    missing = [row.variant for row in comparison.rows if row.verdict is Verdict.NO_DATA]
    return (f"no data: {few(missing, 10)}",) if missing else ()


def standings_table(comparison: Comparison, rows: Sequence[ComparedVariant]) -> Table:
    """Return a line for each variant: verdict, targets, the first primary metric, difference.

    Where no metric is primary, the first that is compared stands there.
    """
    metric = next((m for m in comparison.metrics if m.is_primary), None)
    metric = metric or next(iter(comparison.metrics), None)
    columns = [Column("variant", is_fixed=True), Column("verdict", is_fixed=True)]
    has_targets = any(row.targets for row in rows)
    columns += [Column("targets", is_number=True)] if has_targets else []
    if metric:
        name = short_names(comparison.metrics)[metric.key]
        columns += [Column(name, is_number=True), Column("difference")]
    return Table(
        "",
        tuple(columns),
        tuple(
            (
                Cell(row.variant, None, "strong"),
                verdict_cell(row),
                *([_targets_cell(row)] if has_targets else []),
                *(_primary_cells(row, metric) if metric else []),
            )
            for row in rows[:MOST_LINES]
        ),
        _left_out(len(rows)),
    )


def _left_out(variants: int) -> tuple[str, ...]:
    if variants <= MOST_LINES:
        return ()
    return (f"the first {MOST_LINES} of {variants} variants; `ablate compare --full` shows all",)


def _cut(reasons: Sequence[str]) -> tuple[str, ...]:
    left = len(reasons) - _MOST_REASONS
    more = (f"{counted(left, 'more reason')} with --full",) if left > 0 else ()
    return (*reasons[:_MOST_REASONS], *more)


def _targets_cell(row: ComparedVariant) -> Cell:
    text = f"{row.targets_met} of {row.targets}" if row.targets else "-"
    return Cell(text, row.targets_met)


def _primary_cells(row: ComparedVariant, metric: Metric) -> list[Cell]:
    summary = row.values.get(metric.key)
    if summary is None:
        return [Cell("-", None, "muted"), Cell("")]
    value = Cell(number(summary.mean), summary.mean)
    contrast = next((c for c in summary.contrasts if c.reference in row.references), None)
    if contrast is None:
        return [value, Cell("")]
    cell = contrast_cell(row, contrast)
    parts = _beside(contrast)
    return [value, replace(cell, text=" ".join(parts), lines=parts)]


def _beside(contrast: Contrast) -> tuple[str, str]:
    """Return ``-12%`` and ``better than phase_a``: the size, and what follows beside what."""
    size = difference_text(contrast).partition(" [")[0]
    words = {"better": "better than", "worse": "worse than", "equal": "equal to"}
    if contrast.verdict in words:
        return size, f"{words[contrast.verdict]} {contrast.reference}"
    return size, f"{contrast.verdict or ''} vs {contrast.reference}".strip()


def _reasons(rows: Sequence[ComparedVariant]) -> list[str]:
    """Return the one reason for each that did not pass, those together that have the same."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.symptoms and not _is_told(row):
            reason = f"{row.verdict}: {row.symptoms[0]}{_missed_too(row)}"
            groups.setdefault(reason, []).append(row.variant)
    return [f"{few(names)} {reason}" for reason, names in groups.items()]


def _missed_too(row: ComparedVariant) -> str:
    """Name the targets that are missed and of which the first reason does not speak."""
    told = row.symptoms[0].split()
    missed = [
        key
        for key, summary in row.values.items()
        if summary.status in (Status.DEGRADING, Status.CRITICAL) and key not in told
    ]
    return f"; {few(missed)} missed too" if missed else ""


def _is_told(row: ComparedVariant) -> bool:
    """Whether the answer and the table say all there is to say of a variant in one line."""
    match row.verdict:
        case Verdict.PASSED:
            return True
        case Verdict.FAILED:
            return bool(row.causes)  # the answer names the cause
        case Verdict.UNRESOLVED:
            is_whole = not (row.diverged or row.failed or row.stopped or row.unfinished)
            return (
                is_whole
                and row.targets_met == row.targets
                and any(map(_is_open, row.values.values()))
            )
        case Verdict.NOT_JUDGED:
            return row.is_baseline
        case _:
            return False


def _is_open(summary: MetricSummary) -> bool:
    return any(c.is_primary and c.p_t is not None and not c.is_decided for c in summary.contrasts)


def _how(comparison: Comparison) -> str:
    contrasts = [
        c
        for row in comparison.rows
        for s in row.values.values()
        for c in s.contrasts
        if c.is_primary and c.p_holm is not None
    ]
    error = "Decisions err in at most 5% of studies. " if contrasts else ""
    return f"{error}With --full: all values, differences, reasons and the method."
