"""Every loss beside the value that it takes for a silent output.

A loss that falls and "converges" may only have reached the value that an all-zero output gets.
The trainer logs that value on the same batch as ``<split>/silent/<name>``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ablate import keys
from ablate.analysis.curves.study_data import RunCurve, StudyData
from ablate.analysis.curves.windows import value_at
from ablate.rules import DEFAULT_RULE, mean

SILENCE_READS = (
    *(keys.LOSS.pattern, keys.SILENT.pattern, keys.WEIGHTED.pattern),
    *(keys.ANY_RMS, keys.ANY_TARGET_RMS),
)
"""Metric keys and patterns that this reads."""
CLOSE = 0.05
"""Within this fraction of its silent value a loss sits there."""
QUIET = 0.25
"""An output below this fraction of the target's rms is counted as silent."""
INDEPENDENT = 1e-6
"""A loss that equals its silent value this closely at every step does not see the output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SilentLoss:
    """One loss of one run beside its silent value, at the compared step."""

    run_id: str
    split: str
    name: str
    value: float
    silent: float
    ratio: float
    """value / silent: 1 is silence, 0 is perfect."""
    is_at_silent: bool
    """Within 5 % of it, and the output is below 25 % of the target's rms where that is known."""
    since_step: int | None
    """The step from which on this is so for good; None when it is not so now."""
    counts: bool
    """Whether the loss depends on the output and its weighted term is part of the total."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """How the losses of one run stand, in the split that was trained on where it has any."""

    run_id: str
    losses: tuple[SilentLoss, ...]
    """Those that count."""

    @property
    def at_silent(self) -> tuple[SilentLoss, ...]:
        """The losses that sit at their silent value."""
        return tuple(loss for loss in self.losses if loss.is_at_silent)

    @property
    def is_silent(self) -> bool:
        """Whether every loss sits at its silent value."""
        return bool(self.losses) and len(self.at_silent) == len(self.losses)

    @property
    def since_step(self) -> int | None:
        """The step from which on every loss sits there, None when not all do."""
        steps = [loss.since_step for loss in self.losses]
        return max((s for s in steps if s is not None), default=None) if self.is_silent else None


def silent_losses(data: StudyData, run_id: str, at_step: int) -> tuple[SilentLoss, ...]:
    """Return every loss of a run for which a silent value was logged, by split, then name."""
    found = (
        _silent_loss(data, run_id, (split, name), at_step)
        for split in (keys.TRAIN, keys.VALID)
        for name in data.names_in(keys.SILENT, split)
    )
    return tuple(loss for loss in found if loss)


def silence_of(data: StudyData, run_id: str, at_step: int) -> Silence:
    """Return how the losses of a run stand against silence."""
    losses = [loss for loss in silent_losses(data, run_id, at_step) if loss.counts]
    split = keys.TRAIN if any(loss.split == keys.TRAIN for loss in losses) else keys.VALID
    return Silence(run_id=run_id, losses=tuple(x for x in losses if x.split == split))


def _silent_loss(
    data: StudyData, run_id: str, loss: tuple[str, str], at_step: int
) -> SilentLoss | None:
    split, name = loss
    value = data.curve(run_id, keys.LOSS.key(name, split))
    silent = data.curve(run_id, keys.SILENT.key(name, split))
    if value is None or silent is None:
        return None
    pair = _Pair(value, silent, at_step)
    if not pair.recent:
        return None
    mean_value = mean([v for _, v, _ in pair.recent])
    mean_silent = mean([s for _, _, s in pair.recent])
    ratio = mean_value / mean_silent if mean_silent else math.nan
    sits = abs(ratio - 1) <= CLOSE and _is_quiet(data, run_id, split, at_step)
    return SilentLoss(
        run_id=run_id,
        split=split,
        name=name,
        value=mean_value,
        silent=mean_silent,
        ratio=ratio,
        is_at_silent=sits,
        since_step=_since(pair.all) if sits else None,
        counts=_is_summed(data, run_id, name, at_step) and not pair.is_independent,
    )


class _Pair:
    """A loss and its silent value as (step, value, silent) where both were logged.

    What the last steps tell is not read from all of them.
    """

    def __init__(self, value: RunCurve, silent: RunCurve, at_step: int) -> None:
        self._value = value
        self._silent = silent
        self._at_step = at_step
        first, _ = DEFAULT_RULE.window(at_step)
        self.recent = self._between(first) or self.all[-1:]
        """Where the default rule looks, else the latest before."""

    @cached_property
    def all(self) -> list[tuple[int, float, float]]:
        """All up to the compared step."""
        return self._between(0)

    @property
    def is_independent(self) -> bool:
        """Whether the loss equals its silent value at every step."""
        return all(map(_are_equal, self.recent)) and all(map(_are_equal, self.all))

    def _between(self, first_step: int) -> list[tuple[int, float, float]]:
        if first_step == 0:
            return common_points(self._value, self._silent, self._at_step)
        value = self._value.between(first_step, self._at_step)
        silent = self._silent.between(first_step, self._at_step)
        return common_points(value, silent, self._at_step)


def _are_equal(point: tuple[int, float, float]) -> bool:
    _, value, silent = point
    return abs(value - silent) <= INDEPENDENT * abs(silent)


def common_points(
    first: RunCurve | None, second: RunCurve | None, at_step: int
) -> list[tuple[int, float, float]]:
    """Return (step, first, second) at the steps up to ``at_step`` that both curves have."""
    if first is None or second is None:
        return []
    if first.steps == second.steps:
        points = zip(first.steps, first.values, second.values, strict=True)
        return [point for point in points if point[0] <= at_step]
    others = dict(zip(second.steps, second.values, strict=True))
    return [
        (step, value, others[step])
        for step, value in zip(first.steps, first.values, strict=True)
        if step <= at_step and step in others
    ]


def _is_summed(data: StudyData, run_id: str, name: str, at_step: int) -> bool:
    """Whether the loss has a term in the total; every cheap loss is measured, few are weighted."""
    weighted = data.curve(run_id, keys.WEIGHTED.key(name))
    if weighted is not None:
        first, last = DEFAULT_RULE.window(at_step)
        return any(weighted.between(first, last).values) or any(weighted.values)
    return not any(data.curve(run_id, keys.WEIGHTED.key(n)) for n in data.names_in(keys.WEIGHTED))


def _is_quiet(data: StudyData, run_id: str, split: str, at_step: int) -> bool:
    """Whether the output is far below the target's rms; True where one of them is not known."""
    output = value_at(data.curve(run_id, keys.rms(split)), DEFAULT_RULE, at_step)
    target = value_at(data.curve(run_id, keys.target_rms(split)), DEFAULT_RULE, at_step)
    wanted = target.value if target else data.declared_level(split)
    if output is None or wanted is None or not wanted > 0:
        return True
    return output.value < QUIET * wanted


def _since(pair: Sequence[tuple[int, float, float]]) -> int | None:
    """Return the first step after the last one at which the loss was away from silence."""
    since: int | None = None
    for step, value, silent in reversed(pair):
        if not abs(value - silent) <= CLOSE * abs(silent):
            break
        since = step
    return since if since is not None else pair[-1][0]
