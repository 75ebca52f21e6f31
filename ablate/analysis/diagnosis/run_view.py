"""One run as the search for causes reads it: last values, and whole curves where they matter."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate import keys
from ablate.analysis.curves.study_data import RunCurve, StudyData
from ablate.analysis.curves.windows import value_at
from ablate.analysis.diagnosis.silence import common_points
from ablate.domain import Run
from ablate.keys import Group
from ablate.rules import DEFAULT_RULE, Status

LEVEL_READS = (keys.RMS, keys.TARGET_RMS)
"""What tells the level of an output."""
LOW = 0.7
"""Where no target says what is wanted, an output below this fraction of its level is too quiet."""
LOUD = 2.0
"""An output above this multiple of the level of the target is too loud."""
RECOVERS = 0.25
"""An output whose level came nearer to the target by this fraction of what was missing, from the
second to the last third of the run, is on its way back."""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run up to the compared step, or up to its own end where that came before."""

    data: StudyData
    run: Run
    last: int
    """The step at which it is read."""

    def recent(self, key: str) -> float | None:
        """Return the mean over the last tenth; costs no whole curve.

        None without a point, and where one is NaN: no limit says anything of that.
        """
        found = value_at(self.data.curve(self.run.id, key), DEFAULT_RULE, self.last)
        return None if found is None or math.isnan(found.value) else found.value

    def settled(self, key: str) -> float | None:
        """Return what `recent` does, None where the trained model was measured only once.

        One record shows no movement, and may be of a model that has barely begun.
        """
        curve = self.data.curve(self.run.id, key)
        if curve is None or not self._has_records(curve):
            return None
        return self.recent(key)

    def _has_records(self, curve: RunCurve) -> bool:
        first, last = DEFAULT_RULE.window(self.last)
        recent = curve.between(max(1, first), last)
        # Most have several in the last steps, which cost little to read.
        return len(recent.steps) > 1 or len(curve.between(1, last).steps) > 1

    def history(self, key: str) -> dict[int, float]:
        """Return step -> value of the trained model: step 0 is left out."""
        curve = self.data.curve(self.run.id, key)
        if curve is None:
            return {}
        points = zip(curve.steps, curve.values, strict=True)
        return {step: value for step, value in points if 0 < step <= self.last}

    def recent_of(self, group: Group, split: str = keys.TRAIN) -> dict[str, float]:
        """Return name -> the recent value of every key in a group."""
        names = self.data.names_in(group, split)
        found = {name: self.recent(group.key(name, split)) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def level(self) -> float | None:
        """The output's recent level over that of the target."""
        output = self.settled(keys.RMS)
        target = self.settled(keys.TARGET_RMS) if self._logs_target else self._declared_level
        return None if output is None or not target else output / target

    def levels(self) -> dict[int, float]:
        """Return step -> the output's level over that of the target."""
        if not self._logs_target:
            goal = self._declared_level or 0.0
            return {s: rms / goal for s, rms in self.history(keys.RMS).items() if goal > 0}
        output, target = (self.data.curve(self.run.id, key) for key in LEVEL_READS)
        points = common_points(output, target, self.last)
        return {step: rms / goal for step, rms, goal in points if step > 0 and goal > 0}

    @property
    def _logs_target(self) -> bool:
        return self.data.curve(self.run.id, keys.TARGET_RMS) is not None

    @property
    def _declared_kind(self) -> str | None:
        target = self.data.targets.get(keys.RMS)
        return target.kind if target else None

    @property
    def _declared_level(self) -> float | None:
        return self.data.declared_level(keys.TRAIN)

    @property
    def is_too_quiet(self) -> bool:
        """Whether the output misses its level from below and is not on its way back."""
        level = self.level
        return level is not None and self._is_low(level) and not self._is_on_its_way_back()

    @property
    def is_too_loud(self) -> bool:
        """Whether the output is far above its level and is not on its way back."""
        level = self.level
        has_ceiling = self._logs_target or self._declared_kind != "at_least"
        is_loud = level is not None and has_ceiling and level > LOUD
        return is_loud and not self._is_on_its_way_back()

    def _is_on_its_way_back(self) -> bool:
        levels = self.levels().items()
        before = median(v for step, v in levels if self.last < 3 * step <= 2 * self.last)
        now = median(v for step, v in levels if 3 * step > 2 * self.last)
        if now is None or before is None or before == 1:
            return False
        return (now - before) / (1 - before) >= RECOVERS

    def _is_low(self, level: float) -> bool:
        target, output = self.data.targets.get(keys.RMS), self.recent(keys.RMS)
        if target is None or target.kind == "drift" or output is None:
            return level < LOW
        return level < 1 and target.judge(output, None) != Status.GOOD


def views_of(data: StudyData, variant: str, at_step: int) -> tuple[RunView, ...]:
    """Return the runs of a variant that have any point, by seed."""
    return tuple(
        RunView(data, run, min(run.step, at_step))
        for run in data.runs_of(variant)
        if run.step is not None
    )


def median(values: Iterable[float]) -> float | None:
    """Return the median of the numbers, None when there is none; an infinity is a number."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else None


def typical(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return for each name its median over the runs that have it."""
    names = dict.fromkeys(name for values in found for name in values)
    medians = {name: median(v[name] for v in found if name in v) for name in names}
    return {name: value for name, value in medians.items() if value is not None}
