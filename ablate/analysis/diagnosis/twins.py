"""Variants that differ in their configs and in nothing that their models do."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ablate import keys
from ablate.analysis.curves.study_data import RunCurve, StudyData
from ablate.domain import Json, Run
from ablate.identity import canonical_json, flatten
from ablate.rules import DEFAULT_RULE

TELLING = (
    keys.LOSS.prefix(),
    keys.LOSS.prefix(keys.VALID),
    keys.RVQ.prefix(),
    keys.CHANGE.prefix(),
)
"""What the models do is seen in these, and every comparison reads them. The total is left out: a
term can be part of it and yet touch no weight, as one that no gradient passes."""
TWIN_READS = (keys.LOSS.pattern, keys.RVQ.pattern, keys.CHANGE.pattern)
"""Metric keys and patterns that the search for twins reads."""
_BESIDE = (keys.SYSTEM.prefix(), keys.PERF.prefix())
"""What no two runs have alike."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Twin:
    """A variant whose models are bit for bit those of another."""

    other: str
    changes: tuple[tuple[str, Json, Json], ...]
    """(key, the other's value, this one's); None for a key that one does not have."""
    curves: int
    """How many curves were compared at each seed."""
    seeds: int
    """At how many."""


def twins_of(data: StudyData) -> dict[str, Twin]:
    """Return by variant the first variant before it, the baseline before all, that it equals.

    Every curve that both have is compared to the last bit, up to the last step that both reached,
    wherever the study is compared: what differs later has an effect. Runs that ended at different
    steps are no twins. A variant that equals none is absent.
    """
    found: dict[str, Twin] = {}
    known = _Known(data)
    for name in sorted(data.names, key=lambda name: name != data.baseline):
        twins = (_compare(data, other, name) for other in known.like(name))
        if twin := next(filter(None, twins), None):
            found[name] = twin
        known.add(name)
    return found


class _Known:
    """Variants that were looked at, by how the curves of their runs end.

    Of thousands of variants nearly all end apart, and need not be compared pair by pair.
    """

    def __init__(self, data: StudyData) -> None:
        self._data = data
        self._telling = _telling(data)
        self._names: list[str] = []
        self._going: dict[str, None] = {}
        # Keys of the run -> seed, step, key and last values -> variants. Two runs may have
        # logged different keys, and are compared by those that both have.
        self._ends: dict[tuple[str, ...], dict[_End, dict[str, None]]] = {}

    def add(self, variant: str) -> None:
        self._names.append(variant)
        for run in _begun(self._data, variant):
            if not run.state.is_finished:
                self._going[variant] = None
            ends = self._ends.setdefault(self._keys(run), {})
            for end in self._ends_of(run, self._keys(run)):
                ends.setdefault(end, {})[variant] = None

    def like(self, variant: str) -> list[str]:
        """Return the variants of which one may be a twin, in the order in which they were added."""
        runs = _begun(self._data, variant)
        if not all(run.state.is_finished for run in runs):
            return self._names  # it may equal one that has come further
        found = set(self._going)
        for run in runs:
            own = self._keys(run)
            for logged, ends in self._ends.items():
                shared = [key for key in own if key in logged]
                alike = [ends.get(end, {}) for end in self._ends_of(run, shared)]
                found.update(min(alike, key=len, default={}))
        return [name for name in self._names if name in found] if found else []

    def _keys(self, run: Run) -> tuple[str, ...]:
        return tuple(key for key in self._telling if self._data.curve(run.id, key))

    def _ends_of(self, run: Run, keys: Iterable[str]) -> Iterator[_End]:
        step = run.step or 0
        for key in keys:
            if curve := self._data.curve(run.id, key):
                yield run.seed, step, key, bits(curve.between(*DEFAULT_RULE.window(step)))


Bits = tuple[tuple[int, ...], bytes]
_End = tuple[int, int, str, Bits]
"""Seed, step, key and last values."""


def _begun(data: StudyData, variant: str) -> list[Run]:
    """Return the runs of a variant that say something already."""
    return [run for run in data.runs_of(variant) if run.step]


