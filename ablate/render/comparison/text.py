"""A comparison as text that a stranger understands: values, differences, verdicts, method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ablate.analysis.comparison import ComparedVariant, Comparison, Metric
from ablate.analysis.statistics.contrasts import Method
from ablate.render import document
from ablate.render.comparison import machine
from ablate.render.comparison.tables import VERDICT_TONES, contrasts_table, values_table
from ablate.render.document import Document, Entries, Entry, Notes, Paragraph, Section, Tables
from ablate.render.formats import number
from ablate.render.tables import Table
from ablate.text import counted

Format = Literal["table", "md", "csv", "json", "ndjson", "html", "latex"]


def render(
    comparison: Comparison,
    fmt: Format = "table",
    *,
    width: int | None = None,
    color: bool = False,
) -> str:
    """Return a comparison as text without a final line break.

    Args:
        comparison: What to show.
        fmt: One of the output formats.
        width: For ``table``: columns of the terminal to fit; None for plain text, whole, as a pipe
            gets it.
        color: For ``table`` with a width: whether to write colours.
    """
    writers: dict[Format, Callable[[], str]] = {
        "table": lambda: _table(comparison_document(comparison), width, color),
        "md": lambda: document.to_markdown(comparison_document(comparison), level=2),
        "csv": lambda: machine.to_csv(comparison).removesuffix("\n"),
        "json": lambda: machine.to_json(comparison),
        "ndjson": lambda: machine.to_ndjson(comparison),
        "html": lambda: document.to_html(comparison_document(comparison)),
        "latex": lambda: document.to_latex(comparison_document(comparison)),
    }
    return writers[fmt]()


def comparison_document(comparison: Comparison) -> Document:
    """Return the values, the differences, the verdicts with all their reasons, and the method."""
    entries = tuple(verdict_entry(row) for row in comparison.rows)
    return Document(
        title=comparison.study,
        question=comparison.question,
        headline=heading(comparison),
        warning=preview(comparison),
        sections=(
            Section(blocks=(Tables(comparison_tables(comparison)),)),
            Section(title="Verdicts", blocks=(Entries(entries),)),
            Section(blocks=(Notes(comparison.notes), Paragraph(method(comparison)))),
        ),
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
    """Return ``Compared at step 2500 with phase1 as the baseline``."""
    if comparison.at_step is None:
        return "Nothing to compare yet: no run has logged a point"
    return f"Compared at step {comparison.at_step} with {comparison.baseline} as the baseline"


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
        for r in comparison.rows
        for s in r.values.values()
        if (c := s.contrast) and c.difference is not None
    ]
    if contrasts:
        others = sum(not row.is_baseline for row in comparison.rows)
        lines.append(_test_sentence({c.method for c in contrasts}, others))
    if tested := [(c.p, c.pairs) for c in contrasts if c.p is not None]:
        lines.append(_sign_flip_sentence(tested))
    return tuple(lines)


def _test_sentence(methods: set[Method], others: int) -> str:
    tests: dict[Method, str] = {
        "paired": "a t-test of differences that are paired by seed",
        "welch": "Welch's t-test of the means where fewer than two seeds are shared",
    }
    named = " or ".join(test for method, test in tests.items() if method in methods)
    return (
        f"Better or worse needs p < 0.05 in {named}, "
        f"after Holm's correction over {counted(others, 'variant')}."
    )


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


def _sign_flip_sentence(tested: Sequence[tuple[float, int]]) -> str:
    """Say what the sign-flip tests, as their p and pairs, could find and what they found."""
    pairs = max(n for _, n in tested)
    return (
        f"The exact sign-flip test assumes less: with {counted(pairs, 'pair')} its "
        f"p cannot go below {number(2.0 ** (1 - pairs))}; the smallest here is "
        f"{number(min(p for p, _ in tested))}."
    )
