"""What is to be said of a variant's differences to what it is compared with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ablate.analysis.curves.study_data import ENDED_BADLY, StudyData
from ablate.analysis.judging.contrast_text import difference_text, seeds_text
from ablate.analysis.judging.judged import JudgedRun, most
from ablate.analysis.judging.silence_reasons import NOTE, WARN, Reason, so_far
from ablate.analysis.statistics.contrasts import Contrast
from ablate.analysis.statistics.fisher import fisher_p
from ablate.analysis.statistics.intervals import CONFIDENCE
from ablate.analysis.wording import number, of_runs, span

Told = tuple[str, Contrast]
"""A metric's key, and a contrast in it."""


def contrast_reasons(
    runs: Sequence[JudgedRun], contrasts: Sequence[Told], failed: Collection[str]
) -> list[Reason]:
    """Return what is decided, what is only seen, and what is open, for each reference.

    Args:
        runs: Of the variant.
        contrasts: Of the variant; the primary ones decide, the others are hints.
        failed: Variants that failed: to be worse than one of them says nothing.
    """
    reasons: list[Reason] = []
    for reference in dict.fromkeys(c.reference for _, c in contrasts):
        own = [(key, c) for key, c in contrasts if c.reference == reference]
        deciding = [(key, c) for key, c in own if c.is_primary]
        reasons += _resolved(runs, deciding, has_failed=reference in failed)
        reasons += _equal(reference, deciding)
        reasons += _withheld(runs, reference, deciding)
        reasons += _open(reference, deciding)
        reasons += _exploratory(reference, [(key, c) for key, c in own if not c.is_primary])
    return reasons


def loss_reasons(
    data: StudyData, runs: Sequence[JudgedRun], references: Sequence[str]
) -> Iterator[Reason]:
    """Yield the references of which surely a smaller share of runs ended badly."""
    lost = sum(r.run.state in ENDED_BADLY for r in runs)
    for reference in references:
        others = data.runs_of(reference)
        other_lost = sum(run.state in ENDED_BADLY for run in others)
        if not others or lost * len(others) <= other_lost * len(runs):
            continue
        p = fisher_p(lost, len(runs), other_lost, len(others))
        if p < 1 - CONFIDENCE:
            text = (
                f"{of_runs(lost, len(runs))} ended badly, against {other_lost} of {len(others)} of "
                f"{reference}: more than chance makes (Fisher's exact p {number(p, 2)})"
            )
            yield (WARN, 0.0, 210), text


def _resolved(
    runs: Sequence[JudgedRun], contrasts: Sequence[Told], *, has_failed: bool
) -> Iterator[Reason]:
    is_silent = most(runs, lambda r: r.silence.is_silent)
    for order, (key, contrast) in enumerate(contrasts):
        if contrast.verdict in ("worse", "better"):
            is_worse = contrast.verdict == "worse"
            severity = WARN if is_worse and not has_failed else NOTE
            text = so_far(runs) + _sentence(key, contrast)
            if is_worse and has_failed:
                text += f", but {contrast.reference} itself failed"
            elif not is_worse and is_silent:
                text += ", as a silent output would be"
            yield (severity, 0.0, 400 + order), text


def _sentence(key: str, contrast: Contrast) -> str:
    what = f"{key}, by its distance to the target," if contrast.measure != "value" else key
    return (
        f"{what} is {contrast.verdict} than {contrast.reference} "
        f"({difference_text(contrast)}, {_seeds([contrast])})"
    )


def _equal(reference: str, contrasts: Sequence[Told]) -> Iterator[Reason]:
    equal = [(key, c) for key, c in contrasts if c.verdict == "equal"]
    severity = WARN if len(equal) == len(contrasts) else NOTE
    if exact := [key for key, c in equal if c.difference == 0]:
        yield (severity, 0.0, 450), f"exactly as {reference} in {', '.join(exact)}"
    for key, contrast in equal:
        if contrast.difference != 0:
            how = (
                "differs, but by less than the margin" if contrast.is_within_margin else "is equal"
            )
            of = "" if contrast.is_within_margin else " within the margin"
            yield (
                (NOTE, 0.0, 451),
                f"{key} {how}, against {reference}{of} ({difference_text(contrast)}, "
                f"{_seeds([contrast])})",
            )


def _withheld(
    runs: Sequence[JudgedRun], reference: str, contrasts: Sequence[Told]
) -> Iterator[Reason]:
    withheld = [key for key, c in contrasts if c.verdict == "withheld"]
    if not withheld:
        return
    lost = sum(r.is_lost for r in runs)
    who = f"{reference} lost runs, and its survivors prove nothing"
    if lost:
        who = f"{of_runs(lost, len(runs))} lost, the rest proves nothing"
    yield (NOTE, 0.0, 590), f"no verdict against {reference} in {', '.join(withheld)}: {who}"


def _open(reference: str, contrasts: Sequence[Told]) -> Iterator[Reason]:
    open_ = [(k, c) for k, c in contrasts if c.verdict == "unresolved" and c.difference is not None]
    if open_:
        parts = [
            f"{k} ({difference_text(c)}{'; ' + seeds_text(c.seeds) if c.seeds else ''})"
            for k, c in open_
        ]
        seeds = _seeds([c for _, c in open_])
        text = f"not resolved against {reference} with {seeds}: {', '.join(parts)}"
        yield (NOTE, 0.0, 600), text


def _exploratory(reference: str, contrasts: Sequence[Told]) -> Iterator[Reason]:
    parts = [
        f"{verdict} in {', '.join(keys)}"
        for verdict in ("better", "worse", "equal")
        if (keys := [key for key, c in contrasts if c.verdict == verdict])
    ]
    if parts:
        yield (NOTE, 0.0, 620), f"exploratory, against {reference}: {'; '.join(parts)}"


def _seeds(contrasts: Sequence[Contrast]) -> str:
    """Return ``3 seeds``, or ``2 against 3 seeds`` where the two sides have not as many."""
    own, theirs = (
        span(n) for n in ([c.n_variant for c in contrasts], [c.n_reference for c in contrasts])
    )
    if own == theirs:
        return f"{own} seed{'' if own == '1' else 's'}"
    return f"{own} against {theirs} seeds"
