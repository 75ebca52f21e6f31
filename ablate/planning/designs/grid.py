"""Every level of every factor with every level of the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from ablate.planning.designs.base import Factors, Layout


class Grid:
    """The Cartesian product; the last factor varies fastest. See `base.Design`."""

    options: Mapping[str, str] = {}
    sets_several = True

    def size(self, factors: Factors, options: Mapping[str, Any]) -> int:
        """Return the product of the numbers of levels."""
        return math.prod(map(len, factors.values())) if factors else 0

    def lay_out(self, factors: Factors, options: Mapping[str, Any]) -> Layout:
        """Return every combination."""
        if not factors:
            return Layout(combinations=())
        chosen = itertools.product(*factors.values())
        return Layout(combinations=[dict(zip(factors, c, strict=True)) for c in chosen])


GRID = Grid()
