"""A sign of something wrong, as it is found in the runs of a variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ablate.analysis.diagnosis.run_view import RunView, typical


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """What at least half of the runs show."""

    name: str
    sentence: str
    evidence: Mapping[str, float]
    """Medians over the runs that show it."""
    runs: int
    """How many show it."""
    subject: str = ""
    """Of what it speaks, where a config may have a key for it: the name of a term."""


def seen(
    views: Sequence[RunView], look: Callable[[RunView], Mapping[str, float] | None]
) -> tuple[dict[str, float], int] | None:
    """Return evidence and number of the runs in which something is seen, if they are half or more.

    Args:
        views: The runs.
        look: Returns the evidence in one run, None where there is none.
    """
    found = [evidence for view in views if (evidence := look(view)) is not None]
    if not found or 2 * len(found) < len(views):
        return None
    return typical(found), len(found)
