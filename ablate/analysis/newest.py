"""What the newest values say without a comparison: a declared metric that is no number any more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from ablate.analysis.wording import number
from ablate.domain import Json, Run, Study
from ablate.store.base import Store
from ablate.store.curves import MIN_OUTLINE, Outline


def ending_in_no_number(
    store: Store, studies: Sequence[Study], runs: Sequence[Run]
) -> dict[str, str]:
    """Return run id -> the declared metrics of which the newest value is NaN or infinite.

    Read from the rollups: a run of a million steps costs as little as one of a thousand.

    Args:
        store: Nothing is written.
        studies: Their metrics and targets are looked at.
        runs: Of these studies; one without a point has no newest value.
    """
    found: dict[str, str] = {}
    for study in studies:
        ids = [run.id for run in runs if run.study == study.name and run.step is not None]
        keys = _declared(study)
        outlines = store.outlines(ids, keys, max_points=MIN_OUTLINE) if ids and keys else ()
        for outline in outlines:
            if not math.isfinite(outline.values[-1]):
                said = found.get(outline.run_id)
                found[outline.run_id] = f"{said}, {_said(outline)}" if said else _said(outline)
    return found


def _declared(study: Study) -> list[str]:
    groups = (study.plan.spec.get(name) or {} for name in ("metrics", "targets"))
    return list(dict.fromkeys(key for group in groups for key in cast("Mapping[str, Json]", group)))


def _said(outline: Outline) -> str:
    return f"{outline.key} is {number(outline.values[-1])}"
