"""Signs that one term drives the training and the others do nothing, whatever the level is.

A term may well be nearly all of the total, or of the gradient: one loss with a small regulariser
beside it is. It is a sign of something wrong where what it leaves behind is not learned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate import keys
from ablate.analysis.diagnosis.run_view import RunView, median
from ablate.analysis.diagnosis.signs import Evidence, Sign
from ablate.analysis.diagnosis.trivial import TRIVIAL_READS, likeness_of
from ablate.analysis.wording import percent, rough
from ablate.domain import RunState

GRADIENT = 100.0
"""A term whose gradient is this many times that of the next leaves it nothing to do."""
INSIDE = 1.0
"""A term inside the codec that has ever driven the quantizer's input as hard as all terms of the
output together decides what is encoded; the usual commitment reaches a twentieth."""
PINNED = 0.1
"""... and one that does so at this fraction in half of the records still does. Where what it asks
for is reached, as codes that the encoder sits on, its gradient is small: it has won."""
LEARNED = 0.9
"""A loss that is still above this fraction of its first value has not been learned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gradients(Evidence):
    """Who drives the output."""

    sizes: Mapping[str, float]
    """Term -> the norm of its gradient at the output, the median over the run."""
    shares: Mapping[str, float]
    """Term -> its share of the total, of the strongest where it is known."""

    @property
    def ordered(self) -> list[str]:
        """The terms, the strongest first."""
        return sorted(self.sizes, key=self.sizes.__getitem__, reverse=True)

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        sizes = {keys.GRAD.key(name): size for name, size in self.sizes.items()}
        return sizes | {f"share of {name}": share for name, share in self.shares.items()}


def _dominant(view: RunView) -> Gradients | None:
    names = view.data.names_in(keys.GRAD)
    histories = {name: view.history(keys.GRAD.key(name)).values() for name in names}
    sizes = {n: median(values) or 0.0 for n, values in histories.items() if len(values) > 1}
    ordered = sorted(sizes, key=lambda name: (-sizes[name], name))
    if len(ordered) < 2 or not 0 < GRADIENT * sizes[ordered[1]] <= sizes[ordered[0]]:
        return None
    name, *others = ordered
    if _is_learned(view, others):
        return None
    part, total = view.recent(keys.WEIGHTED.key(name)), view.recent(keys.TOTAL)
    shares = {} if part is None or not total else {name: part / total}
    return Gradients(sizes=sizes, shares=shares)


def _is_learned(view: RunView, others: Sequence[str]) -> bool:
    """Whether the output has become more than what knows nothing gives, or the others have fallen.

    Of a trainer that measures no silent value only the way of the losses is known.
    """
    if view.run.state == RunState.DIVERGED:
        return False
    likeness = likeness_of(view.data, view.run.id, view.last)
    if likeness.losses:
        return not (likeness.is_trivial or likeness.is_spectrum_only)
    return any(_has_fallen(view.history(keys.LOSS.key(name))) for name in others)


def _has_fallen(curve: Mapping[int, float]) -> bool:
    values = [value for value in curve.values() if math.isfinite(value)]
    return len(values) > 1 and values[-1] < LEARNED * values[0]


def _tell_dominant(found: Gradients, _: Sequence[RunView]) -> str:
    first, second = found.ordered[:2]
    times = rough(found.sizes[first] / found.sizes[second])
    text = (
        f"{first} drowns all other terms: its gradient at the output is {times} times that of the "
        f"next, {second} ({keys.GRAD.key(first)}, {keys.GRAD.key(second)})"
    )
    if (share := found.shares.get(first)) is not None:
        text += f", and it is {percent(share, signed=False)} of the total"
    return text + "; nothing else is learned. Its weight is far too large"


TERM_DOMINATES = Sign(
    name="one term dominates",
    reads=(keys.GRAD.pattern, keys.WEIGHTED.pattern, keys.TOTAL, *TRIVIAL_READS),
    look=_dominant,
    tell=_tell_dominant,
    subject=lambda found: found.ordered[0],
)
"""A term whose gradient drowns all others, none of which is learned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InnerGradients(Evidence):
    """Who drives what is encoded."""

    ratios: Mapping[str, float]
    """Term -> its largest gradient at the quantizer's input over that of all of the output."""

    @property
    def strongest(self) -> str:
        """The term that drives it most."""
        return max(self.ratios, key=self.ratios.__getitem__)

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        return {keys.GRAD_IN.key(name): ratio for name, ratio in self.ratios.items()}


def _inner(view: RunView) -> InnerGradients | None:
    output = view.history(keys.GRAD_IN_OUTPUT)
    found: dict[str, float] = {}
    for name in view.data.names_in(keys.GRAD_IN):
        key = keys.GRAD_IN.key(name)
        curve = {} if key == keys.GRAD_IN_OUTPUT else view.history(key)
        ratios = [value / output[s] for s, value in curve.items() if output.get(s, 0.0) > 0]
        strong = [ratio for ratio in ratios if ratio >= INSIDE]
        if len(strong) > 1 and (median(ratios) or 0.0) >= PINNED:
            found[name] = max(ratios)
    return InnerGradients(ratios=found) if found else None


def _tell_inner(found: InnerGradients, _: Sequence[RunView]) -> str:
    name = found.strongest
    return (
        f"{name} decides what is encoded: at the quantizer's input its gradient is up to "
        f"{rough(found.ratios[name])} times that of all terms of the output together "
        f"({keys.GRAD_IN.key(name)} against {keys.GRAD_IN_OUTPUT}). Its weight is far too large"
    )


INNER_TERM_DOMINATES = Sign(
    name="an inner term dominates",
    reads=(keys.GRAD_IN.pattern,),
    look=_inner,
    tell=_tell_inner,
    subject=lambda found: found.strongest,
)
"""A term inside the codec that drives the encoder as hard as all that see the output."""
