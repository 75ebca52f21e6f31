"""A comparison as text that a stranger understands: values, differences, verdicts, method."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Literal

from ablate.analysis.comparison import Comparison, Metric, Row
from ablate.analysis.contrasts import Contrast
from ablate.analysis.summaries import Summary
from ablate.analysis.verdicts import Verdict
from ablate.analysis.windows import short_step
from ablate.render import machine
from ablate.render.formats import STATUS_MARKS, mean_with_error, number, printable, signed
from ablate.render.tables import (
    Cell,
    Column,
    Table,
    Tone,
    fit,
    html_text,
    markdown_text,
    to_html,
    to_latex,
    to_markdown,
    to_plain,
    to_rich,
)
from ablate.rules import Status

Format = Literal["table", "md", "csv", "json", "ndjson", "html", "latex"]

VERDICT_TONES: dict[str, Tone] = {
    Verdict.PASSED: "good",
    Verdict.DEGRADING: "warn",
    Verdict.FAILED: "bad",
    Verdict.UNRESOLVED: "warn",
    Verdict.NO_DATA: "muted",
}
STATUS_TONES: dict[Status, Tone] = {
    Status.GOOD: "good",
    Status.DEGRADING: "warn",
    Status.CRITICAL: "bad",
    Status.NO_DATA: "muted",
}
CONTRAST_TONES: dict[str | None, Tone] = {"better": "good", "worse": "bad", "unresolved": "muted"}
GOALS = {"min": "lower", "max": "higher", "target": "at target", None: ""}
LEGEND = (
    f"{STATUS_MARKS[Status.GOOD]} target met in every run   "
    f"{STATUS_MARKS[Status.DEGRADING]} missed by at most as much again as it allows   "
    f"{STATUS_MARKS[Status.CRITICAL]} missed by more   (the worst run counts)"
)


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


def values_table(comparison: Comparison) -> Table:
    """Return metrics as rows, variants as columns: what came out, with interval and status."""
    columns = [Column("metric", is_fixed=True), Column("wanted", is_fixed=True)]
    columns += [Column(row.variant, is_number=True) for row in comparison.rows]
    rows = [
        (Cell("verdict"), Cell(""), *(_verdict_cell(row) for row in comparison.rows)),
        (Cell("runs"), Cell(""), *(_runs_cell(row) for row in comparison.rows)),
    ]
    rows += [_value_row(metric, comparison.rows) for metric in comparison.metrics]
    summaries = [s for row in comparison.rows for s in row.values.values()]
    notes = [LEGEND] if any(s.status for s in summaries) else []
    if stops := [s.stopped_at for s in summaries if s.stopped_at is not None]:
        at = short_step(min(stops))
        notes.append(f"@{at}: all runs were stopped, the first at step {at}; read where stopped")
    return Table("Values", tuple(columns), tuple(rows), tuple(notes))


def contrasts_table(comparison: Comparison) -> Table | None:
    """Return the differences to the baseline, None when there is nothing to differ."""
    others = [row for row in comparison.rows if not row.is_baseline]
    metrics = [m for m in comparison.metrics if any(_contrast(row, m) for row in others)]
    if not metrics:
        return None
    columns = [Column("metric", is_fixed=True), Column("wanted", is_fixed=True)]
    columns += [Column(row.variant, is_number=True) for row in others]
    rows = [
        (
            Cell(metric.key),
            Cell("nearer target" if metric.goal == "target" else GOALS[metric.goal]),
            *(_contrast_cell(row, _contrast(row, metric)) for row in others),
        )
        for metric in metrics
    ]
    is_distance = any(metric.goal == "target" for metric in metrics)
    note = "nearer target: the difference is that of the distances to the target"
    title = f"Difference to {comparison.baseline}"
    return Table(title, tuple(columns), tuple(rows), (note,) if is_distance else ())


def verdict_lines(row: Row, *, limit: int | None = None) -> tuple[str, tuple[str, ...]]:
    """Return ``phase_a: failed`` and its reasons, the rest counted when there are too many."""
    reasons = row.reasons[:limit]
    rest = len(row.reasons) - len(reasons)
    more = (f"and {rest} more reason{'' if rest == 1 else 's'}",) if rest else ()
    return f"{row.variant}: {row.verdict}", (*reasons, *more)


def method(comparison: Comparison) -> tuple[str, ...]:
    """Return how the numbers were made."""
    lines = [_rules_sentence(comparison.metrics)] if comparison.metrics else []
    lines.append("± is half of the 95% Student-t interval over seeds; one seed has none.")
    contrasts = [
        c for r in comparison.rows for s in r.values.values() if (c := s.contrast) and c.pairs
    ]
    if contrasts:
        others = sum(not row.is_baseline for row in comparison.rows)
        lines.append(
            "Differences are paired by seed; better or worse needs p < 0.05 in a paired t-test "
            f"after Holm's correction over {others} variant{'' if others == 1 else 's'}."
        )
        lines.append(_sign_flip_sentence(contrasts))
    return tuple(lines)


def runs_text(row: Row) -> str:
    """Return ``3 runs, 1 diverged``: every ending but a good one is named."""
    total, *named = _run_counts(row)
    return ", ".join([f"{total} run{'' if row.runs == 1 else 's'}", *named])


def half_width(low: float | None, high: float | None) -> float | None:
    """Return half of an interval."""
    return None if low is None or high is None else (high - low) / 2


def summary_text(summary: Summary) -> str:
    """Return ``0.0802 ±0.0042``."""
    return mean_with_error(summary.mean, half_width(summary.ci_low, summary.ci_high))


def contrast_text(contrast: Contrast) -> str:
    """Return ``-1.34 ±0.39 better``."""
    if not contrast.pairs:
        return "no shared seed"
    half = half_width(contrast.ci_low, contrast.ci_high)
    return f"{signed(contrast.difference, half)} {contrast.verdict or ''}".rstrip()


def to_markdown_text(comparison: Comparison) -> str:
    """Return the comparison as GitHub Markdown."""
    parts = [f"## {markdown_text(comparison.study)}"]
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
    head = f"{comparison.study}. {heading(comparison)}"
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
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1><p>{html_text(comparison.question)}</p>"
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
    lines = [comparison.study, comparison.question, heading(comparison)]
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
        title.append(f"  {row.verdict}", style=_style(VERDICT_TONES[row.verdict]))
        console.print(title)
        for reason in reasons:
            console.print(Padding(Text(printable(reason)), (0, 0, 0, 2)))
    console.print()
    for line in (*comparison.notes, *method(comparison)):
        console.print(Text(printable(line), style="dim"))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def _style(tone: Tone) -> str:
    from ablate.render.tables import STYLES

    return STYLES[tone]


def _run_counts(row: Row) -> list[str]:
    """Return the number of runs, then every ending but a good one."""
    counts = {
        "diverged": row.diverged,
        "failed": row.failed,
        "stopped": row.stopped,
        "unfinished": row.unfinished,
    }
    return [str(row.runs), *(f"{count} {name}" for name, count in counts.items() if count)]


def _verdict_cell(row: Row) -> Cell:
    return Cell(str(row.verdict), str(row.verdict), VERDICT_TONES[row.verdict])


def _runs_cell(row: Row) -> Cell:
    total, *named = _run_counts(row)
    text = f"{total} ({', '.join(named)})" if named else total
    return Cell(text, row.runs, "warn" if named else "plain", (total, *named))


def _value_row(metric: Metric, rows: Sequence[Row]) -> tuple[Cell, ...]:
    wanted = metric.target or GOALS[metric.goal]
    return (Cell(metric.key), Cell(wanted), *(_value_cell(row, metric.key) for row in rows))


def _value_cell(row: Row, key: str) -> Cell:
    summary = row.values.get(key)
    if summary is None:
        return Cell("-", None, "muted")
    value, *error = summary_text(summary).split(" ")
    if summary.n != row.runs:
        error.append(f"(n={summary.n})")
    if summary.stopped_at is not None:
        error.append(f"@{short_step(summary.stopped_at)}")
    mark = [STATUS_MARKS[summary.status]] if summary.status else []
    return Cell(
        " ".join([value, *error, *mark]),
        summary.mean,
        STATUS_TONES[summary.status] if summary.status else "plain",
        (" ".join([value, *mark]), *error),
    )


def _contrast(row: Row, metric: Metric) -> Contrast | None:
    summary = row.values.get(metric.key)
    return summary.contrast if summary else None


def _contrast_cell(row: Row, contrast: Contrast | None) -> Cell:
    if contrast is None:
        return Cell("-", None, "muted")
    tone = CONTRAST_TONES.get(contrast.verdict, "plain")
    if tone == "good" and row.verdict == Verdict.FAILED:
        # A silent output has better losses than a loud one; that is no good news.
        tone = "plain"
    text = contrast_text(contrast)
    number_and_error, _, word = text.rpartition(" ")
    return Cell(text, contrast.difference, tone, (*number_and_error.split(" "), word))


def _rules_sentence(metrics: Sequence[Metric]) -> str:
    rules = list(dict.fromkeys(metric.rule for metric in metrics))
    if len(rules) == 1:
        return f"Which step counts: {rules[0]}."
    parts = [f"{rule} for {', '.join(m.key for m in metrics if m.rule == rule)}" for rule in rules]
    return f"Which step counts: {'; '.join(parts)}."


def _sign_flip_sentence(contrasts: Sequence[Contrast]) -> str:
    pairs = max(c.pairs for c in contrasts)
    smallest = min(c.p for c in contrasts if c.p is not None)
    return (
        f"The exact sign-flip test assumes less: with {pairs} pair{'' if pairs == 1 else 's'} its "
        f"p cannot go below {number(2.0 ** (1 - pairs))}; the smallest here is {number(smallest)}."
    )
