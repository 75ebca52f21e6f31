"""A comparison as text that a stranger understands: values, differences, verdicts, method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ablate.analysis.answer import answer_of
from ablate.analysis.comparison import ComparedVariant, Comparison, Metric
from ablate.analysis.statistics.contrasts import Contrast, Method
from ablate.render import document
from ablate.render.comparison import machine
from ablate.render.comparison.brief import brief_blocks
from ablate.render.comparison.paper import to_paper
from ablate.render.comparison.tables import VERDICT_TONES, contrasts_table, values_table
from ablate.render.document import Document, Entries, Entry, Notes, Paragraph, Section, Tables
from ablate.render.tables import Table
from ablate.text import counted, listed

Format = Literal["table", "md", "csv", "json", "ndjson", "html", "latex"]


def render(
    comparison: Comparison,
    fmt: Format = "table",
    *,
    width: int | None = None,
    color: bool = False,
    is_full: bool = False,
) -> str:
    """Return a comparison as text without a final line break.

    Args:
        comparison: What to show.
        fmt: One of the output formats.
        is_full: For people: whether to write all there is, not what fits a screen. Formats for
            machines and papers have all anyway.
        width: For ``table``: columns of the terminal to fit; None for plain text, whole, as a pipe
            gets it.
        color: For ``table`` with a width: whether to write colours.
    """
    made = comparison_document if is_full else brief_document
    writers: dict[Format, Callable[[], str]] = {
        "table": lambda: _table(made(comparison), width, color),
        "md": lambda: document.to_markdown(made(comparison), level=2),
        "csv": lambda: machine.to_csv(comparison).removesuffix("\n"),
        "json": lambda: machine.to_json(comparison),
        "ndjson": lambda: machine.to_ndjson(comparison),
        "html": lambda: document.to_html(made(comparison)),
        "latex": lambda: to_paper(comparison),
    }
    return writers[fmt]()


def brief_document(comparison: Comparison) -> Document:
    """Return what fits a screen: the answer, one table, and a reason for each."""
    sections = [Section(blocks=(block,)) for block in brief_blocks(comparison)]
    return _document(comparison, sections)


def comparison_document(comparison: Comparison) -> Document:
    """Return the values, the differences, the verdicts with all their reasons, and the method."""
    entries = tuple(verdict_entry(row) for row in comparison.rows)
    return _document(
        comparison,
        [
            Section(blocks=(Tables(comparison_tables(comparison)),)),
            Section(title="Verdicts", blocks=(Entries(entries),)),
            Section(blocks=(Notes(comparison.notes), Paragraph(method(comparison)))),
        ],
    )


def _document(comparison: Comparison, sections: Sequence[Section]) -> Document:
    return Document(
        title=comparison.study,
        question=comparison.question,
        answer=answer_of(comparison),
        headline=heading(comparison),
        warning=preview(comparison),
        sections=tuple(sections),
    )


def comparison_tables(comparison: Comparison) -> tuple[Table, ...]:
    """Return the values, and the differences where there are any."""
    tables = (values_table(comparison), contrasts_table(comparison))
    return tuple(table for table in tables if table)


def verdict_entry(row: ComparedVariant, subtitle: str = "") -> Entry:
    """Return a variant with its verdict and all reasons."""
    return Entry(
        title=row.variant,
        badge=str(row.verdict),
        tone=VERDICT_TONES[row.verdict],
        subtitle=subtitle,
        lines=row.reasons,
    )


def heading(comparison: Comparison) -> str:
    """Return ``At step 2500, 8 runs``."""
    if comparison.at_step is None:
        return "Nothing to compare yet: no run has logged a point"
    runs = counted(sum(row.runs for row in comparison.rows), "run")
    return f"At step {comparison.at_step}, {runs}"


def preview(comparison: Comparison) -> str:
    """Return ``At step 60 of 700: 3 of 8 runs are under way; verdicts are previews``, or nothing.

    It stands before everything else: what follows may still change, or is not of the ends.
    """
    text = comparison.preview or comparison.held_back or ""
    return text[:1].upper() + text[1:]


def method(comparison: Comparison) -> tuple[str, ...]:
    """Return how the numbers were made."""
    lines = [_rules_sentence(comparison.metrics)] if comparison.metrics else []
    lines.append("± is half of the 95% Student-t interval over seeds; one seed has none.")
    contrasts = [
        c
        for row in comparison.rows
        for summary in row.values.values()
        for c in summary.contrasts
        if c.reference in row.references and c.p_t is not None
    ]
    if contrasts:
        lines += _test_sentences(comparison, contrasts)
    return tuple(lines)


_NOISE: dict[Method, str] = {
    "lent": "each variant's own seeds, but never less than a small share of all variants' noise",
    "lent, paired": "differences at the same seed, for seeds matter here, but never less than a "
    "small share of all variants' noise",
    "paired": "differences at the same seed",
    "welch": "each side's own seeds (Welch)",
}


def _test_sentences(comparison: Comparison, contrasts: Sequence[Contrast]) -> list[str]:
    """Say where noise was taken from, which p decide, and how many were corrected together."""
    deciding = [c for c in contrasts if c.is_primary]
    methods: list[Method] = list(dict.fromkeys(c.method for c in deciding or contrasts))
    primary = [metric.key for metric in comparison.metrics if metric.is_primary]
    lines = [f"Noise: {'; or '.join(_NOISE[m] for m in methods)}."]
    if deciding:
        named = listed(primary) if primary else "the primary metric"
        lines.append(
            f"Better, worse and equal are decided by {named} alone, at 5% for all "
            f"{counted(len(deciding), 'contrast')} together (Holm). Differences in other metrics "
            "are exploratory."
        )
    return lines


def _table(shown: Document, width: int | None, color: bool) -> str:
    if width is None:
        return document.to_plain(shown)
    return document.to_terminal(shown, width, color=color)


def _rules_sentence(metrics: Sequence[Metric]) -> str:
    rules = list(dict.fromkeys(metric.rule for metric in metrics))
    if len(rules) == 1:
        return f"Which step counts: {rules[0]}."
    parts = [f"{rule} for {', '.join(m.key for m in metrics if m.rule == rule)}" for rule in rules]
    return f"Which step counts: {'; '.join(parts)}."
