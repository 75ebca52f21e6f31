"""What follows for a variant from its targets, its losses, its endings and its contrasts.

A run fails when it diverged, failed, was stopped, ends in what is no number, misses a target by
more than as much again as the target allows, or is as good as an output that knows nothing. A
variant fails when at least half of its runs do, or any ends in what is no number; it is unresolved
when fewer fail: its seeds disagree. Every count is k of n; a run that ended badly is counted, never
dropped. What runs under way show is not final, and fails nobody. Only what was judged can pass:
by targets, or by a difference to what it is compared with. Of the differences those of the primary
metrics decide; the others are hints.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.diagnosis.twins import changes_nothing, has_other_length, total_differs
from ablate.analysis.judging.contrast_reasons import Told
from ablate.analysis.judging.judged import JudgedRun, judged_runs, most
from ablate.analysis.judging.reasons import reasons_for, reasons_without_points
from ablate.analysis.statistics.contrasts import Contrast


class Verdict(StrEnum):
    """What follows for a variant."""

    PASSED = "passed"
    DEGRADING = "degrading"
    FAILED = "failed"
    UNRESOLVED = "unresolved"
    UNDER_WAY = "under way"
    """Runs are under way, and those that are finished do not decide it."""
    NO_EFFECT = "no effect"
    """Exactly as what it is compared with, or equal within the margin."""
    NOT_JUDGED = "not judged"
    """There is neither a target nor a difference to judge it by."""
    NO_DATA = "no data"
    """Nothing that was declared has a value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantVerdict:
    """A verdict with its reasons, the weightiest first."""

    variant: str
    verdict: Verdict
    reasons: tuple[str, ...]


def judge(
    data: StudyData,
    variant: str,
    at_step: int | None,
    *,
    contrasts: Sequence[Told] = (),
    repeats: Mapping[str, int] | None = None,
    failed: Collection[str] = (),
) -> VariantVerdict:
    """Return the verdict on a variant.

    Args:
        data: The study.
        variant: Its name.
        at_step: The compared step; None when no run has a point.
        contrasts: Each key with a contrast of the variant; the primary ones decide.
        repeats: Id of a run -> the earlier seed that it repeats to the bit.
        failed: Variants that failed: to be worse than one of them says nothing.
    """
    runs = judged_runs(data, variant, at_step or 0)
    if at_step is None or not any(r.is_judged or r.run.step is not None for r in runs):
        is_lost = most(runs, lambda r: r.ended_badly)
        verdict = Verdict.FAILED if is_lost else Verdict.NO_DATA
        return VariantVerdict(
            variant=variant, verdict=verdict, reasons=reasons_without_points(runs)
        )
    deciding = [c for _, c in contrasts if c.is_primary]
    verdict = _verdict(data, variant, runs, deciding, failed)
    reasons = reasons_for(
        data,
        at_step,
        runs=runs,
        contrasts=contrasts,
        repeats=repeats or {},
        failed=failed,
    )
    return VariantVerdict(
        variant=variant,
        verdict=verdict,
        reasons=reasons or (_default_reason(data, variant, verdict, at_step),),
    )


def _verdict(
    data: StudyData,
    variant: str,
    runs: Sequence[JudgedRun],
    contrasts: Sequence[Contrast],
    failed: Collection[str],
) -> Verdict:
    found = {c.verdict for c in contrasts}
    is_worse = any(c.verdict == "worse" and c.reference not in failed for c in contrasts)
    by_runs = _by_runs(data, runs, is_worse=is_worse)
    if by_runs is not None:
        return by_runs
    has_targets = any(r.statuses for r in runs)
    if variant != data.baseline and changes_nothing(data, variant):
        return Verdict.NO_EFFECT
    if found == {"equal"} and not has_targets:
        is_cut = has_other_length(data, variant)
        return Verdict.NOT_JUDGED if is_cut else Verdict.NO_EFFECT
    if has_targets or "better" in found:
        return Verdict.PASSED
    is_compared = any(c.difference is not None for c in contrasts)
    return Verdict.UNRESOLVED if is_compared else Verdict.NOT_JUDGED


def _by_runs(data: StudyData, runs: Sequence[JudgedRun], *, is_worse: bool) -> Verdict | None:
    """Return what the runs themselves decide, None when they leave it to what is compared."""
    # A run that has not ended may still turn out well.
    judged = [r for r in runs if r.is_judged or not r.run.state.is_finished]
    final = [r for r in judged if r.run.state.is_finished]
    if any(r.not_finite for r in final) or most(judged, lambda r: r in final and r.fails):
        return Verdict.FAILED
    if any(r.is_under_way for r in runs):
        return Verdict.UNDER_WAY
    if any(r.fails for r in judged):
        return Verdict.UNRESOLVED
    if is_worse or any(r.degrades for r in judged):
        return Verdict.DEGRADING
    if data.declared_keys() and not any(r.values for r in runs):
        return Verdict.NO_DATA
    is_whole = all(r.run.step is not None and r.run.state.is_finished for r in runs)
    return None if is_whole else Verdict.UNRESOLVED


def _default_reason(data: StudyData, variant: str, verdict: Verdict, at_step: int) -> str:
    ends = [run.step or 0 for run in data.runs_of(variant)]
    match verdict:
        case Verdict.NO_DATA if max(ends) < at_step:
            return f"no run reached step {at_step}, the furthest ended at {max(ends)}"
        case Verdict.NO_EFFECT:
            but = " but the total" if total_differs(data, variant) else ""
            return f"every curve{but} is that of {data.baseline} to the bit"
        case Verdict.NO_DATA:
            return f"no value of what is declared: {', '.join(data.declared_keys())}"
        case Verdict.NOT_JUDGED if not data.declared_keys():
            return "nothing says which way is better: the study declares no metric"
        case _:
            return "there is no target and no difference to judge it by"
