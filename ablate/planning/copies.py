"""Copies of the baseline under other seeds: they say how large a difference nothing makes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count, islice

from ablate.domain import Copy, Variant

MAX_COPIES = 100
SEEDS_APART = 1_000_000
"""Copies count their seeds from this, from twice this, and so on.

A run is known by its config and its seed, so a copy must never get a seed that the baseline has, or
will have. Studies count theirs from 0, at most some thousands. So far apart, a study that gets more
seeds later keeps the runs of its copies, and needs none of theirs.
"""


def copies_of_baseline(
    variants: Sequence[Variant], number: int, seeds: Sequence[int]
) -> tuple[Variant, ...]:
    """Return the copies, each with as many seeds as the study has.

    A baseline that begins from a checkpoint of another variant takes a copy of that one with it,
    for a run begins from its parent's checkpoint at the same seed.

    Args:
        variants: All of the study, one of them the baseline.
        number: Of copies.
        seeds: Of the study, which no copy gets.
    """
    by_name = {variant.name: variant for variant in variants}
    line = [next(variant for variant in variants if variant.is_baseline)]
    while start_at := line[-1].start_at:
        line.append(by_name[start_at.variant])
    places = range(1, number + 1)
    return tuple(_copy(v, place, seeds) for place in places for v in reversed(line))


def _copy(variant: Variant, place: int, seeds: Sequence[int]) -> Variant:
    free = (seed for seed in count(place * SEEDS_APART) if seed not in seeds)
    start_at = variant.start_at
    return replace(
        variant,
        name=_name(variant.name, place),
        factors={},
        is_phase=False,
        is_baseline=False,
        start_at=start_at and replace(start_at, variant=_name(start_at.variant, place)),
        copy=Copy(of=variant.name, seeds=tuple(islice(free, len(seeds)))),
    )


def _name(of: str, place: int) -> str:
    return f"{of}~aa{place}"
