"""How the levels of a study's factors are combined. A design names the combinations, no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ablate.planning.designs.grid import grid
from ablate.planning.designs.one_at_a_time import one_at_a_time

Combination = Mapping[str, str]
"""Factor name -> level label, for the factors that are set."""

DESIGNS: Mapping[str, Callable[[Mapping[str, Sequence[str]]], list[Combination]]] = {
    "one_at_a_time": one_at_a_time,
    "grid": grid,
}
