"""Each level alone, everything else as in the phase that the design starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def one_at_a_time(factors: Mapping[str, Sequence[str]]) -> list[Mapping[str, str]]:
    """Return one combination for each level of each factor.

    Args:
        factors: Factor name -> its level labels.
    """
    return [{factor: label} for factor, labels in factors.items() for label in labels]
