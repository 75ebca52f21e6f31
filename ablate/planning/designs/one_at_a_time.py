"""Each level alone, everything else as in the phase that the design starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablate.planning.designs.base import Factors, Layout


class OneAtATime:
    """One combination for each level of each factor. See `base.Design`."""

    options: Mapping[str, str] = {}
    sets_several = False

    def size(self, factors: Factors, options: Mapping[str, Any]) -> int:
        """Return the number of levels."""
        return sum(map(len, factors.values()))

    def lay_out(self, factors: Factors, options: Mapping[str, Any]) -> Layout:
        """Return each level by itself."""
        levels = [(factor, label) for factor, labels in factors.items() for label in labels]
        return Layout(combinations=[{factor: label} for factor, label in levels])


ONE_AT_A_TIME = OneAtATime()
