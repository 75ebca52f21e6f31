"""Effects in sentences: the answer first, then what a reader must know to believe it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ablate.analysis.effects import MetricEffects, StudyEffects
from ablate.analysis.factorial.fit import HIGHER, SEED, Effect, Effects, Noise
from ablate.analysis.factorial.shares import percent_text, share_text
from ablate.analysis.factors import FactorTable
from ablate.analysis.statistics.scales import Scale
from ablate.render.formats import interval, number
from ablate.text import counted, few, listed

_DOMINATES = 0.5
"""Of the variance: what explains at least half, and twice as much as any other, dominates."""


def answer(metric: MetricEffects) -> str:
    """Return which factor does most to a metric, in a sentence without a full stop.

    ``codebook dominates valid/loss/sc: it explains 83% [61, 92] of the variance; no effect seen:
    gan, norm_reg``.
    """
    found = metric.effects
    if found is None:
        why = "; ".join(filter(None, [metric.reason, _left_out(metric)]))
        return f"not estimable for {metric.key}: {why}"
    if found.is_flat:
        return f"{metric.key} is the same in all {found.runs} runs: no factor does anything to it"
    told = _by_share(found)
    if not told:
        return f"not estimable for {metric.key}: {_confounded(found)}"
    if found.noise.kind == "none":
        return (
            f"no effect on {metric.key} can be told from noise: {counted(found.runs, 'single run')}"
            f" of {counted(found.cells, 'combination')}; run two seeds or more"
        )
    parts = [_first(metric, told, found), *_rest(told), *_not_told(found)]
    return "; ".join(parts)


def _by_share(found: Effects) -> list[Effect]:
    """Return the effects that can be told, the largest share first."""
    told = [effect for effect in found.effects if effect.is_told and effect.share]
    return sorted(told, key=lambda e: -(e.share.seen if e.share else 0.0))


def _first(metric: MetricEffects, told: Sequence[Effect], found: Effects) -> str:
    seen = [effect for effect in told if effect.standing == "seen"]
    if not seen:
        ps = [effect.p_holm for effect in told if effect.p_holm is not None]
        smallest = f", the smallest p is {number(min(ps))}" if ps else ""
        return f"no effect on {metric.key} is seen in {counted(found.runs, 'run')}{smallest}"
    top = seen[0]
    shares = [effect.share.seen for effect in seen if effect.share]
    rivals = [*shares[1:2], found.untold_share or 0.0]
    is_alone = shares[0] >= 2 * max(rivals)
    does = "dominates" if shares[0] >= _DOMINATES and is_alone else "does most to"
    return f"{top.name} {does} {metric.key}: it explains {share_text(top.share)} of the variance"


def _rest(told: Sequence[Effect]) -> list[str]:
    seen = [e for e in told if e.standing == "seen"][1:]
    perhaps = [e.name for e in told if e.standing == "possible"]
    silent = [e.name for e in told if e.standing == "not seen" and len(e.factors) == 1]
    parts: list[str] = []
    if seen:
        shares = [f"{e.name} {percent_text(e.share.seen)}%" for e in seen if e.share]
        parts.append(f"seen too: {few(shares)}")
    if perhaps:
        parts.append(f"perhaps: {few(perhaps)}")
    if silent and (seen or any(e.standing == "seen" for e in told)):
        parts.append(f"no effect seen: {few(silent)}")
    return parts


def _not_told(found: Effects) -> list[str]:
    names = [e.name for e in found.effects if len(e.factors) == 1 and not e.is_told]
    share = percent_text(found.untold_share or 0.0)
    return [f"not estimable: {few(names)} (together {share}%)"] if names else []


def _confounded(found: Effects) -> str:
    first = next(effect for effect in found.effects if not effect.is_told)
    return f"{first.name} changes together with {few(first.ties)} in these runs"


def change_text(value: float | None, low: float | None, high: float | None, scale: Scale) -> str:
    """Return ``+21.6 [14.9, 28.4]``, or on the logarithm ``x1.25 [1.1, 1.42]``."""
    if value is None:
        return "-"
    if scale == "log":
        bounds = f" [{_ratio(low)}, {_ratio(high)}]" if low is not None and high is not None else ""
        return f"x{_ratio(value)}{bounds}"
    sign = "+" if value > 0 else ""
    digits = 5 if math.isclose(value, float(f"{value:.5g}"), rel_tol=1e-12) else 3
    return " ".join(filter(None, [f"{sign}{number(value, digits)}", interval(low, high)]))


def _ratio(logarithm: float) -> str:
    return number(ratio(logarithm))


def ratio(logarithm: float) -> float:
    """Return the ratio of which this is the natural logarithm; infinite where no float holds it."""
    try:
        return math.exp(logarithm)
    except OverflowError:
        return math.inf


def noise_sentence(noise: Noise, scale: Scale) -> str:
    """Return what an effect is measured against."""
    if noise.kind == "lenth" and noise.lenth is not None:
        found = noise.lenth
        return (
            "Single runs: an effect is seen if it stands out of the others (Lenth 1989: pseudo "
            f"standard error {number(found.pse, 5)}, margin {number(found.margin, 5)} as in [ ], "
            f"simultaneous margin {number(found.simultaneous_margin, 5)}"
            f"{', of natural logarithms' if scale == 'log' else ''})."
        )
    if noise.kind == "none":
        return "Single runs say nothing of noise; run two seeds or more."
    spread = {
        "repeats": "the runs of one combination",
        "rest": "what the effects leave, interactions of three and more factors among it",
        "interactions": "what the main effects leave: single runs, so interactions count as noise",
    }[noise.kind]
    unit = " (natural logarithm)" if scale == "log" else ""
    return (
        f"Noise: {spread}, {counted(noise.df, 'degree')} of freedom, "
        f"standard deviation {number(noise.sd)}{unit}."
    )


def metric_notes(metric: MetricEffects, table: FactorTable) -> list[str]:
    """Return what a reader must know of one metric's effects."""
    notes: list[str] = []
    if metric.left_out:
        notes.append(f"{_left_out(metric)}; what is said is of the others")
    found = metric.effects
    if found is None or found.is_flat:
        return notes
    notes += [
        f"{name} is not estimable: only {level} has a value" for name, level in metric.held.items()
    ]
    notes += _missing_note(found)
    if found.seeds > 1 and not found.blocks:
        notes.append("the seeds are no block: not each of them was run in several combinations")
    mains = sum(len(effect.factors) == 1 for effect in found.effects)
    if mains > 1 and not any(len(effect.factors) > 1 for effect in found.effects):
        notes.append("too many runs and levels to tell each interaction; all are taken together")
    notes += _tie_notes(found)
    notes += _untold_notes(found, table)
    return notes


