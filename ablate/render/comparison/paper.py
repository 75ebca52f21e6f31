"""A comparison as a table for a paper: a line for each variant, the best in bold."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.analysis.comparison import ComparedVariant, Comparison, Metric
from ablate.analysis.judging.contrast_text import difference_text
from ablate.analysis.judging.verdicts import Verdict
from ablate.render.comparison.tables import short_names, value_parts
from ablate.render.tables import Cell, Column, Table, to_latex

_ARROWS = {"min": " ↓", "max": " ↑"}


def to_paper(comparison: Comparison) -> str:
    """Return a LaTeX table that needs the package ``booktabs``."""
    return to_latex(_table(comparison), caption=_caption(comparison))


def _table(comparison: Comparison) -> Table:
    rows = [row for row in comparison.rows if row.verdict is not Verdict.NO_DATA]
    # What has only a target to meet is told by verdicts, not by who is best.
    ranked = [m for m in comparison.metrics if m.goal in ("min", "max") or m.is_primary]
    metrics = sorted(ranked or comparison.metrics, key=lambda metric: not metric.is_primary)
    names = short_names(metrics)
    differing = [m for m in metrics if m.is_primary and any(row.references for row in rows)]
    has_one = len({ref for row in rows for ref in row.references}) == 1
    columns = [Column("variant")]
    columns += [Column(f"{names[m.key]}{_arrow(m)}", is_number=True) for m in metrics]
    columns += [Column(f"Δ {names[m.key]}", is_number=True) for m in differing]
    lines = tuple(
        (
            Cell(row.variant),
            *(_value(row, m) for m in metrics),
            *(_difference(row, m, is_named=not has_one) for m in differing),
        )
        for row in rows
    )
    return Table(comparison.study, tuple(columns), lines, _notes(rows, metrics, differing))


def _caption(comparison: Comparison) -> str:
    seeds = sorted({row.runs for row in comparison.rows if row.verdict is not Verdict.NO_DATA})
    many = " to ".join(dict.fromkeys(map(str, (seeds[0], seeds[-1])))) if seeds else "0"
    preview = comparison.preview or comparison.held_back
    warning = f"{preview[:1].upper()}{preview[1:]}. " if preview else ""
    step = f" at step {comparison.at_step}" if comparison.at_step is not None else ""
    return f"{warning}{comparison.study}{step}, mean over {many} seeds."


def _notes(
    rows: Sequence[ComparedVariant], metrics: Sequence[Metric], differing: Sequence[Metric]
) -> tuple[str, ...]:
    notes: list[str] = []
    if any(metric.best for metric in metrics):
        notes.append(
            "Bold: the best mean among variants that did not fail, and what cannot be told from it."
        )
    shown = [
        c
        for row in rows
        for metric in differing
        if (s := row.values.get(metric.key))
        for c in s.contrasts
        if c.reference in row.references
    ]
    if shown:
        references = list(dict.fromkeys(c.reference for c in shown))
        beside = f"to {references[0]}" if len(references) == 1 else "to the variant in brackets"
        notes.append(
            f"Δ: difference {beside}, with the interval of the decision; *: decided, at an error "
            "of 5% for all of them."
        )
    notes.append("±: half of the 95% interval over seeds.")
    return tuple(notes)


def _arrow(metric: Metric) -> str:
    if metric.target is not None and metric.goal == "target":
        return f" ({metric.target})"
    return _ARROWS.get(metric.goal or "", "")


def _value(row: ComparedVariant, metric: Metric) -> Cell:
    summary = row.values.get(metric.key)
    if summary is None:
        return Cell("-")
    text = " ".join(value_parts(row, summary, with_error=True))
    return Cell(text, summary.mean, "strong" if row.variant in metric.best else "plain")


def _difference(row: ComparedVariant, metric: Metric, *, is_named: bool) -> Cell:
    summary = row.values.get(metric.key)
    shown = [
        f"{difference_text(c)}{'*' if c.is_decided else ''}"
        + (f" ({c.reference})" if is_named else "")
        for c in (summary.contrasts if summary else ())
        if c.reference in row.references
    ]
    return Cell("; ".join(shown))
