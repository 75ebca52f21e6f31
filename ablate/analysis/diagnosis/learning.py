"""Signs that the optimizer, a part of the model or the codes do not learn as they should."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ablate import keys
from ablate.analysis.diagnosis.run_view import RunView, median
from ablate.analysis.diagnosis.signs import Evidence, Sign
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


@dataclass(frozen=True, kw_only=True, slots=True)
class LongSteps(Evidence):
    """Steps that are too long."""

    longest: Mapping[str, float]
    """Part -> its longest step over the length of its weights."""
    clip_fraction: float | None
    rate: float | None
    dead: float
    """How many parts hardly move any more."""

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        found = {keys.UPDATE.key(part): length for part, length in self.longest.items()}
        if self.clip_fraction is not None:
            found[keys.CLIP_FRACTION] = self.clip_fraction
        if self.rate is not None:
            found[keys.LR] = self.rate
        return {**found, "parts that hardly move any more": self.dead}


def _long_steps(view: RunView) -> LongSteps | None:
    steps = _step_lengths(view)
    # The longest: where steps are too long, other parts are soon where no gradient is.
    size = max((median(curve) or 0.0 for curve in steps.values()), default=0.0)
    peak = max((max(curve) for curve in steps.values()), default=0.0)
    dead = sum(curve[-1] < DEAD for curve in steps.values())
    if size < ABSURD and (peak < PEAK or 2 * dead < len(steps)):
        return None
    return LongSteps(
        longest={part: max(curve) for part, curve in steps.items()},
        clip_fraction=view.recent(keys.CLIP_FRACTION),
        rate=view.recent(keys.LR),
        dead=dead,
    )


def _tell_long(found: LongSteps, views: Sequence[RunView]) -> str:
    part = max(found.longest, key=found.longest.__getitem__)
    size, dead = found.longest[part], round(found.dead)
    text = (
        f"the learning rate is too high: a step moves weights by up to {number(size)} of their own "
        f"length ({keys.UPDATE.key(part)}; about {HEALTHY:g} is healthy){_at_rate(found.rate)}"
    )
    if found.clip_fraction is not None:
        text += f", {keys.CLIP_FRACTION} {number(found.clip_fraction)}"
    if dead:
        parts = len(found.longest)
        text += f"; {dead} of {parts} parts were driven to where they hardly move any more"
    if any(view.run.state == RunState.DIVERGED for view in views):
        text += ", and the loss diverged"
    return text + f"; steps are {rough(size / HEALTHY)} times as long as is usual"


def _at_rate(rate: float | None) -> str:
    return "" if rate is None else f" at {keys.LR} {number(rate)}"


RATE_TOO_HIGH = Sign(
    name="learning rate too high",
    reads=(keys.UPDATE.pattern, keys.CLIP_FRACTION, keys.LR),
    look=_long_steps,
    tell=_tell_long,
)
"""Steps far longer than weights can bear, in most of the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortSteps(Evidence):
    """Steps that are too short."""

    longest: float
    """Of all parts, the median over the run."""
    rate: float | None

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        rate = {} if self.rate is None else {keys.LR: self.rate}
        return {"longest step": self.longest, **rate}


def _short_steps(view: RunView) -> ShortSteps | None:
    steps = _step_lengths(view)
    size = max((median(curve) or 0.0 for curve in steps.values()), default=0.0)
    if not 0 < size < IDLE or size * view.last >= WAY:
        return None
    return ShortSteps(longest=size, rate=view.recent(keys.LR))


def _tell_short(found: ShortSteps, _: Sequence[RunView]) -> str:
    return (
        f"the learning rate is too low: a step moves weights by {number(found.longest)} of their "
        f"own length (about {HEALTHY:g} is healthy){_at_rate(found.rate)}, so that the model is as "
        "good as untrained"
    )


RATE_TOO_LOW = Sign(
    name="learning rate too low",
    reads=(keys.UPDATE.pattern, keys.LR),
    look=_short_steps,
    tell=_tell_short,
)
"""Steps too short to lead anywhere, in most of the run and all of them together."""


def _step_lengths(view: RunView) -> dict[str, list[float]]:
    """Return part -> the lengths of its steps, at least two of each.

    A part that never moves says nothing of the rate, and codes that are means move by another rule.
    """
    curves = {
        part: [v for v in view.history(keys.UPDATE.key(part)).values() if math.isfinite(v)]
        for part in view.data.names_in(keys.UPDATE)
        if not _is_of_codes(part)
    }
    return {part: curve for part, curve in curves.items() if len(curve) > 1 and any(curve)}


def _is_of_codes(name: str) -> bool:
    return name.startswith(keys.PARTS_OF_CODES)


@dataclass(frozen=True, kw_only=True, slots=True)
class StillParts(Evidence):
    """Parts and parameters that never moved."""

    movements: Mapping[str, float]
    """Metric key -> 0."""

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        return dict(self.movements)


def _still_parts(view: RunView) -> StillParts | None:
    moves = _movements(view)
    still = {key: 0.0 for key, moved in moves.items() if not moved}
    return StillParts(movements=still) if still and any(moves.values()) else None


def _movements(view: RunView) -> dict[str, bool]:
    """Return metric key -> whether that part or parameter ever moved; codes are not among them."""
    found: dict[str, bool] = {}
    for group in (keys.UPDATE, keys.CHANGE):
        for name in view.data.names_in(group):
            key = group.key(name)
            now = view.settled(key)
            if now is None or _is_of_codes(name):
                continue
            found[key] = now != 0 or any(view.history(key).values())
    return found


