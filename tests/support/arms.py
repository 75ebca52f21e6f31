"""Variants whose seeds differ by a little, for comparisons that decide."""

from __future__ import annotations

import math

KEY, LEVEL = "valid/loss/l1", "train/audio/rms"
SPEC = {"metrics": {KEY: "min"}, "targets": {LEVEL: "0.075 +-20%"}}


def arm(loss: float, level: float = 0.075, seeds: int = 3) -> dict[int, dict[str, list[float]]]:
    """Return seed -> key -> values: a loss that scatters by two per cent, and a level."""
    return {
        s: {
            KEY: [loss * (1 + 0.02 * math.sin(7 * s + 40 * loss))] * 11,
            LEVEL: [level * (1 + 0.001 * s)] * 11,
        }
        for s in range(seeds)
    }
