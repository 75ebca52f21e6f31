"""What is to be said of an output that is no better than silence, noise or another utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mode

from ablate.analysis.diagnosis.run_view import typical
from ablate.analysis.diagnosis.trivial import Likeness
from ablate.analysis.judging.judged import JudgedRun
from ablate.analysis.wording import of_runs, span
from ablate.rules import mean
from ablate.text import listed

Reason = tuple[tuple[int, float, int], str]
"""Sort key (severity, minus the share of runs, order of mention), sentence."""

FAIL, WARN, NOTE = range(3)


def silence_reasons(runs: Sequence[JudgedRun]) -> list[Reason]:
    """Return in how many runs the losses that are trained on sit at their silent values."""
    silent = [r for r in runs if r.silence.is_silent]
    reasons: list[Reason] = []
    if silent:
        names = [loss.name for loss in silent[0].silence.losses]
        ratios = listed([f"{name} {_mean_ratio(silent, name):.2f}x" for name in names])
        text = f"{of_runs(len(silent), len(runs))}: every loss sits at its silent value ({ratios})"
        text = so_far(silent) + text
        since = [s for r in silent if (s := r.silence.since_step) is not None]
        text += f", from step {span(since)} on" if since else ""
        reasons.append(((FAIL, -len(silent) / len(runs), -1), text))
    partly = [
        r
        for r in runs
        if not r.silence.is_silent and 2 * len(r.silence.at_silent) >= len(r.silence.losses) > 0
    ]
    if partly:
        worst = partly[0].silence
        ratios = listed([f"{loss.name} {loss.ratio:.2f}x" for loss in worst.at_silent])
        text = (
            f"{of_runs(len(partly), len(runs))}: {len(worst.at_silent)} of {len(worst.losses)} "
            f"losses sit at their silent value ({ratios})"
        )
        reasons.append(((WARN, -len(partly) / len(runs), 100), text))
    return reasons


def so_far(runs: Sequence[JudgedRun]) -> str:
    """Return what stands before a sentence about runs of which any is under way."""
    return "so far " if any(r.is_under_way for r in runs) else ""


def _mean_ratio(runs: Sequence[JudgedRun], name: str) -> float:
    return mean([loss.ratio for r in runs for loss in r.silence.losses if loss.name == name])


def likeness_reasons(runs: Sequence[JudgedRun]) -> list[Reason]:
    """Return in how many runs no loss tells the output from one that knows nothing, or some loss
    would be better for silence.
    """
    trivial = [r for r in runs if r.likeness.is_trivial and not r.silence.is_silent]
    spectral = [r for r in runs if r.likeness.is_spectrum_only]
    rest = [r for r in runs if not (r.likeness.is_trivial or r.likeness.is_spectrum_only)]
    above = [r for r in rest if r.likeness.above_silence]
    reasons: list[Reason] = []
    if trivial:
        text = _trivial_sentence([r.likeness for r in trivial])
        reasons.append(_reason(FAIL, -2, (trivial, runs), text))
    if spectral:
        ratios = _over_silence([r.likeness for r in spectral])
        text = f"spectrum only, the waveform is worse than silence ({ratios} its silent value)"
        reasons.append(_reason(WARN, 90, (spectral, runs), text))
    if above:
        ratios = _over_silence([r.likeness for r in above])
        text = f"silence would be better in some losses ({ratios} its silent value)"
        reasons.append(_reason(NOTE, 340, (above, runs), text))
    return reasons


def _reason(
    severity: int, order: int, runs: tuple[Sequence[JudgedRun], Sequence[JudgedRun]], text: str
) -> Reason:
    found, everyone = runs
    head = f"{so_far(found)}{of_runs(len(found), len(everyone))}"
    return (severity, -len(found) / len(everyone), order), f"{head}: {text}"


def _trivial_sentence(found: Sequence[Likeness]) -> str:
    nearest = mode(x.nearest for x in found)
    ratios = _ratios([{loss.name: loss.over(nearest) for loss in x.losses} for x in found], limit=5)
    return (
        "no held-out loss tells the output from one that knows nothing of its target; it is most "
        f"like '{nearest}' ({ratios} of what that gets)"
    )


def _over_silence(found: Sequence[Likeness]) -> str:
    return _ratios([{loss.name: loss.over_silence for loss in x.above_silence} for x in found])


def _ratios(found: Sequence[Mapping[str, float | None]], limit: int | None = None) -> str:
    known = typical([{n: v for n, v in x.items() if v is not None} for x in found])
    return listed([f"{name} {ratio:.2f}x" for name, ratio in list(known.items())[:limit]])
