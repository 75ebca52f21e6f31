"""The findings that a reader would otherwise have to put together from several tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate import keys
from ablate.analysis.curves.drift import Trend
from ablate.analysis.curves.jumps import Jump
from ablate.analysis.diagnosis.budgets import Budget, Forces
from ablate.analysis.wording import number, of_runs, percent
from ablate.text import listed

FELL = -0.2
"""A loss that fell by less than a fifth over the windows did not converge to anything."""
SMALL_SHARE = 0.01
"""A term below this fraction of the total can hardly matter to it."""


def sentences_for(
    *,
    trends: Sequence[Trend],
    silent: Mapping[str, int],
    budget: Budget,
    forces: Forces,
    jumps: Sequence[Jump],
) -> tuple[str, ...]:
    """Return what follows from a variant's diagnostics, in plain words.

    Args:
        trends: Of the training losses.
        silent: Loss name -> in how many runs it sits at its silent value.
        budget: Of the total.
        forces: On the level of the output.
        jumps: Largest first.
    """
    found = [
        *_converged_to_silence(trends, silent),
        *_budget(budget),
        *_forces(forces),
        *(_jump(jump) for jump in jumps[:5]),
    ]
    return tuple(found)


def _converged_to_silence(trends: Sequence[Trend], silent: Mapping[str, int]) -> list[str]:
    fell: list[str] = []
    for trend in trends:
        name = keys.LOSS.name_in(trend.key)
        if silent.get(name) and trend.change is not None and trend.change <= FELL:
            fell.append(f"{name} ({percent(trend.change)})")
    if not fell:
        return []
    verb, end = ("fell", "value") if len(fell) == 1 else ("fell", "values")
    return [
        f"{listed(fell)} {verb} to the {end} of a silent output: this is the way to silence, "
        "not convergence"
    ]


def _budget(budget: Budget) -> list[str]:
    sentences: list[str] = []
    small = [t for t in budget.terms if t.share is not None and 0 < abs(t.share) < SMALL_SHARE]
    if small:
        parts = listed([f"{t.name} {percent(t.share, signed=False)}" for t in small])
        sentences.append(f"too small a part of the total to matter: {parts}")
    share = budget.residual_share
    if share is not None and abs(share) > SMALL_SHARE:
        sentences.append(
            f"the logged terms do not add up to the total: {number(budget.residual)} "
            f"({percent(share, signed=False)}) is in none of them"
        )
    rise, total = budget.silent_rise, budget.total
    if rise is not None and total:
        verb = "rise" if rise > 0 else "fall"
        sentences.append(
            f"if the output went silent, the total would {verb} by {number(abs(rise))} "
            f"({percent(abs(rise / total), signed=False)})"
        )
    return sentences


def _forces(forces: Forces) -> list[str]:
    sentences: list[str] = []
    for index in sorted({0, len(forces.windows) - 1}):
        net, strongest = forces.net[index] if forces.terms else None, forces.dominant(index)
        if net is None or strongest is None:
            continue
        direction = "louder" if net > 0 else "quieter"
        pull = strongest.windows[index] or 0.0
        text = (
            f"steps {forces.windows[index].label}: the terms pull the output {direction} "
            f"(net {number(net)}), most of all {strongest.name} ({number(pull)})"
        )
        against = [t for t in forces.terms if (t.windows[index] or 0.0) * net < 0]
        if against:
            rival = max(against, key=lambda t: abs(t.windows[index] or 0.0))
            other = rival.windows[index] or 0.0
            text += f"; against it {rival.name} ({number(other)}), {number(abs(pull / other), 2)}x "
            text += "weaker" if abs(pull) >= abs(other) else "as strong"
        sentences.append(text)
    return sentences


def _jump(jump: Jump) -> str:
    verb = "rose" if jump.after > jump.before else "fell"
    return (
        f"{jump.key} {verb} from {number(jump.before)} to {number(jump.after)} "
        f"at step {jump.step}, with the event {jump.event} ({of_runs(jump.jumped, jump.runs)})"
    )
