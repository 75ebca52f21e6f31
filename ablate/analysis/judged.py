"""One run against its study's targets and against silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ablate.analysis.silence import Silence, silence_of
from ablate.analysis.study_data import StudyData, read_step
from ablate.analysis.windows import initial_value, value_at
from ablate.domain import Run, RunState
from ablate.rules import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedRun:
    """One run against the study's targets at the compared step."""

    run: Run
    values: Mapping[str, float]
    """Key -> value, for the targets that have one."""
    statuses: Mapping[str, Status]
    silence: Silence

    @property
    def ended_badly(self) -> bool:
        """Whether its state alone makes it fail."""
        return self.run.state in (RunState.DIVERGED, RunState.FAILED, RunState.STOPPED)

    @property
    def is_judged(self) -> bool:
        """Whether there is anything to judge it by."""
        return self.ended_badly or bool(self.values) or bool(self.silence.losses)

    @property
    def fails(self) -> bool:
        """Whether it ended badly, misses a target critically, or is silent in every loss."""
        return (
            self.ended_badly or self.silence.is_silent or Status.CRITICAL in self.statuses.values()
        )


def judged_runs(data: StudyData, variant: str, at_step: int) -> tuple[JudgedRun, ...]:
    """Return every run of a variant against the targets; one that came less far has no values."""
    return tuple(_judge_run(data, run, at_step) for run in data.runs_of(variant))


def _judge_run(data: StudyData, run: Run, at_step: int) -> JudgedRun:
    values: dict[str, float] = {}
    statuses: dict[str, Status] = {}
    silence = Silence(run_id=run.id, losses=())
    step = read_step(run, at_step)
    if step is not None:
        silence = silence_of(data, run.id, step)
        for key, target in data.targets.items():
            curve = data.curve(run.id, key)
            found = value_at(curve, data.spec(key).rule, step)
            if found:
                values[key] = found.value
                statuses[key] = target.judge(found.value, initial_value(curve))
    return JudgedRun(run=run, values=values, statuses=statuses, silence=silence)


def most(runs: Sequence[JudgedRun], holds: Callable[[JudgedRun], bool]) -> bool:
    """Return whether it holds for at least half of the runs, and for one at all."""
    return bool(runs) and 2 * sum(map(holds, runs)) >= len(runs)