def _left_out(metric: MetricEffects) -> str:
    """Return ``runs that take no part: 2 diverged and 1 without a value``, or nothing."""
    reasons = [f"{count} {why}" for why, count in sorted(metric.left_out.items())]
    return f"runs that take no part: {listed(reasons)}" if reasons else ""


def _missing_note(found: Effects) -> list[str]:
    """Return how many combinations have no run, and which, where they are few."""
    lacking = found.whole - found.cells
    if not lacking:
        return []
    named = ""
    if lacking == len(found.missing) <= _NAMED:
        names = [effect.factors[0] for effect in found.effects if len(effect.factors) == 1]
        named = ": " + "; ".join(_cell(names, cell) for cell in found.missing)
    return [f"{lacking} of {found.whole} combinations have no run{named}"]


_NAMED = 3


def _cell(names: Sequence[str], levels: Sequence[str]) -> str:
    return " ".join(f"{name}={level}" for name, level in zip(names, levels, strict=True))


def _tie_notes(found: Effects) -> list[str]:
    """Return which effects hold only if others are zero."""
    tied = [e for e in found.effects if e.is_told and e.ties and len(e.factors) == 1]
    ties = dict.fromkeys(tie for effect in tied for tie in effect.ties)
    if not tied:
        return []
    if len(tied) > 1 and found.noise.kind == "lenth":
        pairs = few([f"{e.name} with {few(e.ties, 2)}" for e in tied], 4)
        return [f"confounded in this fraction, so told together: {pairs}"]
    names = few([effect.name for effect in tied])
    return [
        f"{names}: estimated as if {few(list(ties), 3)} were zero; "
        "these runs cannot tell them apart"
    ]


