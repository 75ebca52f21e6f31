"""The tables of a comparison: what came out, and how it differs from the baseline."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.analysis.comparison import ComparedVariant, Comparison, Metric
from ablate.analysis.curves.windows import short_step
from ablate.analysis.judging.verdicts import Verdict
from ablate.analysis.statistics.contrasts import Contrast
from ablate.analysis.statistics.summaries import MetricSummary
from ablate.render.formats import STATUS_MARKS, mean_with_error, signed
from ablate.render.tables import Cell, Column, Table, Tone
from ablate.rules import Status

VERDICT_TONES: dict[str, Tone] = {
    Verdict.PASSED: "good",
    Verdict.DEGRADING: "warn",
    Verdict.FAILED: "bad",
    Verdict.UNRESOLVED: "warn",
    Verdict.UNDER_WAY: "muted",
    Verdict.NO_EFFECT: "muted",
    Verdict.NOT_JUDGED: "muted",
    Verdict.NO_DATA: "muted",
}
STATUS_TONES: dict[Status, Tone] = {
    Status.GOOD: "good",
    Status.DEGRADING: "warn",
    Status.CRITICAL: "bad",
    Status.NO_DATA: "muted",
}
CONTRAST_TONES: dict[str | None, Tone] = {
    "better": "good",
    "worse": "bad",
    "unresolved": "muted",
    "withheld": "muted",
}
GOALS = {"min": "lower", "max": "higher", "target": "at target", None: ""}
LEGEND = (
    f"{STATUS_MARKS[Status.GOOD]} target met in every run   "
    f"{STATUS_MARKS[Status.DEGRADING]} missed by at most as much again as it allows   "
    f"{STATUS_MARKS[Status.CRITICAL]} missed by more   (the worst run counts)"
)


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
    if stands := [s.stands_at for s in summaries if s.stands_at is not None]:
        at = short_step(min(stands))
        notes.append(f"@{at}: its runs are under way; read where they stand")
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
    notes = (note,) if is_distance else ()
    return Table(title, tuple(columns), tuple(rows), notes, topic="differences")


def runs_text(row: ComparedVariant) -> str:
    """Return ``3 runs, 1 diverged``: every ending but a good one is named."""
    total, *named = _run_counts(row)
    return ", ".join([f"{total} run{'' if row.runs == 1 else 's'}", *named])


def half_width(low: float | None, high: float | None) -> float | None:
    """Return half of an interval."""
    return None if low is None or high is None else (high - low) / 2


def summary_text(summary: MetricSummary) -> str:
    """Return ``0.0802 ±0.0042``."""
    return mean_with_error(summary.mean, half_width(summary.ci_low, summary.ci_high))


def contrast_text(contrast: Contrast) -> str:
    """Return ``-1.34 ±0.39 better``, or why there is no difference."""
    if contrast.difference is None:
        return "no shared seed" if contrast.n_variant and contrast.n_baseline else "no number"
    half = half_width(contrast.ci_low, contrast.ci_high)
    return f"{signed(contrast.difference, half)} {contrast.verdict or ''}".rstrip()


def _run_counts(row: ComparedVariant) -> list[str]:
    """Return the number of runs, then every ending but a good one, and whether code differs."""
    counts = {
        "diverged": row.diverged,
        "failed": row.failed,
        "stopped": row.stopped,
        "unfinished": row.unfinished,
    }
    named = [f"{count} {name}" for name, count in counts.items() if count]
    # One of the two is enough of a mark: the notes say which runs, and in what.
    code = "other code" if row.other_code else "mixed code" if row.mixed_code else ""
    return [str(row.runs), *named, *([code] if code else [])]


def _verdict_cell(row: ComparedVariant) -> Cell:
    return Cell(str(row.verdict), str(row.verdict), VERDICT_TONES[row.verdict])


def _runs_cell(row: ComparedVariant) -> Cell:
    total, *named = _run_counts(row)
    text = f"{total} ({', '.join(named)})" if named else total
    return Cell(text, row.runs, "warn" if named else "plain", (total, *named))


def _value_row(metric: Metric, rows: Sequence[ComparedVariant]) -> tuple[Cell, ...]:
    wanted = metric.target or GOALS[metric.goal]
    return (Cell(metric.key), Cell(wanted), *(_value_cell(row, metric.key) for row in rows))


def _value_cell(row: ComparedVariant, key: str) -> Cell:
    summary = row.values.get(key)
    if summary is None:
        return Cell("-", None, "muted")
    value, *error = summary_text(summary).split(" ")
    if summary.n != row.runs:
        error.append(f"(n={summary.n})")
    for step in (summary.stopped_at, summary.stands_at):
        if step is not None:
            error.append(f"@{short_step(step)}")
    mark = [STATUS_MARKS[summary.status]] if summary.status else []
    return Cell(
        " ".join([value, *error, *mark]),
        summary.mean,
        STATUS_TONES[summary.status] if summary.status else "plain",
        (" ".join([value, *mark]), *error),
    )


def _contrast(row: ComparedVariant, metric: Metric) -> Contrast | None:
    summary = row.values.get(metric.key)
    return summary.contrast if summary else None


def _contrast_cell(row: ComparedVariant, contrast: Contrast | None) -> Cell:
    if contrast is None:
        return Cell("-", None, "muted")
    tone = CONTRAST_TONES.get(contrast.verdict, "plain")
    if tone == "good" and row.verdict == Verdict.FAILED:
        # A silent output has better losses than a loud one; that is no good news.
        tone = "plain"
    text = contrast_text(contrast)
    number_and_error, _, word = text.rpartition(" ")
    return Cell(text, contrast.difference, tone, (*number_and_error.split(" "), word))
