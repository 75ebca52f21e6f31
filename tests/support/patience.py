"""How long tests wait for what will come, and what "soon" means on this machine."""

from __future__ import annotations

import functools
import timeit

PATIENCE_S = 600.0
"""For what comes within seconds: slow machines need more, and no test that passes waits so long."""
TOO_SLOW = 3.0
"""From here on, the tests that train are left out where time is limited."""
_N_CALLS = 50_000
_USUAL_S = 0.004


@functools.cache
def slowness() -> float:
    """Return how many times slower than a usual machine this one computes: at least 1."""
    return max(1.0, min(timeit.repeat("len(str(12345))", number=_N_CALLS)) / _USUAL_S)