def _untold_notes(found: Effects, table: FactorTable) -> list[str]:
    """Return what is not estimable, why, and what to run."""
    untold = [effect for effect in found.effects if not effect.is_told]
    notes = [_untold_main(e, table) for e in untold if len(e.factors) == 1]
    pairs = [effect for effect in untold if len(effect.factors) > 1]
    if found.noise.kind == "interactions" and pairs:
        notes.append(
            f"not estimable: {few([e.name for e in pairs], 3)}: single runs cannot tell an "
            "interaction from noise; run two seeds or more"
        )
    elif pairs:
        notes.append(_untold_pairs(pairs, table))
    partly = [e for e in found.effects if e.is_told and e.ties and len(e.factors) == 2]
    if partly and found.noise.kind != "lenth":
        notes.append(f"estimable in part: {few([e.name for e in partly], 3)}; combinations lack")
    return notes


def _untold_main(effect: Effect, table: FactorTable) -> str:
    name = effect.factors[0]
    others = [tie for tie in effect.ties if tie in table.levels]
    head = f"not estimable: {name} changes together with {few(effect.ties) or 'others'}"
    if SEED in effect.ties:
        return f"{head}; run each of its levels at the same seeds"
    for other in others:
        seen = {(levels[name], levels[other]) for levels in table.of.values()}
        every = ((a, b) for a in table.levels[name] for b in table.levels[other])
        lacking = next((pair for pair in every if pair not in seen), None)
        if lacking is not None:
            return f"{head}; run {_cell((name, other), lacking)}"
    return head


def _untold_pairs(pairs: Sequence[Effect], table: FactorTable) -> str:
    first = pairs[0]
    names = few([effect.name for effect in pairs], 3)
    if first.missing:
        why = f"no run has {_cell(first.factors, first.missing[0])}"
        why += "" if len(pairs) == 1 and len(first.missing) == 1 else " and others"
    else:
        why = f"confounded with {few(first.ties, 3)}"
    return (
        f"not estimable: {names}: {why}; a grid of all {table.combinations} combinations tells them"
    )


def study_notes(found: StudyEffects) -> list[str]:
    """Return what a reader must know of the factors."""
    table = found.factors
    notes: list[str] = []
    if table.left_out:
        notes.append(f"no combination of the factors, so left out: {few(table.left_out)}")
    if table.source == "configs":
        notes.append("the factors are the config keys in which the variants differ")
    notes += [
        f"{name} stands for {len(keys)} keys that change together: {few(keys, 3)}"
        for name, keys in table.keys.items()
    ]
    notes += [f"{name} is {level} in all of them" for name, level in table.held.items()]
    return notes


def shown_name(effect: Effect, table: FactorTable) -> str:
    """Return ``gan: false, true`` for a factor of two levels, else the effect's name."""
    if len(effect.factors) != 1 or effect.value is None:
        return effect.name
    return f"{effect.name}: {' to '.join(table.levels[effect.factors[0]])}"


def is_listed(effect: Effect, effects: Effects) -> bool:
    """Whether an effect has a line in a table that people read."""
    if not effect.is_told:
        return False
    is_short = len(effects.effects) <= _MOST_LINES or len(effect.factors) <= 2
    return is_short or effect.name == HIGHER or effect.standing in ("seen", "possible")


_MOST_LINES = 31
"""All effects of five factors at two levels; of more, those of three factors only where seen."""
