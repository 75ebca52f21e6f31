"""What a mirror is told of a study's comparison, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ablate.analysis.comparison import ComparedVariant, Comparison, compare
from ablate.analysis.factors import declared_factors
from ablate.analysis.loading import load
from ablate.domain import Run
from ablate.mirrors.parked import ParkedItems
from ablate.mirrors.process import Summarise, mirror_name, parked_path
from ablate.mirrors.records import Parked, Standing, StudySummary, VariantSummary
from ablate.settings import Settings
from ablate.store.base import MirrorCursor, Store


def summariser(note: Callable[[Comparison], str]) -> Summarise:
    """Return what tells a mirror what `ablate compare --study` says now.

    Args:
        note: Returns a comparison as Markdown.
    """
    return partial(_summarise, note)


def _summarise(note: Callable[[Comparison], str], store: Store, study: str) -> StudySummary | None:
    """Return the summary of a study, None before the first point."""
    plan = store.study(study).plan
    is_declared = bool(plan.spec.get("metrics") or plan.spec.get("targets"))
    data = load(store, study, keys=() if is_declared else None)
    comparison = compare(data, factors=declared_factors(plan, data.variants))
    if comparison.at_step is None:
        return None
    return StudySummary(
        note=note(comparison),
        at_step=comparison.at_step,
        variants=tuple(_variant(comparison, row) for row in comparison.rows),
    )


def _variant(comparison: Comparison, row: ComparedVariant) -> VariantSummary:
    values: dict[str, float] = {}
    for metric in comparison.metrics:
        if found := row.values.get(metric.key):
            numbers = {"mean": found.mean, "ci_low": found.ci_low, "ci_high": found.ci_high}
            numbers["n"] = found.n
            values |= {f"{metric.key}/{k}": float(v) for k, v in numbers.items() if v is not None}
    return VariantSummary(
        variant=row.variant, verdict=row.verdict, reasons=row.reasons, values=values
    )


def standings(store: Store, settings: Settings) -> list[Standing]:
    """Return how far each run that has begun is copied, and what is parked; asks MLflow nothing."""
    parked = ParkedItems(parked_path(settings)).read()
    found: list[Standing] = []
    for study in store.studies(with_archived=True):
        mirror = f"{mirror_name(settings)}:{study.name}"
        cursors = {c.run_id: c for c in store.mirror_cursors(mirror)}
        for run in store.runs(study.name):
            if run.attempts:
                refused = parked.pop((study.name, run.id), None)
                found.append(_standing(study.name, run, cursors.get(run.id), refused))
    found += [
        Standing(
            study=item.study,
            what=item.label,
            state="parked",
            copied=None,
            step=None,
            reason=item.reason,
            since=item.since,
        )
        for item in parked.values()
    ]
    return found


def _standing(
    study: str, run: Run, cursor: MirrorCursor | None, refused: Parked | None
) -> Standing:
    is_whole = cursor is not None and cursor.is_finished and cursor.attempt == run.attempts
    return Standing(
        study=study,
        what=run.label,
        state="parked" if refused else "whole" if is_whole else "behind",
        copied=cursor.step if cursor and cursor.step >= 0 else None,
        step=run.step,
        reason=refused.reason if refused else None,
        since=refused.since if refused else None,
    )
