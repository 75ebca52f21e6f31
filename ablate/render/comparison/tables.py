"""The tables of a comparison: what came out, and how it differs from the baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ablate.analysis.comparison import ComparedVariant, Comparison, Metric
from ablate.analysis.curves.windows import short_step
from ablate.analysis.judging.contrast_text import difference_text
from ablate.analysis.judging.verdicts import Verdict
from ablate.analysis.statistics.contrasts import Contrast
from ablate.analysis.statistics.summaries import MetricSummary
from ablate.analysis.wording import percent
from ablate.render.formats import STATUS_MARKS, mean_with_error, number, signed
from ablate.render.tables import Cell, Column, Table, Tone
from ablate.rules import Status, Target

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


def values_table(comparison: Comparison, *, with_error: bool = True) -> Table:
    """Return metrics as rows, variants as columns: what came out, with status.

    Args:
        comparison: What to show.
        with_error: Whether to show the intervals of the means, which with two seeds are wide.
    """
    columns = [Column("metric", is_fixed=True), Column("wanted", is_fixed=True)]
    columns += [Column(row.variant, is_number=True) for row in comparison.rows]
    rows = [
        (Cell("verdict"), Cell(""), *(verdict_cell(row) for row in comparison.rows)),
        (Cell("runs"), Cell(""), *(_runs_cell(row) for row in comparison.rows)),
    ]
    rows += [_value_row(m, comparison.rows, with_error=with_error) for m in comparison.metrics]
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
    """Return the differences to the references, None when there is nothing to differ."""
    pairs = [(row, ref) for row in comparison.rows for ref in row.references]
    metrics = [m for m in comparison.metrics if any(_contrast(row, m, ref) for row, ref in pairs)]
    if not metrics:
        return None
    metrics.sort(key=lambda metric: not metric.is_primary)
    columns = [Column("metric", is_fixed=True), Column("wanted", is_fixed=True)]
    columns += [Column(row.variant, is_number=True) for row, _ in pairs]
    rows = [
        (
            Cell(metric.key),
            Cell("nearer target" if _is_distance(metric, pairs) else wanted_of(metric)),
            *(contrast_cell(row, _contrast(row, metric, ref)) for row, ref in pairs),
        )
        for metric in metrics
    ]
    references = list(dict.fromkeys(ref for _, ref in pairs))
    title = f"Difference to {references[0]}" if len(references) == 1 else "Differences"
    if len(references) > 1:
        rows.insert(0, (Cell("against"), Cell(""), *(Cell(ref) for _, ref in pairs)))
    notes = [note for is_there, note in _contrast_notes(metrics, pairs) if is_there]
    return Table(title, tuple(columns), tuple(rows), tuple(notes), topic="differences")


_Pairs = Sequence[tuple[ComparedVariant, str]]


def _contrast_notes(metrics: Sequence[Metric], pairs: _Pairs) -> list[tuple[bool, str]]:
    found = [c for row, ref in pairs for m in metrics if (c := _contrast(row, m, ref))]
    is_distance = any(c.measure != "value" for c in found)
    is_exploratory = any(not c.is_primary and c.is_decided for c in found)
    return [
        (is_distance, "nearer target: the difference is that of the distances to the target"),
        (is_exploratory, "(in brackets): exploratory, for a metric that is not primary"),
    ]


def _is_distance(metric: Metric, pairs: _Pairs) -> bool:
    found = [c for row, ref in pairs if (c := _contrast(row, metric, ref))]
    return any(c.measure != "value" for c in found)


def wanted_of(metric: Metric) -> str:
    """Return which way is better; of a floor or ceiling, as of any other."""
    if metric.goal != "target" or metric.target is None:
        return GOALS[metric.goal]
    return GOALS["max" if Target.parse(metric.target).kind == "at_least" else "min"]


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
    """Return ``-1.34 ±0.39 better``, or ``-12% [-20%, -3%] better`` where ratios are compared."""
    value, word = _contrast_parts(contrast)
    return f"{value} {word}".rstrip()


def _contrast_parts(contrast: Contrast) -> tuple[str, str]:
    if contrast.difference is None:
        return "no number", ""
    value = difference_text(contrast)
    if contrast.ratio is None:
        value = signed(contrast.difference, half_width(contrast.ci_low, contrast.ci_high))
    word = contrast.verdict or ""
    return value, word if contrast.is_primary or not contrast.is_decided else f"({word})"


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


def verdict_cell(row: ComparedVariant) -> Cell:
    """Return the verdict in its tone."""
    return Cell(str(row.verdict), str(row.verdict), VERDICT_TONES[row.verdict])


def _runs_cell(row: ComparedVariant) -> Cell:
    total, *named = _run_counts(row)
    text = f"{total} ({', '.join(named)})" if named else total
    return Cell(text, row.runs, "warn" if named else "plain", (total, *named))


def _value_row(
    metric: Metric, rows: Sequence[ComparedVariant], *, with_error: bool
) -> tuple[Cell, ...]:
    wanted = metric.target or GOALS[metric.goal]
    cells = (_value_cell(row, metric, with_error=with_error) for row in rows)
    return (Cell(metric.key), Cell(wanted), *cells)


def _value_cell(row: ComparedVariant, metric: Metric, *, with_error: bool) -> Cell:
    summary = row.values.get(metric.key)
    if summary is None:
        return Cell("-", None, "muted")
    value, *rest = value_parts(row, summary, with_error=with_error)
    if metric.is_drift and summary.change is not None:
        rest.append(f"({percent(summary.change)})")
    mark = [STATUS_MARKS[summary.status]] if summary.status else []
    return Cell(
        " ".join([value, *rest, *mark]),
        summary.mean,
        STATUS_TONES[summary.status] if summary.status else "plain",
        (" ".join([value, *mark]), *rest),
    )


def short_names(metrics: Sequence[Metric]) -> dict[str, str]:
    """Return the last part of each key, the whole key where two end alike."""
    last = {metric.key: metric.key.rpartition("/")[2] for metric in metrics}
    counts = Counter(last.values())
    return {key: name if counts[name] == 1 else key for key, name in last.items()}


def value_parts(row: ComparedVariant, summary: MetricSummary, *, with_error: bool) -> list[str]:
    """Return a mean, its interval where wanted, and what is not usual of its seeds and steps."""
    shown = summary_text(summary) if with_error else number(summary.mean)
    parts = shown.split(" ")
    if summary.n != row.runs:
        parts.append(f"(n={summary.n})")
    steps = (summary.stopped_at, summary.stands_at)
    return parts + [f"@{short_step(step)}" for step in steps if step is not None]


def _contrast(row: ComparedVariant, metric: Metric, reference: str) -> Contrast | None:
    summary = row.values.get(metric.key)
    return summary.contrast_to(reference) if summary else None


def contrast_cell(row: ComparedVariant, contrast: Contrast | None) -> Cell:
    """Return a difference with its verdict, a dash where there is none."""
    if contrast is None:
        return Cell("-", None, "muted")
    value, word = _contrast_parts(contrast)
    first, _, rest = value.partition(" ")
    parts = tuple(part for part in (first, rest, word) if part)
    return Cell(contrast_text(contrast), contrast.difference, _contrast_tone(row, contrast), parts)


def _contrast_tone(row: ComparedVariant, contrast: Contrast) -> Tone:
    tone = CONTRAST_TONES.get(contrast.verdict, "plain")
    # A silent output has better losses than a loud one; that is no good news.
    is_hollow = tone == "good" and row.verdict == Verdict.FAILED
    return "plain" if is_hollow or (contrast.is_decided and not contrast.is_primary) else tone
