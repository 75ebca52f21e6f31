"""What each variant is compared with: what it is a difference from. Pure.

A level of a design is compared with the phase on which it is set. A phase is compared with the one
that it is made from, or with those that the study names as references. What has neither is
compared with the baseline. A copy is compared with what it copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ablate.domain import Json, Variant

MANY = 3
"""A variant that so many are compared with deserves a seed more than they."""
LENDING_SEEDS = range(2, 5)
"""With fewer seeds nothing can be told; with more, one more changes little."""


def references_of(
    spec: Mapping[str, Json], variants: Sequence[Variant], baseline: str
) -> dict[str, tuple[str, ...]]:
    """Return variant -> what it is compared with, all of them among the variants.

    Args:
        spec: The study as it is stored, perhaps by an earlier version.
        variants: All of the study, or some.
        baseline: One of the variants.
    """
    names = [variant.name for variant in variants]
    declared = [name for name in spec.get("references") or () if name in names]
    parents = {
        name: (phase or {}).get("from") for name, phase in (spec.get("phases") or {}).items()
    }
    found: dict[str, tuple[str, ...]] = {}
    for variant in variants:
        if variant.is_phase and declared:
            # Two references are compared with each other once.
            before = declared.index(variant.name) if variant.name in declared else None
            others = tuple(declared[:before])
        else:
            start = variant.copy.of if variant.copy else _start(spec, variant, parents, baseline)
            others = (_nearest(start, parents, names) or baseline,)
        found[variant.name] = tuple(name for name in others if name != variant.name)
    return found


def _start(
    spec: Mapping[str, Json], variant: Variant, parents: Mapping[str, str | None], baseline: str
) -> str | None:
    if variant.is_phase:
        return parents.get(variant.name)
    return (spec.get("design") or {}).get("from") or baseline


def _nearest(
    start: str | None, parents: Mapping[str, str | None], names: Sequence[str]
) -> str | None:
    """Return the first of a phase and its ancestors that is among the variants."""
    while start is not None and start not in names:
        start = parents.get(start)
    return start


def more_seeds(
    seeds: int | Sequence[int], references: Mapping[str, Sequence[str]], variants: Sequence[Variant]
) -> dict[str, tuple[int, ...]]:
    """Return variant -> the seed that it gets beside those of all.

    Each contrast with a reference has the reference's noise in it, so one more seed of it helps
    all of them. A study that names its seeds one by one gets just those.

    Args:
        seeds: As the study says them: how many, or which.
        references: Of `references_of`.
        variants: All of the study.
    """
    if not isinstance(seeds, int) or seeds not in LENDING_SEEDS:
        return {}
    counts = Counter(name for others in references.values() for name in others)
    starts = {v.name: v.start_at.variant for v in variants if v.start_at}
    found: set[str] = set()
    for name in (name for name, count in counts.items() if count >= MANY):
        # A run that branches off begins from its parent's checkpoint at the same seed.
        parent: str | None = name
        while parent is not None and parent not in found:
            found.add(parent)
            parent = starts.get(parent)
    return {v.name: (seeds,) for v in variants if v.name in found}
