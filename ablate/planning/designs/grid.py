"""Every level of every factor with every level of the others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence


def grid(factors: Mapping[str, Sequence[str]]) -> list[Mapping[str, str]]:
    """Return the Cartesian product; the last factor varies fastest.

    Args:
        factors: Factor name -> its level labels.
    """
    if not factors:
        return []
    return [
        dict(zip(factors, labels, strict=True)) for labels in itertools.product(*factors.values())
    ]
