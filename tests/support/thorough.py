"""How much is tried: little each time, much when ``ABLATE_THOROUGH=1`` is set."""

import os
from typing import TypeVar, cast

from hypothesis import HealthCheck

EVERY_HEALTH_CHECK = cast("list[HealthCheck]", list(HealthCheck))
"""Of Hypothesis: a slow machine is no fault."""
Amount = TypeVar("Amount")


def few_or_many(few: Amount, many: Amount) -> Amount:
    """Return ``many`` for a thorough run of the tests."""
    return many if os.environ.get("ABLATE_THOROUGH") else few
