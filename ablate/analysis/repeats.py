"""Runs that are the same to the bit at another seed: a trainer that does not use its seed.

Seeds stand for chance. What is the same at each of them is one observation, however often it is
made; counted thrice it has no spread, and any difference to it looks certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.analysis.curves.study_data import StudyData, read_step
from ablate.analysis.diagnosis.twins import TELLING, equal_curves
from ablate.domain import Run


def repeats_of(data: StudyData, variant: str, at_step: int) -> Mapping[str, int]:
    """Return run id -> the earlier seed that it repeats, for a variant's runs up to a step.

    Compared are the declared metrics and what models are seen by, to the last bit and at every
    point; timings differ always, and a key that one run does not have counts as a difference.
    """
    found: dict[str, int] = {}
    firsts: list[Run] = []
    keys = _keys(data)
    for run in data.runs_of(variant):
        if read_step(run, at_step) != at_step:
            continue
        twin = next((r for r in firsts if _are_equal(data, keys, (r, run), at_step)), None)
        if twin is None:
            firsts.append(run)
        else:
            found[run.id] = twin.seed
    return found


def _keys(data: StudyData) -> tuple[str, ...]:
    telling = (key for key in data.keys if key.startswith(TELLING))
    return tuple(dict.fromkeys([*data.compared_keys(), *telling]))


def _are_equal(data: StudyData, keys: Sequence[str], runs: tuple[Run, Run], at_step: int) -> bool:
    first, second = runs
    both = [[data.curve(run.id, key) is None for key in keys] for run in runs]
    return both[0] == both[1] and equal_curves(data, keys, (first, second), at_step) > 0
