"""Every loss beside what outputs get that know next to nothing of their target.

A level that is right says nothing about the sound: noise has it too. What tells an output from
noise or another utterance is a loss that these get wrong. The trainer measures them once as
``null/<output>/<loss>``; silence is among them, and is also in ``<split>/silent/``.
All stored losses count here, whether they are trained on or not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate import keys
from ablate.analysis.curves.study_data import RunCurve, StudyData
from ablate.analysis.curves.windows import value_at
from ablate.analysis.diagnosis.silence import CLOSE, INDEPENDENT
from ablate.rules import DEFAULT_RULE

TRIVIAL_READS = (keys.LOSS.pattern, keys.SILENT.pattern, keys.NULL.pattern)
"""Metric keys and patterns that this reads."""
FULFILLED = 0.1
"""A loss of which one output that knows nothing gets less than this fraction of another's is about
the level alone: to be better than all of them there says nothing about the sound."""
SPARED = 0.8
"""A loss of which silence gets less than this fraction of what the usual noise of the right level
gets compares sample by sample: only there is a wrong sound worse than none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrivialLoss:
    """One loss beside what outputs that know nothing get."""

    name: str
    value: float
    trivial: Mapping[str, float]
    """Output that knows nothing -> its loss; at least one."""
    counts: bool = True
    """Whether the loss is part of what is trained on, where that was looked at."""

    def is_near(self, output: str) -> bool:
        """Whether the loss lies within 5 % of that output's."""
        value = self.trivial.get(output, math.nan)
        return abs(self.value - value) <= CLOSE * abs(value)

    @property
    def tells(self) -> bool:
        """Whether it is better than that of all of them, by more than 5 %."""
        return not self._is_of_level and self.value < (1 - CLOSE) * min(self.trivial.values())

    def over(self, output: str) -> float | None:
        """Return its value over that output's, None where that is zero or not known."""
        value = self.trivial.get(output)
        return self.value / value if value else None

    @property
    def over_silence(self) -> float | None:
        """Its value over that of silence."""
        return self.over(keys.SILENCE)

    @property
    def is_above_silence(self) -> bool:
        """Whether silence would be better by more than 5 %."""
        ratio = self.over_silence
        return ratio is not None and ratio > 1 + CLOSE

    @property
    def is_of_samples(self) -> bool:
        """Whether it compares sample by sample, as far as the outputs that know nothing show."""
        silent = self.trivial.get(keys.SILENCE, math.inf)
        return len(self._sounds) > 1 and silent <= SPARED * statistics.median(self._sounds)

    @property
    def _is_of_level(self) -> bool:
        return len(self._sounds) > 1 and min(self._sounds) < FULFILLED * max(self._sounds)

    @property
    def _sounds(self) -> list[float]:
        return [value for output, value in self.trivial.items() if output != keys.SILENCE]


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """How one run's output stands against those that know nothing."""

    losses: tuple[TrivialLoss, ...] = ()
    """Of the held-out set where it is measured there, else of the training batches."""

    @property
    def is_trivial(self) -> bool:
        """Whether no loss tells the output from all that know nothing."""
        return bool(self.losses) and not any(loss.tells for loss in self.losses)

    @property
    def above_silence(self) -> tuple[TrivialLoss, ...]:
        """The losses that silence would get better."""
        return tuple(loss for loss in self.losses if loss.is_above_silence)

    @property
    def is_spectrum_only(self) -> bool:
        """Whether it is told from them, and yet every comparison of samples prefers silence."""
        samples = [loss for loss in self.losses if loss.is_of_samples]
        is_worse = bool(samples) and all(loss.is_above_silence for loss in samples)
        return is_worse and not self.is_trivial

    @property
    def nearest(self) -> str:
        """The output that knows nothing and has the most similar losses; needs any loss."""
        outputs = dict.fromkeys(output for loss in self.losses for output in loss.trivial)
        return min(outputs, key=lambda output: distance(self.losses, output))


def likeness_of(data: StudyData, run_id: str, at_step: int) -> Likeness:
    """Return how a run stands at a step; without losses where nothing to compare was logged."""
    nulls = _nulls(data, run_id, at_step)
    held_out = _losses(data, run_id, keys.VALID, at_step, nulls=nulls)
    return Likeness(losses=held_out or _losses(data, run_id, keys.TRAIN, at_step, nulls={}))


def distance(losses: Sequence[TrivialLoss], output: str) -> float:
    """Return the mean size of the logarithm of loss over trivial loss, infinite without any."""
    ratios = [loss.value / value for loss in losses if (value := loss.trivial.get(output))]
    logs = [abs(math.log(ratio)) for ratio in ratios if 0 < ratio < math.inf]
    return sum(logs) / len(logs) if logs else math.inf


def _losses(
    data: StudyData,
    run_id: str,
    split: str,
    at_step: int,
    *,
    nulls: Mapping[str, Mapping[str, float]],
) -> tuple[TrivialLoss, ...]:
    found: list[TrivialLoss] = []
    for name in dict.fromkeys([*nulls, *data.names_in(keys.SILENT, split)]):
        value = value_at(data.curve(run_id, keys.LOSS.key(name, split)), DEFAULT_RULE, at_step)
        if value is None or not math.isfinite(value.value):
            continue
        trivial = dict(nulls.get(name, {}))
        silent = value_at(data.curve(run_id, keys.SILENT.key(name, split)), DEFAULT_RULE, at_step)
        if silent and not trivial and _is_blind(value.value, silent.value):
            continue
        if silent and math.isfinite(silent.value):
            trivial.setdefault(keys.SILENCE, silent.value)
        if trivial:
            found.append(TrivialLoss(name=name, value=value.value, trivial=trivial))
    return tuple(found)


def _nulls(data: StudyData, run_id: str, at_step: int) -> dict[str, dict[str, float]]:
    """Return loss -> output that knows nothing -> what it gets."""
    found: dict[str, dict[str, float]] = {}
    for cell in data.names_in(keys.NULL):
        output, _, loss = cell.partition("/")
        value = _measured(data.curve(run_id, keys.NULL.key(cell)), at_step)
        if value is not None and math.isfinite(value):
            found.setdefault(loss, {})[output] = value
    return found


def _measured(curve: RunCurve | None, at_step: int) -> float | None:
    """Return what was measured once at the start, else the newest up to the step."""
    if curve is None:
        return None
    if first := curve.between(0, 0).values:
        return first[0]
    found = value_at(curve, DEFAULT_RULE, at_step)
    return found.value if found else None


def _is_blind(value: float, silent: float) -> bool:
    """Whether a loss is that of silence as closely as one is that does not see the output."""
    return abs(value - silent) <= INDEPENDENT * abs(silent)