def _tell_still(found: StillParts, _: Sequence[RunView]) -> str:
    names = [key.split("/")[-1] for key in found.movements]
    # A part says it for its parameters.
    parts = [n for n in names if not any(n != o and n.startswith(o) for o in names)]
    verb, they = ("does", "its") if len(parts) == 1 else ("do", "their")
    return (
        f"{listed(parts)} {verb} not learn: {listed(sorted(found.movements))} stayed exactly 0 "
        f"while other parts moved; {they} gradient is cut, or the part is frozen"
    )


PART_STILL = Sign(
    name="a part does not learn",
    reads=(keys.UPDATE.pattern, keys.CHANGE.pattern),
    look=_still_parts,
    tell=_tell_still,
)
"""A part or parameter that never moves while others do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StillCodes(Evidence):
    """Codebooks that are not fitted to anything."""

    changes: Mapping[str, float]
    """Codebook -> how far its codes are from their start."""
    standing: float
    """Share of the records without a move, of the codebook that moves most often."""
    explained: float | None

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        found = {keys.CHANGE.key(name): change for name, change in self.changes.items()}
        found["share of records without a move"] = self.standing
        if self.explained is not None:
            found[keys.EXPLAINED_VARIANCE] = self.explained
        return found


def _still_codes(view: RunView) -> StillCodes | None:
    changes = _code_changes(view)
    standing = [_standing(view.history(keys.CHANGE.key(name))) for name in changes]
    is_still = [
        value < STILL or share >= STANDING
        for value, share in zip(changes.values(), standing, strict=True)
    ]
    if not is_still or not all(is_still):
        return None
    explained = view.recent(keys.EXPLAINED_VARIANCE)
    return StillCodes(changes=changes, standing=min(standing), explained=explained)


def _code_changes(view: RunView) -> dict[str, float]:
    """Return name -> how far the codes of each quantizer that is in use are from their start."""
    found: dict[str, float] = {}
    for name in view.data.names_in(keys.CHANGE):
        index = keys.codebook_index(name)
        if index is not None and view.recent(keys.perplexity(index)) is not None:
            value = view.settled(keys.CHANGE.key(name))
            if value is not None:
                found[name] = value
    return found


def _standing(values: Mapping[int, float]) -> float:
    """Return the share of records that equal the one before to the bit; 0 for too few."""
    pairs = [first == second for first, second in pairwise(values.values())]
    return sum(pairs) / len(pairs) if len(pairs) > 1 else 0.0


def _tell_still_codes(found: StillCodes, _: Sequence[RunView]) -> str:
    changes = {keys.CHANGE.key(name): value for name, value in found.changes.items()}
    shown = listed([f"{key} {number(value)}" for key, value in changes.items()])
    text = f"the codebooks are never updated: {shown}"
    if max(changes.values()) >= STILL:
        text += f", the same to the bit in {found.standing:.0%} of the records as in the one "
        text += "before: codes were put elsewhere now and then, and none is fitted"
    if found.explained is not None:
        text += f"; the quantizer explains {_explained(found.explained)} of the variance of its "
        text += "input"
    return text


def _explained(share: float) -> str:
    return f"{share:.0%}" if share > 0 else f"nothing ({number(share, 2)})"


CODEBOOK_STILL = Sign(
    name="codebook never updated",
    reads=(keys.CHANGE.pattern, keys.perplexity("*"), keys.EXPLAINED_VARIANCE),
    look=_still_codes,
    tell=_tell_still_codes,
)
"""Codes that stay where they began, or where they were put."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoorFit(Evidence):
    """How little the codes explain of what they stand for."""

    explained: float

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        return {keys.EXPLAINED_VARIANCE: self.explained}


def _poor_fit(view: RunView) -> PoorFit | None:
    explained = view.settled(keys.EXPLAINED_VARIANCE)
    if explained is None or explained >= EXPLAINED:
        return None
    return PoorFit(explained=explained)


def _tell_poor_fit(found: PoorFit, _: Sequence[RunView]) -> str:
    return (
        f"the codes do not fit their input: the quantizer explains {_explained(found.explained)} "
        f"of its variance ({keys.EXPLAINED_VARIANCE}), so most of what it passes on is noise"
    )


CODES_EXPLAIN_LITTLE = Sign(
    name="codes explain little",
    reads=(keys.EXPLAINED_VARIANCE,),
    look=_poor_fit,
    tell=_tell_poor_fit,
)
"""Codes that move but do not fit what they stand for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FewCodes(Evidence):
    """How the first codebook is used."""

    usage: float
    perplexity: float

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        return {keys.usage(0): self.usage, keys.perplexity(0): self.perplexity}


def _few_codes(view: RunView) -> FewCodes | None:
    usage, perplexity = view.settled(keys.usage(0)), view.settled(keys.perplexity(0))
    if usage is None or perplexity is None or usage >= FEW_CODES:
        return None
    return FewCodes(usage=usage, perplexity=perplexity)


def _tell_few(found: FewCodes, _: Sequence[RunView]) -> str:
    return (
        f"few codes are in use: {found.usage:.1%} of the first codebook, "
        f"perplexity {number(found.perplexity)}"
    )


CODES_COLLAPSED = Sign(
    name="codes collapsed",
    reads=(keys.usage(0), keys.perplexity(0)),
    look=_few_codes,
    tell=_tell_few,
)
"""Hardly any code in use in the first codebook."""
