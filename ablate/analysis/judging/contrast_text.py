"""How a contrast is put into words: the same in sentences, tables and pages."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.analysis.statistics.contrasts import Contrast
from ablate.analysis.statistics.seeds import SeedsNeeded
from ablate.analysis.wording import number, ratios_text, span


def difference_text(contrast: Contrast) -> str:
    """Return ``+11.2 [2.8, 19.6]``; of what is compared by ratios ``-12% [-20%, -3.4%]``."""
    if contrast.difference is None:
        return "-"
    if contrast.ratio is not None:
        ends = (contrast.ratio_low, contrast.ratio_high)
        centre, *shown = ratios_text([contrast.ratio, *(end for end in ends if end is not None)])
    else:
        shown = [number(end) for end in (contrast.ci_low, contrast.ci_high) if end is not None]
        centre = f"{'+' if contrast.difference > 0 else ''}{number(contrast.difference)}"
    return f"{centre} [{', '.join(shown)}]" if len(shown) > 1 else centre


def ends_text(contrasts: Sequence[Contrast]) -> str:
    """Return ``by -54.9 to -23.4`` for several in the same metric, ``x1.4 to 2.3`` of ratios."""
    known = [c for c in contrasts if c.difference is not None]
    by = "by " if any(c.ratio is None for c in known) else ""
    if len(known) == 1:
        return by + difference_text(known[0])
    ratios = sorted(c.ratio for c in known if c.ratio is not None)
    if len(ratios) == len(known):
        ends = ratios_text([ratios[0], ratios[-1]])
    else:
        sizes = sorted(c.difference for c in known if c.difference is not None)
        ends = [f"{size:+.3g}" for size in (sizes[0], sizes[-1])]
    are_alike = len({end.removeprefix("x") for end in ends}) == 1
    return by + (ends[0] if are_alike else " to ".join(ends))


def seeds_text(seeds: SeedsNeeded) -> str:
    """Return ``5 to 9 seeds of each would tell``."""
    return f"{span([seeds.low, seeds.high])} seeds of each would tell"