def _compare(data: StudyData, other: str, variant: str) -> Twin | None:
    changes = changes_between(data, other, variant)
    # Runs that were trained with one config, as those of early databases, say nothing of what the
    # change does.
    theirs = {run.seed: run for run in _begun(data, other)}
    pairs = [
        (theirs[run.seed], run)
        for run in _begun(data, variant)
        if run.seed in theirs and run.config != theirs[run.seed].config
    ]
    if not changes or not pairs or any(map(end_apart, pairs)):
        return None
    telling = _telling(data)
    counts = [equal_curves(data, telling, pair) for pair in pairs]
    if not all(counts):
        return None
    return Twin(other=other, changes=changes, curves=min(counts), seeds=len(pairs))


def changes_between(
    data: StudyData, other: str, variant: str
) -> tuple[tuple[str, Json, Json], ...]:
    """Return (key, the other's value, this one's) for all in which two configs differ."""
    theirs, own = (flatten(data.variant(name).config) for name in (other, variant))
    return tuple(
        (key, theirs.get(key), own.get(key))
        for key in dict.fromkeys([*theirs, *own])
        if canonical_json(theirs.get(key)) != canonical_json(own.get(key))
    )


def end_apart(runs: tuple[Run, Run]) -> bool:
    """Whether two runs have ended at different steps: the shorter says nothing of the rest."""
    return all(run.state.is_finished for run in runs) and runs[0].step != runs[1].step


def equal_curves(
    data: StudyData, wanted: Sequence[str], runs: tuple[Run, Run], at_step: int | None = None
) -> int:
    """Return how many of the curves both runs have, 0 as soon as one differs.

    Also 0 where they say nothing: no curve moves, or one of the runs has not begun.

    Args:
        data: What they logged.
        wanted: Keys of the curves.
        runs: The two.
        at_step: Where to stop; None for the last step that both reached.
    """
    first, second = runs
    last = min(first.step or 0, second.step or 0)
    last = last if at_step is None else min(last, at_step)
    if last == 0:
        return 0
    shared = [
        (one, two)
        for key in wanted
        if (one := data.curve(first.id, key)) and (two := data.curve(second.id, key))
    ]
    # Most differ in the last steps already, which cost little to read.
    recent = DEFAULT_RULE.window(last)
    if any(bits(one.between(*recent)) != bits(two.between(*recent)) for one, two in shared):
        return 0
    if any(bits(one, last) != bits(two, last) for one, two in shared):
        return 0
    return len(shared) if any(len(set(one.values)) > 1 for one, _ in shared) else 0


def changes_nothing(data: StudyData, variant: str) -> bool:
    """Whether every run of a variant is, to the bit, the baseline's run at its seed."""
    telling = _telling(data)
    pairs = _with_baseline(data, variant)
    return bool(pairs) and all(
        pair and not end_apart(pair) and equal_curves(data, telling, pair) for pair in pairs
    )


def total_differs(data: StudyData, variant: str) -> bool:
    """Whether the logged total of a run is another than that of the baseline's run at its seed."""
    pairs = filter(None, _with_baseline(data, variant))
    totals = [[data.curve(run.id, keys.TOTAL) for run in pair] for pair in pairs]
    return any(one and two and bits(one) != bits(two) for one, two in totals)


def has_other_length(data: StudyData, variant: str) -> bool:
    """Whether a run of a variant ended at another step than the baseline's run at its seed."""
    return any(pair and end_apart(pair) for pair in _with_baseline(data, variant))


def _with_baseline(data: StudyData, variant: str) -> list[tuple[Run, Run] | None]:
    theirs = {run.seed: run for run in data.runs_of(data.baseline)}
    return [
        (theirs[run.seed], run) if run.seed in theirs else None for run in data.runs_of(variant)
    ]


def _telling(data: StudyData) -> Sequence[str]:
    """Return the keys that say what a model does; all but the timings where there are none."""
    telling = [key for key in data.keys if key.startswith(TELLING) and key != keys.TOTAL]
    return telling or [key for key in data.keys if not key.startswith(_BESIDE)]


def bits(curve: RunCurve, last: int | None = None) -> Bits:
    """Return steps and values as bits, in which NaN equals itself; none after ``last``."""
    steps, values = curve.steps, curve.values
    stop = len(steps) if last is None else bisect_right(steps, last)
    return steps[:stop], struct.pack(f"{stop}d", *values[:stop])
