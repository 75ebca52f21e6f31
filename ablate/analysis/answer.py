"""The answer to a study's question, in a few sentences made of the comparison alone.

In this order: who meets the targets and is best, what is decided, how large a difference nothing
makes, why the others failed, what is open. A sentence that has nothing to say is left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from ablate.analysis.aa import Copies, Floor
from ablate.analysis.comparison import ComparedVariant, Comparison, Metric
from ablate.analysis.effects import MetricEffects
from ablate.analysis.factorial.shares import share_text
from ablate.analysis.judging.contrast_text import ends_text, seeds_text
from ablate.analysis.judging.verdicts import Verdict
from ablate.analysis.statistics.contrasts import Contrast
from ablate.analysis.statistics.seeds import SeedsNeeded
from ablate.analysis.statistics.summaries import MetricSummary
from ablate.analysis.wording import number, ratios_text, span
from ablate.text import counted, few, listed

_LOST = (Verdict.FAILED, Verdict.NO_DATA)
_MOST_REFERENCES = 3
"""Of so many is said what is decided; the rest is counted."""


def answer_of(comparison: Comparison) -> tuple[str, ...]:
    """Return the answer, the most important sentence first; none where no run has a value."""
    metrics = comparison.metrics
    seen = [row for row in comparison.rows if row.verdict is not Verdict.NO_DATA]
    decided = [told for row in seen for told in _deciding(row)]
    return (
        *_targets(seen, metrics),
        *_decided(decided),
        *_floors(comparison.aa),
        *_causes(seen),
        *_factors(comparison.effects),
        *_open(decided),
    )


_Told = tuple[str, str, Contrast]
"""A variant, a key, and its contrast."""


def _deciding(row: ComparedVariant) -> Iterator[_Told]:
    for key, summary in row.values.items():
        for contrast in summary.contrasts:
            if contrast.is_primary and contrast.verdict:
                yield row.variant, key, contrast


def _targets(rows: Sequence[ComparedVariant], metrics: Sequence[Metric]) -> Iterator[str]:
    total = max((row.targets for row in rows), default=0)
    good = [row for row in rows if row.targets_met == row.targets > 0]
    names = few([row.variant for row in good])
    best = _best([row for row in (good or rows) if row.verdict not in _LOST], metrics)
    if not total:
        if best:
            yield f"{best[0].upper()}{best[1:]}."
        return
    what = "the target" if total == 1 else f"all {total}"
    if len(good) == len(rows):
        text = f"{'every variant' if len(rows) > 1 else names} meets {what}"
    elif good:
        others = len(rows) - len(good)
        verb = "meets" if len(good) == 1 else "meet"
        rest = "the other variant does" if others == 1 else f"the other {others} variants do"
        text = f"{names} {verb} {what}; {rest} not"
    else:
        most = max(row.targets_met for row in rows)
        nearest = few([row.variant for row in rows if row.targets_met == most])
        text = f"no variant meets {what}"
        text += f"; {nearest}: {most} of {total}" if most else ""
    yield f"Targets: {text}; {best}." if best and len(good) != 1 else f"Targets: {text}."


def _best(rows: Sequence[ComparedVariant], metrics: Sequence[Metric]) -> str:
    """Return which of several variants has the best mean in the first primary metric."""
    metric = next((m for m in metrics if m.is_primary and m.goal in ("min", "max")), None)
    if metric is None:
        return ""
    values = {
        row.variant: summary.mean
        for row in rows
        if (summary := row.values.get(metric.key)) and summary.n and _is_at_step(summary)
    }
    if len(values) < 2:
        return ""
    pick = max if metric.goal == "max" else min
    name = pick(values, key=values.__getitem__)
    return f"best mean of {metric.key}: {name} ({number(values[name])})"


def _is_at_step(summary: MetricSummary) -> bool:
    """Whether it is read where the others are: what is under way may still change."""
    return summary.stands_at is None and summary.stopped_at is None


def _decided(told: Sequence[_Told]) -> Iterator[str]:
    tested = [(name, key, c) for name, key, c in told if c.p_holm is not None]
    if not tested:
        return
    decided = [(name, key, c) for name, key, c in tested if c.is_decided]
    head = f"Decided: {len(decided)} of {counted(len(tested), 'contrast')}"
    if not decided:
        yield f"{head}; no difference is larger than what seeds make."
        return
    by_reference: dict[str, list[_Told]] = {}
    for name, key, contrast in decided:
        by_reference.setdefault(contrast.reference, []).append((name, key, contrast))
    parts = [_against(ref, own) for ref, own in list(by_reference.items())[:_MOST_REFERENCES]]
    left = sum(len(own) for own in list(by_reference.values())[_MOST_REFERENCES:])
    more = f"; and {left} more" if left else ""
    yield f"{head}; {'; '.join(parts)}{more}."


def _against(reference: str, told: Sequence[_Told]) -> str:
    """Return ``phase1 and phase_a are worse than base in sc (+41% to x2.7)``."""
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[str, list[Contrast]]]] = {}
    for key in dict.fromkeys(key for _, key, _ in told):
        for verdict in ("better", "worse", "equal"):
            own = [(name, c) for name, k, c in told if (k, c.verdict) == (key, verdict)]
            names = tuple(name for name, _ in own)
            if own:
                groups.setdefault((verdict, names), []).append((key, [c for _, c in own]))
    parts: list[str] = []
    for (verdict, names), metrics in groups.items():
        verb = "is" if len(names) == 1 else "are"
        how = "equal to" if verdict == "equal" else f"{verdict} than"
        what = listed([f"{key} ({ends_text(contrasts)})" for key, contrasts in metrics])
        parts.append(f"{few(names)} {verb} {how} {reference} in {what}")
    return ", ".join(parts)


def _floors(aa: Sequence[Copies]) -> Iterator[str]:
    """Return what copies that differ in nothing but their seeds were seen to differ by."""
    for copies in aa:
        yield f"Nothing but other seeds: {_floor(copies)}."


def _floor(copies: Copies) -> str:
    lost = f"; {copies.lost} of {counted(copies.runs, 'run')} ended badly" if copies.lost else ""
    floors = [floor for floor in copies.floors if floor.contrasts]
    seen = {name for floor in floors for name in floor.contrasts}
    others = len(copies.names) - len(seen)
    if not seen:
        who = f"{counted(others, 'copy', 'copies')} of {copies.of}"
        return f"{who} cannot be compared at this step{lost}"
    is_one = len(seen) == 1
    seeds = span(c.n_variant for floor in floors for c in floor.contrasts.values())
    parts = [
        f"{counted(len(seen), 'copy', 'copies')} of {copies.of}, "
        f"{seeds} seed{'' if seeds == '1' else 's'}{'' if is_one else ' each'}, "
        f"{'was' if is_one else 'were'} seen to differ from it by {'' if is_one else 'up to '}"
        f"{listed([_largest(floor) for floor in floors])}",
        # Copies are exchangeable: each is as likely as another to be the furthest.
        f"one more would differ by more one time in {len(seen) + 1}",
    ]
    if tested := sum(floor.tested for floor in floors):
        decided = sum(floor.decided for floor in floors)
        verb = "was" if 1 in (decided, tested) else "were"
        parts.append(f"{decided} of {counted(tested, 'contrast')} {verb} decided")
    if any(floor.are_seeds_shared for floor in floors):
        parts.append("the variants are compared at the same seeds, where chance makes less")
    if others:
        parts.append(f"{others} more cannot be compared at this step")
    return "; ".join(parts) + lost


def _largest(floor: Floor) -> str:
    """Return ``0.31 in KEY``, or ``12% in KEY`` where ratios are compared."""
    ratio = floor.largest_ratio
    size = number(floor.largest) if ratio is None else ratios_text([ratio])[0].removeprefix("+")
    is_distance = any(c.measure != "value" for c in floor.contrasts.values())
    return f"{size} in {'the distance to the target of ' * is_distance}{floor.key}"


def _causes(rows: Sequence[ComparedVariant]) -> Iterator[str]:
    failed = [row for row in rows if row.verdict is Verdict.FAILED]
    groups: dict[str, list[ComparedVariant]] = {}
    for row in failed:
        groups.setdefault(row.causes[0].name if row.causes else "", []).append(row)
    parts = [_because(name, own) for name, own in _by_size(groups)]
    if parts:
        yield f"Why: {'; '.join(parts)}."


def _by_size(
    groups: Mapping[str, list[ComparedVariant]],
) -> list[tuple[str, list[ComparedVariant]]]:
    return sorted(groups.items(), key=lambda group: (not group[0], -len(group[1])))


def _because(cause: str, rows: Sequence[ComparedVariant]) -> str:
    names = few([row.variant for row in rows])
    if not cause:
        return f"{names} failed, and what was logged tells no cause"
    return f"{names} failed, most likely because {rows[0].causes[0].short}"


def _factors(metrics: Sequence[MetricEffects]) -> Iterator[str]:
    """Return which factors are seen to do something, and which are not."""
    parts: list[str] = []
    for metric in metrics:
        found = metric.effects
        if found is None or found.noise.kind == "none":
            continue
        seen = [e for e in found.effects if e.standing == "seen" and e.share]
        seen.sort(key=lambda e: -e.share.seen if e.share else 0.0)
        shares = [f"{e.name} explains {share_text(e.share)}" for e in seen[:2] if e.share]
        silent = [e.name for e in found.effects if len(e.factors) == 1 and e.standing != "seen"]
        text = (
            f"{listed(shares)} of the variance of {metric.key}"
            if shares
            else f"none is seen in {metric.key}"
        )
        rest = f" (no effect seen: {few(silent)})" if shares and silent else ""
        parts.append(text + rest)
    if parts:
        yield f"Factors: {'; '.join(parts)}."


def _open(told: Sequence[_Told]) -> Iterator[str]:
    open_ = [(name, key, c) for name, key, c in told if c.verdict == "unresolved"]
    if not open_:
        return
    single = [name for name, _, c in open_ if c.p_holm is None]
    if len(single) == len(open_):
        yield f"Open: {few(list(dict.fromkeys(single)))}; one seed tells nothing of its noise."
        return
    names = [f"{name} against {c.reference}" for name, _, c in open_]
    text = f"Open: {few(list(dict.fromkeys(names)), 4)}"
    if len(open_) == 1:
        text += f" in {open_[0][1]}"
    yield f"{text}{_missing([c.seeds for _, _, c in open_ if c.p_holm is not None])}."


def _missing(needed: Sequence[SeedsNeeded | None]) -> str:
    """Return how many seeds would decide what is open, and of how much nothing can be said."""
    known = [seeds for seeds in needed if seeds is not None]
    if len(needed) == len(known) == 1:
        return f"; {seeds_text(known[0])}"
    parts: list[str] = []
    if known:
        many = statistics.median_high(seeds.usual for seeds in known)
        count = sum(seeds.usual <= many for seeds in known)
        of = "all" if count == len(needed) else f"{count} of these {len(needed)} contrasts"
        parts.append(f"with {many} seeds each, {of} would likely be decided")
    if unseen := len(needed) - len(known):
        where = f"in {unseen} of them " if known else ""
        parts.append(f"{where}nothing is seen but noise")
    return f"; {'; '.join(parts)}"
