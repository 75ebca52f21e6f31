"""A comparison as text that a stranger understands: values, differences, verdicts, method."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Literal

from ablate.analysis.comparison import ComparedVariant, Comparison, Metric
from ablate.analysis.statistics.contrasts import Method
from ablate.render.comparison import machine
from ablate.render.comparison.tables import VERDICT_TONES, contrasts_table, values_table
from ablate.render.formats import number
from ablate.render.tables import (
    STYLES,
    Table,
    fit,
    html_text,
    markdown_text,
    to_html,
    to_latex,
    to_markdown,
    to_plain,
    to_rich,
)
from ablate.text import counted, printable

Format = Literal["table", "md", "csv", "json", "ndjson", "html", "latex"]
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:24px;color:#1f2328}"
    "table{border-collapse:collapse}caption{text-align:left;font-weight:600}"
    "th,td{text-align:left;padding:3px 12px 3px 0;border-bottom:1px solid #d1d9e0}"
    ".number{text-align:right}.bad{color:#c21f2c}.warn{color:#8a5a00}.good{color:#1a7f37}"
    ".scroll{overflow-x:auto;margin:16px 0 4px}.note,dd{color:#59636e}dt{font-weight:600}"
)


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
    if fmt == "table":
        return _plain(comparison) if width is None else _terminal(comparison, width, color)
    writers: dict[str, Callable[[Comparison], str]] = {
        "md": to_markdown_text,
        "csv": lambda c: machine.to_csv(c).removesuffix("\n"),
        "json": machine.to_json,
        "ndjson": machine.to_ndjson,
        "html": to_html_page,
        "latex": to_latex_text,
    }
    return writers[fmt](comparison)


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


def verdict_lines(row: ComparedVariant, *, limit: int | None = None) -> tuple[str, tuple[str, ...]]:
    """Return ``phase_a: failed`` and its reasons, the rest counted when there are too many."""
    reasons = row.reasons[:limit]
    rest = len(row.reasons) - len(reasons)
    more = (f"and {counted(rest, 'more reason')}",) if rest else ()
    return f"{row.variant}: {row.verdict}", (*reasons, *more)


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


def to_markdown_text(comparison: Comparison) -> str:
    """Return the comparison as GitHub Markdown."""
    parts = [f"**{markdown_text(text)}**"] if (text := preview(comparison)) else []
    parts += [f"## {markdown_text(comparison.study)}"]
    parts += [markdown_text(comparison.question)] if comparison.question else []
    parts += [f"{markdown_text(heading(comparison))}."]
    parts += [to_markdown(table) for table in _tables(comparison)]
    parts.append("### Verdicts")
    for row in comparison.rows:
        title, reasons = verdict_lines(row)
        items = "\n".join(f"  - {markdown_text(reason)}" for reason in reasons)
        parts.append(f"- **{markdown_text(title)}**\n{items}")
    if comparison.notes:
        parts.append("\n".join(f"- {markdown_text(note)}" for note in comparison.notes))
    parts.append(" ".join(map(markdown_text, method(comparison))))
    return "\n\n".join(parts)


def to_latex_text(comparison: Comparison) -> str:
    """Return the values and the differences as ``booktabs`` tables."""
    how = " ".join(method(comparison))
    head = ". ".join(filter(None, (comparison.study, preview(comparison), heading(comparison))))
    captions = (f"{head}. {how}", f"{head}: differences. {how}")
    tables = zip(_tables(comparison), captions, strict=False)
    return "\n\n".join(to_latex(table, caption=caption) for table, caption in tables)


def to_html_page(comparison: Comparison) -> str:
    """Return a plain page without script: the tables and the verdicts."""
    items = "".join(
        f"<dt>{html_text(title)}</dt>" + "".join(f"<dd>{html_text(r)}</dd>" for r in reasons)
        for title, reasons in map(verdict_lines, comparison.rows)
    )
    notes = "".join(f"<p>{html_text(n)}</p>" for n in (*comparison.notes, *method(comparison)))
    tables = "".join(to_html(table) for table in _tables(comparison))
    title = html_text(comparison.study)
    text = preview(comparison)
    first = f"<p><strong>{html_text(text)}</strong></p>" if text else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>"
        f"<body>{first}<h1>{title}</h1><p>{html_text(comparison.question)}</p>"
        f"<p>{html_text(heading(comparison))}.</p>{tables}<dl>{items}</dl>{notes}</body></html>"
    )


def _tables(comparison: Comparison) -> list[Table]:
    tables = [values_table(comparison), contrasts_table(comparison)]
    return [table for table in tables if table]


def _plain(comparison: Comparison) -> str:
    parts = [_head(comparison)] + [to_plain(table) for table in _tables(comparison)]
    lines = ["Verdicts"]
    for row in comparison.rows:
        title, reasons = verdict_lines(row)
        lines += [printable(title), *(f"  - {printable(reason)}" for reason in reasons)]
    parts.append("\n".join(lines))
    parts.append("\n".join(map(printable, (*comparison.notes, *method(comparison)))))
    return "\n\n".join(parts)


def _head(comparison: Comparison) -> str:
    lines = [
        preview(comparison),
        comparison.study,
        comparison.question,
        heading(comparison),
    ]
    return "\n".join(printable(line) for line in lines if line)


def _terminal(comparison: Comparison, width: int, color: bool) -> str:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
    console.print(Text(_head(comparison)))
    for table in _tables(comparison):
        for part in fit(table, width):
            console.print()
            console.print(to_rich(part))
            console.print(*(Text(printable(n), style="dim") for n in part.notes), sep="\n", end="")
            console.print(end="\n" if part.notes else "")
    console.print(Text("\nVerdicts", style="bold"))
    for row in comparison.rows:
        _, reasons = verdict_lines(row, limit=5)
        title = Text(printable(row.variant), style="bold")
        title.append(f"  {row.verdict}", style=STYLES[VERDICT_TONES[row.verdict]])
        console.print(title)
        for reason in reasons:
            console.print(Padding(Text(printable(reason)), (0, 0, 0, 2)))
    console.print()
    for line in (*comparison.notes, *method(comparison)):
        console.print(Text(printable(line), style="dim"))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines)


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
