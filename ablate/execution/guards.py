"""Guards, judged inside the training process, so that they fire at the same step every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.rules import Guard


@dataclass(frozen=True, slots=True)
class Firing:
    """A guard whose condition has held for long enough."""

    guard: Guard
    since_step: int
    value: float


class GuardWatch:
    """Follows every guard of a run over its logged values.

    A guard fires once. What it has seen is part of the checkpoint, so that a resumed run fires at
    the step at which an uninterrupted one would.
    """

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = tuple(guards)
        self._since: dict[str, int] = {}
        self._fired: set[str] = set()

    def observe(self, values: Mapping[str, float], step: int) -> list[Firing]:
        """Judge the values of one step and return the guards that fire now."""
        return [
            firing
            for guard in self._guards
            if guard.key in values and (firing := self._judge(guard, values[guard.key], step))
        ]

    def _judge(self, guard: Guard, value: float, step: int) -> Firing | None:
        if guard.name in self._fired or step < guard.after_step:
            return None
        if not guard.holds(value):
            self._since.pop(guard.name, None)
            return None
        since = self._since.setdefault(guard.name, step)
        if step - since < guard.for_steps:
            return None
        self._fired.add(guard.name)
        return Firing(guard, since, value)

    def state(self) -> dict[str, Any]:
        """Return what was seen so far, JSON-ready."""
        return {"since": dict(self._since), "fired": sorted(self._fired)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up where `state` was taken."""
        self._since = dict(state["since"])
        self._fired = set(state["fired"])
