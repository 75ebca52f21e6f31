"""Signs that one term drives the training and the others do nothing, whatever the level is.

A term may well be nearly all of the total, or of the gradient: one loss with a small regulariser
beside it is. It is a sign of something wrong where what it leaves behind is not learned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ablate.analysis.diagnosis.run_view import RunView, middle
from ablate.analysis.diagnosis.signs import Sign, seen
from ablate.analysis.diagnosis.trivial import likeness_of
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


def term_dominates(views: Sequence[RunView]) -> Sign | None:
    """A term whose gradient drowns all others, none of which is learned."""
    found = seen(views, _dominant)
    if found is None:
        return None
    evidence, runs = found
    gradients = {k: v for k, v in evidence.items() if k.startswith(_GRADIENT)}
    first, second = sorted(gradients, key=gradients.__getitem__, reverse=True)[:2]
    name = first.removeprefix(_GRADIENT)
    times = rough(gradients[first] / gradients[second])
    text = (
        f"{name} drowns all other terms: its gradient at the output is {times} times that of the "
        f"next, {second.removeprefix(_GRADIENT)} ({first}, {second})"
    )
    if (share := evidence.get(_share(name))) is not None:
        text += f", and it is {percent(share, signed=False)} of the total"
    text += "; nothing else is learned. Its weight is far too large"
    return Sign(
        name="one term dominates", sentence=text, evidence=evidence, runs=runs, subject=name
    )


_GRADIENT = "train/grad/"
_INSIDE = "train/grad_in/"


def _share(name: str) -> str:
    return f"share of {name}"


def _dominant(view: RunView) -> dict[str, float] | None:
    names = view.data.names_in("train/grad")
    histories = {name: view.history(f"{_GRADIENT}{name}").values() for name in names}
    sizes = {n: middle(values) or 0.0 for n, values in histories.items() if len(values) > 1}
    ordered = sorted(sizes, key=lambda name: (-sizes[name], name))
    if len(ordered) < 2 or not 0 < GRADIENT * sizes[ordered[1]] <= sizes[ordered[0]]:
        return None
    name, *others = ordered
    if _is_learned(view, others):
        return None
    evidence = {f"{_GRADIENT}{n}": size for n, size in sizes.items()}
    part, total = view.recent(f"train/weighted/{name}"), view.recent("train/loss/total")
    return evidence if part is None or not total else {**evidence, _share(name): part / total}


def _is_learned(view: RunView, others: Sequence[str]) -> bool:
    """Whether the output has become more than what knows nothing gives, or the others have fallen.

    Of a trainer that measures no silent value only the way of the losses is known.
    """
    if view.run.state == RunState.DIVERGED:
        return False
    likeness = likeness_of(view.data, view.run.id, view.last)
    if likeness.losses:
        return not (likeness.is_trivial or likeness.is_spectrum_only)
    return any(_has_fallen(view.history(f"train/loss/{name}")) for name in others)


def _has_fallen(curve: Mapping[int, float]) -> bool:
    values = [value for value in curve.values() if math.isfinite(value)]
    return len(values) > 1 and values[-1] < LEARNED * values[0]


def inner_term_dominates(views: Sequence[RunView]) -> Sign | None:
    """A term inside the codec that drives the encoder as hard as all that see the output."""
    found = seen(views, _inner)
    if found is None:
        return None
    evidence, runs = found
    strongest = max(evidence, key=evidence.__getitem__)
    name = strongest.removeprefix(_INSIDE)
    text = (
        f"{name} decides what is encoded: at the quantizer's input its gradient is up to "
        f"{rough(evidence[strongest])} times that of all terms of the output together "
        f"({strongest} against {_INSIDE}output). Its weight is far too large"
    )
    return Sign(
        name="an inner term dominates", sentence=text, evidence=evidence, runs=runs, subject=name
    )


def _inner(view: RunView) -> dict[str, float] | None:
    """Return key -> the largest gradient over that of the output, for the terms that dominate."""
    output = view.history(f"{_INSIDE}output")
    found: dict[str, float] = {}
    for name in view.data.names_in("train/grad_in"):
        curve = view.history(f"{_INSIDE}{name}") if name != "output" else {}
        ratios = [value / output[s] for s, value in curve.items() if output.get(s, 0.0) > 0]
        strong = [ratio for ratio in ratios if ratio >= INSIDE]
        if len(strong) > 1 and (middle(ratios) or 0.0) >= PINNED:
            found[f"{_INSIDE}{name}"] = max(ratios)
    return found or None
