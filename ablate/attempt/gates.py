"""Gates, judged inside the training process over what the run itself has logged.

What a gate sees is what `ablate compare --at` its step would: the same rules, the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.rules import Demand, Gate, MetricRule, Status

NOTHING_SEEN: Mapping[str, Any] = {"initial": {}, "windows": []}
"""The state of a `GateWatch` before the first value."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a run stands at a gate."""

    gate: Gate
    values: Mapping[str, float]
    """Key -> value, for the targets that have one."""
    statuses: Mapping[str, Status]
    """Of every target."""

    @property
    def failure(self) -> str | None:
        """What is critical, None when nothing is."""
        parts = [
            f"{demand.key} {self.values[demand.key]:.4g} is critical ({demand.target.text})"
            for demand in self.gate.demands
            if self.statuses[demand.key] is Status.CRITICAL
        ]
        return f"gate {self.gate.step}: {', '.join(parts)}" if parts else None


@dataclass(slots=True)
class _Window:
    """What a gate has to know of one curve: the points that count, or what stands in for them."""

    rule: MetricRule
    first: int
    last: int
    points: dict[int, float] = field(default_factory=dict[int, float])
    earlier: tuple[int, float] | None = None
    """The latest point before the window. Step 0 is none: it is the untrained model."""

    def add(self, step: int, value: float) -> None:
        if self.first <= step <= self.last:
            self.points[step] = value
        elif 0 < step < self.first and (self.earlier is None or step >= self.earlier[0]):
            self.earlier = (step, value)

    @property
    def newest_step(self) -> int:
        """Of what counts; -1 where nothing does."""
        return max(self.points, default=self.earlier[0] if self.earlier else -1)

    def read(self) -> float | None:
        if self.points:
            return self.rule.reduce([self.points[step] for step in sorted(self.points)])
        return self.earlier[1] if self.earlier else None


class GateWatch:
    """Follows the targets of a run over its logged values and judges them at its gates.

    A gate's step may be judged once it is over: several calls of ``log`` may belong to it. What was
    seen is part of the checkpoint, so that a resumed run is judged alike.

    Args:
        gates: In rising order of their steps.
    """

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._open = list(gates)
        self._initial: dict[str, tuple[int, float]] = {}
        """Key -> its first point."""
        self._windows = {
            (gate.step, demand.key): _Window(demand.rule, *demand.rule.window(gate.step))
            for gate in gates
            for demand in gate.demands
        }
        self.next_step: float = 0
        """The next gate's step, infinite after the last."""
        self._look_ahead()

    def observe(self, values: Mapping[str, float], step: int) -> None:
        """Take note of values that were logged."""
        for demand in self._open[0].demands if self._open else ():
            if demand.key not in values:
                continue
            value = values[demand.key]
            if demand.key not in self._initial or step <= self._initial[demand.key][0]:
                self._initial[demand.key] = (step, value)
            for gate in self._open:
                self._windows[gate.step, demand.key].add(step, value)

    def judge(self, step: int) -> list[Judgement]:
        """Judge the gates up to ``step``, which is over, that were not judged yet."""
        passed = [gate for gate in self._open if gate.step <= step]
        self._open = self._open[len(passed) :]
        self._look_ahead()
        return [self._judge(gate) for gate in passed]

    def _judge(self, gate: Gate) -> Judgement:
        values: dict[str, float] = {}
        statuses: dict[str, Status] = {}
        for demand in gate.demands:
            window = self._windows.pop((gate.step, demand.key))
            value = window.read()
            if value is not None:
                values[demand.key] = value
            statuses[demand.key] = self._status(demand, value, window.newest_step)
        return Judgement(gate, values, statuses)

    def _status(self, demand: Demand, value: float | None, step: int) -> Status:
        first, initial = self._initial.get(demand.key, (0, None))
        # One record shows no drift.
        return demand.target.judge(value, initial if first < step else None)

    def _look_ahead(self) -> None:
        self.next_step = self._open[0].step if self._open else math.inf

    def state(self) -> dict[str, Any]:
        """Return what was seen so far, JSON-ready."""
        return {
            "initial": {key: list(point) for key, point in self._initial.items()},
            "windows": [
                [step, key, window.earlier, list(window.points.items())]
                for (step, key), window in self._windows.items()
            ],
        }

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """Take up where `state` was taken, at a step up to which everything was judged.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: If it is no such state.
        """
        self._open = [gate for gate in self._open if gate.step > step]
        self._look_ahead()
        self._initial = {key: _point(point) for key, point in state["initial"].items()}
        for gate_step, key, earlier, points in state["windows"]:
            # A gate or a target may have been added to the study, or taken out of it, since then.
            if window := self._windows.get((gate_step, key)):
                window.earlier = _point(earlier) if earlier else None
                window.points = dict(map(_point, points))


def _point(saved: Sequence[Any]) -> tuple[int, float]:
    step, value = saved
    return int(step), float(value)
