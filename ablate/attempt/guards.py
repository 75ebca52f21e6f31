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
    values: Mapping[str, float]
    """Of every metric that it looks at."""


class GuardWatch:
    """Follows every guard of a run over its logged values.

    A guard is judged when any of its metrics is logged, with the newest values of the others, and
    fires once. What it has seen is part of the checkpoint, so that a resumed run fires at the step
    at which an uninterrupted one would.
    """

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = tuple(guards)
        self._newest: dict[str, float] = {}
        self._since: dict[str, int] = {}
        self._fired: set[str] = set()

    def observe(self, values: Mapping[str, float], step: int) -> list[Firing]:
        """Judge the values of one step and return the guards that fire now."""
        firings: list[Firing] = []
        for guard in self._guards:
            logged = {key: values[key] for key in guard.keys if key in values}
            self._newest |= logged
            if logged and (firing := self._judge(guard, step)):
                firings.append(firing)
        return firings

    def _judge(self, guard: Guard, step: int) -> Firing | None:
        if guard.name in self._fired or step < guard.after_step:
            return None
        if any(key not in self._newest for key in guard.keys):
            return None
        if not guard.holds(self._newest):
            self._since.pop(guard.name, None)
            return None
        since = self._since.setdefault(guard.name, step)
        if step - since < guard.for_steps:
            return None
        self._fired.add(guard.name)
        return Firing(guard, since, {key: self._newest[key] for key in guard.keys})

    def state(self) -> dict[str, Any]:
        """Return what was seen so far, JSON-ready."""
        return {
            "since": dict(self._since),
            "fired": sorted(self._fired),
            "newest": dict(self._newest),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up where `state` was taken.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: If it is no such state.
        """
        self._since = {str(name): int(step) for name, step in state["since"].items()}
        self._fired = set(map(str, state["fired"]))
        # Checkpoints from before guards looked at several metrics have none.
        self._newest = {str(k): float(value) for k, value in state.get("newest", {}).items()}
