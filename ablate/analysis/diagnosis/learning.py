"""Signs that the optimizer, a part of the model or the codes do not learn as they should."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ablate.analysis.diagnosis.run_view import RunView, middle
from ablate.analysis.diagnosis.signs import Sign, seen
from ablate.analysis.wording import number, rough
from ablate.domain import RunState
from ablate.text import listed

HEALTHY = 1e-3
"""Length of an optimizer step over that of the weights, where training goes well."""
ABSURD = 0.03
"""Steps as long as this in most of the run leave nothing of what was learned."""
PEAK = 0.05
"""Steps as long as this can do so at once; that they did is seen in parts that hardly move now."""
DEAD = 1e-4
"""Shorter steps after such long ones have no gradient behind them."""
IDLE = 1e-5
"""Steps as short as this in most of the run lead nowhere, if also"""
WAY = 0.01
"""... all steps of the run in a row would be shorter than this fraction of the weights' length."""
EXPLAINED = 0.25
"""A quantizer that explains less of the variance of its input passes on noise."""
STILL = 1e-3
"""Codes that changed by less than this fraction have not been fitted to anything."""
STANDING = 0.3
"""Codes that stand to the bit from this share of the records to the next do not learn: what moves
them now and then is another rule, as the restart of those that nothing chooses."""
FEW_CODES = 0.03
"""A batch that uses a smaller share of the codes has in effect none."""


def rate_too_high(views: Sequence[RunView]) -> Sign | None:
    """Steps far longer than weights can bear, in most of the run."""

    def look(view: RunView) -> dict[str, float] | None:
        steps = _step_lengths(view)
        # The longest: where steps are too long, other parts are soon where no gradient is.
        size = max((middle(curve) or 0.0 for curve in steps.values()), default=0.0)
        peak = max((max(curve) for curve in steps.values()), default=0.0)
        dead = sum(curve[-1] < DEAD for curve in steps.values())
        if size < ABSURD and (peak < PEAK or 2 * dead < len(steps)):
            return None
        evidence = {f"train/update/{part}": max(curve) for part, curve in steps.items()}
        for key in ("train/optim/clip_fraction", "train/optim/lr"):
            if (value := view.recent(key)) is not None:
                evidence[key] = value
        return {**evidence, "parts that hardly move any more": dead}

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    parts = [key for key in evidence if key.startswith("train/update/")]
    longest = max(parts, key=evidence.__getitem__)
    size, dead = evidence[longest], round(evidence["parts that hardly move any more"])
    text = (
        f"the learning rate is too high: a step moves weights by up to {number(size)} of their own "
        f"length ({longest}; about {HEALTHY:g} is healthy)"
    )
    if (rate := evidence.get("train/optim/lr")) is not None:
        text += f" at train/optim/lr {number(rate)}"
    if (clipped := evidence.get("train/optim/clip_fraction")) is not None:
        text += f", train/optim/clip_fraction {number(clipped)}"
    if dead:
        text += f"; {dead} of {len(parts)} parts were driven to where they hardly move any more"
    if any(view.run.state == RunState.DIVERGED for view in views):
        text += ", and the loss diverged"
    text += f"; steps are {rough(size / HEALTHY)} times as long as is usual"
    return Sign(name="learning rate too high", sentence=text, evidence=evidence, runs=runs)


def rate_too_low(views: Sequence[RunView]) -> Sign | None:
    """Steps too short to lead anywhere, in most of the run and all of them together."""

    def look(view: RunView) -> dict[str, float] | None:
        steps = _step_lengths(view)
        size = max((middle(curve) or 0.0 for curve in steps.values()), default=0.0)
        if not 0 < size < IDLE or size * view.last >= WAY:
            return None
        rate = view.recent("train/optim/lr")
        return {"longest step": size} | ({} if rate is None else {"train/optim/lr": rate})

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    text = (
        f"the learning rate is too low: a step moves weights by "
        f"{number(evidence['longest step'])} of their own length (about {HEALTHY:g} is healthy)"
    )
    if (rate := evidence.get("train/optim/lr")) is not None:
        text += f" at train/optim/lr {number(rate)}"
    text += ", so that the model is as good as untrained"
    return Sign(name="learning rate too low", sentence=text, evidence=evidence, runs=runs)


def _step_lengths(view: RunView) -> dict[str, list[float]]:
    """Return part -> the lengths of its steps, at least two of each.

    A part that never moves says nothing of the rate, and codes that are means move by another rule.
    """
    curves = {
        part: [v for v in view.history(f"train/update/{part}").values() if math.isfinite(v)]
        for part in view.data.names_in("train/update")
        if not _is_of_codes(part)
    }
    return {part: curve for part, curve in curves.items() if len(curve) > 1 and any(curve)}


