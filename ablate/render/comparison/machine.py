"""A comparison for machines: JSON (`ablate.compare/1`), NDJSON, CSV. It only ever grows."""

from __future__ import annotations

from typing import Any

from ablate.analysis.aa import Copies
from ablate.analysis.answer import answer_of
from ablate.analysis.comparison import ComparedVariant, Comparison
from ablate.analysis.diagnosis.causes import Cause
from ablate.analysis.statistics.contrasts import Contrast
from ablate.analysis.statistics.summaries import MetricSummary
from ablate.domain import Kind
from ablate.render.formats import strict_json
from ablate.render.tables import Raw, csv_of

SCHEMA = "ablate.compare/1"


def to_json(comparison: Comparison) -> str:
    """Return one RFC 8259 object; a number that is not finite is null beside its ``kind``."""
    return strict_json(comparison_object(comparison), indent=2)


def to_ndjson(comparison: Comparison) -> str:
    """Return one object for each variant and line, each with what it was compared with."""
    head = {
        "schema": SCHEMA,
        "study": comparison.study,
        "at_step": comparison.at_step,
        "preview": comparison.preview,
        "held_back": comparison.held_back,
        "baseline": comparison.baseline,
    }
    return "\n".join(
        strict_json(head | row_object(row, comparison.baseline)) for row in comparison.rows
    )


def comparison_object(comparison: Comparison) -> dict[str, Any]:
    """Return the object that the JSON is made of."""
    return {
        "schema": SCHEMA,
        "study": comparison.study,
        "question": comparison.question,
        "answer": list(answer_of(comparison)),
        "at_step": comparison.at_step,
        "preview": comparison.preview,
        "held_back": comparison.held_back,
        "baseline": comparison.baseline,
        "metrics": [
            {
                "key": m.key,
                "goal": m.goal,
                "rule": m.rule,
                "target": m.target,
                "primary": m.is_primary,
                "margin": m.margin,
                "best": [row.variant for row in comparison.rows if row.variant in m.best],
            }
            for m in comparison.metrics
        ],
        "rows": [row_object(row, comparison.baseline) for row in comparison.rows],
        "aa": [_copies_object(copies) for copies in comparison.aa],
        "notes": list(comparison.notes),
    }


def row_object(row: ComparedVariant, baseline: str) -> dict[str, Any]:
    """Return one variant."""
    return {
        "variant": row.variant,
        "factors": dict(row.factors),
        "runs": row.runs,
        "diverged": row.diverged,
        "failed": row.failed,
        "stopped": row.stopped,
        "unfinished": row.unfinished,
        "verdict": str(row.verdict),
        "reasons": list(row.reasons),
        "causes": [_cause_object(cause) for cause in row.causes],
        "other_code": list(row.other_code),
        "mixed_code": list(row.mixed_code),
        "references": list(row.references),
        "values": {key: _summary_object(summary, baseline) for key, summary in row.values.items()},
    }


COLUMNS = (
    "study",
    "at_step",
    "baseline",
    "variant",
    "runs",
    "diverged",
    "failed",
    "verdict",
    "key",
    "goal",
    "rule",
    "target",
    "mean",
    "ci_low",
    "ci_high",
    "n",
    "not_finite",
    "initial",
    "change",
    "status",
    "stopped_at",
    "difference",
    "difference_ci_low",
    "difference_ci_high",
    "measure",
    "pairs",
    "p",
    "p_smallest",
    "p_t",
    "p_holm",
    "contrast",
    "seeds_needed",
    "method",
    "n_variant",
    "n_baseline",
    "stands_at",
    "reference",
    "primary",
    "reference_difference",
    "reference_ci_low",
    "reference_ci_high",
    "reference_ratio",
    "reference_ratio_low",
    "reference_ratio_high",
    "reference_p",
    "reference_p_holm",
    "reference_p_equal",
    "reference_contrast",
)


def to_csv(comparison: Comparison) -> str:
    """Return one line for each variant and metric, all numbers raw."""
    return csv_of(COLUMNS, comparison_rows(comparison))


def comparison_rows(comparison: Comparison) -> list[list[Raw]]:
    """Return the values of `COLUMNS` for each variant and metric."""
    return [
        _csv_row(comparison, row, index)
        for row in comparison.rows
        for index in range(len(comparison.metrics))
    ]


