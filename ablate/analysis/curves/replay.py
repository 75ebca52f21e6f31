"""Guards and gates judged on the points of imported runs, as if those trained under them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ablate.analysis.curves.study_data import RunCurve
from ablate.attempt.gates import GateWatch
from ablate.attempt.guards import GuardWatch
from ablate.domain import IMPORTED, Event, Run
from ablate.keys import GateJudged, GuardFired
from ablate.rules import Gate, Guard

_Curves = Mapping[tuple[str, str], RunCurve]


def replayed(
    runs: Sequence[Run], curves: _Curves, guards: Sequence[Guard], gates: Sequence[Gate]
) -> dict[str, tuple[Event, ...]]:
    """Return run id -> the events that the guards and gates of the study give for its points.

    Args:
        runs: Only those that were imported are looked at.
        curves: (run id, key) -> curve.
        guards: Of the study.
        gates: Of the study, in rising order.
    """
    keys = {key for guard in guards for key in guard.keys}
    keys |= {demand.key for gate in gates for demand in gate.demands}
    return {
        run.id: tuple(_events(_logs(run.id, keys, curves), guards, gates))
        for run in runs
        if run.trainer == IMPORTED and keys
    }


def _logs(run_id: str, keys: set[str], curves: _Curves) -> dict[int, dict[str, float]]:
    """Return step -> key -> value, by step."""
    logs: dict[int, dict[str, float]] = {}
    for key in sorted(keys):
        if curve := curves.get((run_id, key)):
            for step, value in zip(curve.steps, curve.values, strict=True):
                logs.setdefault(step, {})[key] = value
    return dict(sorted(logs.items()))


def _events(
    logs: Mapping[int, Mapping[str, float]], guards: Sequence[Guard], gates: Sequence[Gate]
) -> list[Event]:
    guard_watch, gate_watch = GuardWatch(guards), GateWatch(gates)
    events: list[Event] = []
    for step, values in logs.items():
        events += _judged(gate_watch, step - 1)
        gate_watch.observe(values, step)
        events += [
            Event(
                name=GuardFired.NAME,
                step=step,
                data=GuardFired(
                    guard=firing.guard.name,
                    when=firing.guard.when,
                    since_step=firing.since_step,
                    do=firing.guard.do,
                ).data(),
                time=math.nan,
            )
            for firing in guard_watch.observe(values, step)
        ]
    return [*events, *_judged(gate_watch, max(logs, default=-1))]


def _judged(watch: GateWatch, step: int) -> list[Event]:
    if step < watch.next_step:
        return []
    return [
        Event(
            name=GateJudged.NAME,
            step=judged.gate.step,
            data=GateJudged(
                do=judged.gate.do,
                statuses={key: status.value for key, status in judged.statuses.items()},
            ).data(),
            time=math.nan,
        )
        for judged in watch.judge(step)
    ]
