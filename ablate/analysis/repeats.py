"""Runs that are the same to the bit at another seed: a trainer that does not use its seed.

Seeds stand for chance. What is the same at each of them is one observation, however often it is
made; counted thrice it has no spread, and any difference to it looks certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.analysis.curves.study_data import StudyData, read_step
from ablate.analysis.diagnosis.twins import TELLING, Bits, bits, equal_curves
from ablate.domain import Run
from ablate.rules import DEFAULT_RULE


def repeats_of(data: StudyData, variant: str, at_step: int) -> Mapping[str, int]:
    """Return run id -> the earlier seed that it repeats, for a variant's runs up to a step.

    Compared are the declared metrics and what models are seen by, to the last bit and at every
    point; timings differ always, and a key that one run does not have counts as a difference.
    """
    found: dict[str, int] = {}
    firsts: dict[_End, list[Run]] = {}
    keys = _keys(data)
    for run in data.runs_of(variant):
        if read_step(run, at_step) != at_step:
            continue
        alike = firsts.setdefault(_end(data, keys, run, at_step), [])
        twin = next((r for r in alike if equal_curves(data, keys, (r, run), at_step)), None)
        if twin is None:
            alike.append(run)
        else:
            found[run.id] = twin.seed
    return found


_End = tuple[Bits | None, ...]
"""The last values of each key, None for a key that the run does not have."""


def _end(data: StudyData, keys: Sequence[str], run: Run, at_step: int) -> _End:
    recent = DEFAULT_RULE.window(min(run.step or 0, at_step))
    curves = (data.curve(run.id, key) for key in keys)
    return tuple(bits(curve.between(*recent)) if curve else None for curve in curves)


def _keys(data: StudyData) -> tuple[str, ...]:
    telling = (key for key in data.keys if key.startswith(TELLING))
    return tuple(dict.fromkeys([*data.compared_keys(), *telling]))