def _csv_row(comparison: Comparison, row: ComparedVariant, index: int) -> list[Raw]:
    metric = comparison.metrics[index]
    summary = row.values.get(metric.key)
    cells: list[Raw] = [
        comparison.study,
        comparison.at_step,
        comparison.baseline,
        row.variant,
        row.runs,
        row.diverged,
        row.failed,
        str(row.verdict),
        metric.key,
        metric.goal,
        metric.rule,
        metric.target,
    ]
    cells += _csv_summary(summary) if summary else [None, None, None, 0, *[None] * 5]
    contrast = summary.contrast_to(comparison.baseline) if summary else None
    cells += _csv_contrast(contrast) if contrast else [None] * 14
    own = next(iter(row.references), None)
    to_own = summary.contrast_to(own) if summary and own else None
    return [
        *cells,
        summary.stands_at if summary else None,
        own,
        metric.is_primary,
        *(_csv_reference(to_own) if to_own else [None] * 10),
    ]


def _csv_summary(s: MetricSummary) -> list[Raw]:
    status = str(s.status) if s.status else None
    return [
        s.mean,
        s.ci_low,
        s.ci_high,
        s.n,
        s.not_finite,
        s.initial,
        s.change,
        status,
        s.stopped_at,
    ]


def _csv_contrast(c: Contrast) -> list[Raw]:
    return [
        c.difference,
        c.ci_low,
        c.ci_high,
        c.measure,
        c.pairs,
        c.p,
        c.p_smallest,
        c.p_t,
        c.p_holm,
        c.verdict,
        c.seeds.usual if c.seeds else None,
        c.method,
        c.n_variant,
        c.n_reference,
    ]


def _csv_reference(c: Contrast) -> list[Raw]:
    return [
        c.difference,
        c.ci_low,
        c.ci_high,
        c.ratio,
        c.ratio_low,
        c.ratio_high,
        c.p_t,
        c.p_holm,
        c.p_equal,
        c.verdict,
    ]


def _cause_object(cause: Cause) -> dict[str, Any]:
    return {"name": cause.name, "sentence": cause.sentence, "evidence": dict(cause.evidence)}


def _summary_object(summary: MetricSummary, baseline: str) -> dict[str, Any]:
    to_baseline = summary.contrast_to(baseline)
    return {
        "mean": summary.mean,
        "kind": str(summary.kind),
        "ci_low": summary.ci_low,
        "ci_high": summary.ci_high,
        "n": summary.n,
        "not_finite": summary.not_finite,
        "initial": summary.initial,
        "change": summary.change,
        "status": str(summary.status) if summary.status else None,
        "stopped_at": summary.stopped_at,
        "stands_at": summary.stands_at,
        "contrast": _contrast_object(to_baseline) if to_baseline else None,
        "contrasts": [_contrast_object(contrast) for contrast in summary.contrasts],
        "seeds": [
            {
                "run": v.run_id,
                "seed": v.seed,
                "value": v.value,
                "kind": str(Kind.of(v.value)),
                "step": v.step,
            }
            for v in summary.seeds
        ],
    }


def _copies_object(copies: Copies) -> dict[str, Any]:
    """Return what copies show; each of their contrasts is tested by itself."""
    return {
        "of": copies.of,
        "copies": list(copies.names),
        "runs": copies.runs,
        "lost": copies.lost,
        "metrics": [
            {
                "key": floor.key,
                "largest_difference": floor.largest,
                "largest_ratio": floor.largest_ratio,
                "tested": floor.tested,
                "decided": floor.decided,
                "seeds_shared": floor.are_seeds_shared,
                "contrasts": {n: _contrast_object(c) for n, c in floor.contrasts.items()},
            }
            for floor in copies.floors
        ],
    }


def _contrast_object(c: Contrast) -> dict[str, Any]:
    return {
        "difference": c.difference,
        "ci_low": c.ci_low,
        "ci_high": c.ci_high,
        "p": c.p,
        "p_smallest": c.p_smallest,
        "p_t": c.p_t,
        "p_holm": c.p_holm,
        "pairs": c.pairs,
        "verdict": c.verdict,
        "seeds_needed": c.seeds.usual if c.seeds else None,
        "measure": c.measure,
        "method": c.method,
        "n_variant": c.n_variant,
        "n_baseline": c.n_reference,
        "reference": c.reference,
        "primary": c.is_primary,
        "scale": c.scale,
        "ratio": c.ratio,
        "ratio_low": c.ratio_low,
        "ratio_high": c.ratio_high,
        "p_equal": c.p_equal,
        "within_margin": c.is_within_margin,
        "error": c.error,
        "df": c.df,
        "seeds_low": c.seeds.low if c.seeds else None,
        "seeds_high": c.seeds.high if c.seeds else None,
    }
