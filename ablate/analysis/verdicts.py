"""What follows for a variant from its targets, its losses, its endings and its contrasts.

A run fails when it diverged, failed, was stopped, misses a target by more than as much again as
the target allows, or sits at silence in every loss. A variant fails when at least half of its runs
do, and is unresolved when fewer do: its seeds disagree. Every count is k of n; a run that ended
badly is counted, never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ablate.analysis.contrasts import Contrast
from ablate.analysis.judged import JudgedRun, judged_runs, most
from ablate.analysis.reasons import reasons_for, reasons_without_points
from ablate.analysis.study_data import StudyData
from ablate.rules import Status


class Verdict(StrEnum):
    """What follows for a variant."""

    PASSED = "passed"
    DEGRADING = "degrading"
    FAILED = "failed"
    UNRESOLVED = "unresolved"
    NO_DATA = "no data"


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
    contrasts: Mapping[str, Contrast],
    baseline_failed: bool = False,
) -> VariantVerdict:
    """Return the verdict on a variant.

    Args:
        data: The study.
        variant: Its name.
        at_step: The compared step; None when no run has a point.
        contrasts: Key -> contrast with the baseline, for the declared metrics; empty for the
            baseline itself.
        baseline_failed: To be worse than a baseline that failed says nothing against a variant.
    """
    runs = judged_runs(data, variant, at_step or 0)
    if at_step is None or not any(r.is_judged or r.run.step is not None for r in runs):
        is_lost = most(runs, lambda r: r.ended_badly)
        verdict = Verdict.FAILED if is_lost else Verdict.NO_DATA
        return VariantVerdict(
            variant=variant, verdict=verdict, reasons=reasons_without_points(runs)
        )
    return VariantVerdict(
        variant=variant,
        verdict=_verdict(data, runs, contrasts, baseline_failed),
        reasons=reasons_for(
            data, variant, at_step, runs=runs, contrasts=contrasts, baseline_failed=baseline_failed
        ),
    )


def _verdict(
    data: StudyData,
    runs: Sequence[JudgedRun],
    contrasts: Mapping[str, Contrast],
    baseline_failed: bool,
) -> Verdict:
    judged = [r for r in runs if r.is_judged]
    if most(judged, lambda r: r.fails):
        return Verdict.FAILED
    if any(r.fails for r in judged):
        return Verdict.UNRESOLVED
    if any(Status.DEGRADING in r.statuses.values() for r in judged):
        return Verdict.DEGRADING
    found = {c.verdict for c in contrasts.values()}
    if "worse" in found and not baseline_failed:
        return Verdict.DEGRADING
    came = [r for r in runs if r.run.step is not None]
    if len(came) < len(runs) or any(not r.run.state.is_finished for r in runs):
        return Verdict.UNRESOLVED
    if data.targets:
        return Verdict.PASSED if judged else Verdict.UNRESOLVED
    return Verdict.PASSED if not contrasts or found & {"better", "equal"} else Verdict.UNRESOLVED
