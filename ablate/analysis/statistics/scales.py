"""On which scale values are compared: as they are, or by their ratios.

The noise of what is positive and falls over orders of magnitude (a loss, a norm) grows with its
size. On the logarithm it is about the same for all variants, and the difference is a ratio.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from ablate import keys
from ablate.rules import Scale, Target

_OF_RATIOS = {group.name for group in (keys.LOSS, keys.NORM, keys.GRAD)}
_DECIBELS = "_db"
_NAMES = re.compile(
    r"rms|mel|lr|learning_rate|perplexity.*|ppl|(.*_)?loss|(.*_)?(mse|mae|rmse|nll)", re.IGNORECASE
)
"""Last parts of keys in groups that say nothing, as those of imported runs."""


def natural_scale(key: str, target: Target | None, values: Iterable[float]) -> Scale:
    """Return the scale of a metric for which none is declared; one for all variants.

    Args:
        key: The metric key.
        target: Of the metric. What should be at a place is compared by its distance to it.
        values: Of all variants and seeds; those that are not finite take no part.
    """
    if key.endswith(_DECIBELS) or (target is not None and target.kind in ("band", "drift")):
        return "identity"
    if not all(value > 0 for value in values if math.isfinite(value)):
        return "identity"
    *groups, name = key.split("/")
    return "log" if _OF_RATIOS & set(groups[1:]) or _NAMES.fullmatch(name) else "identity"


def on_scale(value: float, scale: Scale) -> float:
    """Return a value as it is compared; NaN where it has no logarithm."""
    if scale == "identity":
        return value
    return math.log(value) if value > 0 else math.nan