def part_still(views: Sequence[RunView]) -> Sign | None:
    """A part or parameter that never moves while others do."""

    def look(view: RunView) -> dict[str, float] | None:
        moves = _movements(view)
        still = {key: 0.0 for key, moved in moves.items() if not moved}
        return still if still and any(moves.values()) else None

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    names = [key.split("/")[-1] for key in evidence]
    # A part says it for its parameters.
    parts = [n for n in names if not any(n != o and n.startswith(o) for o in names)]
    verb, they = ("does", "its") if len(parts) == 1 else ("do", "their")
    text = (
        f"{listed(parts)} {verb} not learn: {listed(sorted(evidence))} stayed exactly 0 while "
        f"other parts moved; {they} gradient is cut, or the part is frozen"
    )
    return Sign(name="a part does not learn", sentence=text, evidence=evidence, runs=runs)


def _movements(view: RunView) -> dict[str, bool]:
    """Return metric key -> whether that part or parameter ever moved; codes are not among them."""
    found: dict[str, bool] = {}
    for group in ("train/update", "train/change"):
        for name in view.data.names_in(group):
            key = f"{group}/{name}"
            now = view.settled(key)
            if now is None or _is_of_codes(name):
                continue
            found[key] = now != 0 or any(view.history(key).values())
    return found


def _is_of_codes(name: str) -> bool:
    return name.startswith(("codebook", "quantizer"))


def codebook_still(views: Sequence[RunView]) -> Sign | None:
    """Codes that stay where they began, or where they were put."""

    def look(view: RunView) -> dict[str, float] | None:
        changes = _code_changes(view)
        standing = [_standing(view.history(key)) for key in changes]
        is_still = [
            value < STILL or share >= STANDING
            for value, share in zip(changes.values(), standing, strict=True)
        ]
        if not is_still or not all(is_still):
            return None
        evidence = {**changes, "share of records without a move": min(standing)}
        explained = view.recent("train/rvq/explained_variance")
        if explained is not None:
            evidence["train/rvq/explained_variance"] = explained
        return evidence

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    changes = {k: v for k, v in evidence.items() if k.startswith("train/change/")}
    shown = listed([f"{key} {number(value)}" for key, value in changes.items()])
    text = f"the codebooks are never updated: {shown}"
    if max(changes.values()) >= STILL:
        share = evidence["share of records without a move"]
        text += f", the same to the bit in {share:.0%} of the records as in the one before: codes "
        text += "were put elsewhere now and then, and none is fitted"
    if (explained := evidence.get("train/rvq/explained_variance")) is not None:
        text += f"; the quantizer explains {_explained(explained)} of the variance of its input"
    return Sign(name="codebook never updated", sentence=text, evidence=evidence, runs=runs)


def _code_changes(view: RunView) -> dict[str, float]:
    """Return key -> how far the codes of each quantizer that is in use are from their start."""
    found: dict[str, float] = {}
    for name in view.data.names_in("train/change"):
        index = name.removeprefix("codebook_q")
        if index != name and view.recent(f"train/rvq/perplexity_q{index}") is not None:
            value = view.settled(f"train/change/{name}")
            if value is not None:
                found[f"train/change/{name}"] = value
    return found


def _standing(values: Mapping[int, float]) -> float:
    """Return the share of records that equal the one before to the bit; 0 for too few."""
    pairs = [first == second for first, second in pairwise(values.values())]
    return sum(pairs) / len(pairs) if len(pairs) > 1 else 0.0


def _explained(share: float) -> str:
    return f"{share:.0%}" if share > 0 else f"nothing ({number(share, 2)})"


def codes_explain_little(views: Sequence[RunView]) -> Sign | None:
    """Codes that move but do not fit what they stand for."""

    def look(view: RunView) -> dict[str, float] | None:
        explained = view.settled("train/rvq/explained_variance")
        if explained is None or explained >= EXPLAINED:
            return None
        return {"train/rvq/explained_variance": explained}

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    explained = _explained(evidence["train/rvq/explained_variance"])
    text = (
        f"the codes do not fit their input: the quantizer explains {explained} of its variance "
        "(train/rvq/explained_variance), so most of what it passes on is noise"
    )
    return Sign(name="codes explain little", sentence=text, evidence=evidence, runs=runs)


def codes_collapsed(views: Sequence[RunView]) -> Sign | None:
    """Hardly any code in use in the first codebook."""

    def look(view: RunView) -> dict[str, float] | None:
        usage, codes = (view.settled(f"train/rvq/{key}_q0") for key in ("usage", "perplexity"))
        if usage is None or codes is None or usage >= FEW_CODES:
            return None
        return {"train/rvq/usage_q0": usage, "train/rvq/perplexity_q0": codes}

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    text = (
        f"few codes are in use: {evidence['train/rvq/usage_q0']:.1%} of the first codebook, "
        f"perplexity {number(evidence['train/rvq/perplexity_q0'])}"
    )
    return Sign(name="codes collapsed", sentence=text, evidence=evidence, runs=runs)
