"""All that a report says about each variant of a study, beside the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate import keys
from ablate.analysis.comparison import Comparison
from ablate.analysis.curves.drift import Parameter, Trend, parameters_of, trends_of
from ablate.analysis.curves.jumps import EventMark, Jump, events_of, jumps_of
from ablate.analysis.curves.onset import Miss, misses_of
from ablate.analysis.curves.study_data import StudyData, read_step
from ablate.analysis.curves.windows import Window
from ablate.analysis.diagnosis.budgets import Budget, Forces, budget_of, forces_of
from ablate.analysis.diagnosis.collapse import Collapse, collapse_of
from ablate.analysis.diagnosis.sentences import sentences_for
from ablate.analysis.diagnosis.silence import SilentLoss, silent_losses
from ablate.rules import mean

_JUMPING = (
    *(keys.LOSS.prefix(), keys.AUDIO.prefix(), keys.RVQ.prefix(), keys.NORM.prefix()),
    f"{keys.VALID}/",
)
"""Where a jump is worth a line; rates and timings jump by design."""
_ECHOES = tuple(
    f"/{keys.AUDIO.name_in(key)}"
    for key in (keys.LEVEL, keys.LEVEL_SLOPE, keys.SILENCE_RATIO, keys.RMS_AC)
)
"""What jumps whenever the level does, which has its own line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SilentRow:
    """One loss of a variant beside its silent value, as a mean over the runs."""

    split: str
    name: str
    value: float
    silent: float
    ratio: float
    at_silent: int
    """In how many runs it sits there."""
    runs: int
    since: tuple[int, ...]
    """From which step on, for each of those runs."""
    counts: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What is to be said about one variant."""

    variant: str
    windows: tuple[Window, ...]
    losses: tuple[Trend, ...]
    codes: tuple[Trend, ...]
    """Of the keys in ``train/rvq``."""
    parameters: tuple[Parameter, ...]
    """Norms and every key with a target."""
    silence: tuple[SilentRow, ...]
    budget: Budget
    forces: Forces
    collapse: Collapse
    events: tuple[EventMark, ...]
    jumps: tuple[Jump, ...]
    misses: Mapping[str, tuple[Miss, ...]]
    """Key with a target -> the runs that miss it, with the step from which on."""
    runs: int
    sentences: tuple[str, ...]


def findings_of(data: StudyData, comparison: Comparison) -> tuple[Findings, ...]:
    """Return the findings for every variant at the comparison's step; none without one."""
    step = comparison.at_step
    return () if step is None else tuple(_findings(data, name, step) for name in data.names)


def _findings(data: StudyData, variant: str, step: int) -> Findings:
    runs = data.runs_of(variant)
    read = [(run.id, at) for run in runs if (at := read_step(run, step)) is not None]
    windows, losses = trends_of(data, variant, _loss_keys(data), step)
    rvq = [keys.RVQ.key(name) for name in data.names_in(keys.RVQ)]
    silence = _silent_rows([x for run, at in read for x in silent_losses(data, run, at)])
    budget, forces = budget_of(data, variant, step), forces_of(data, variant, step)
    jumping = [k for k in data.keys if k.startswith(_JUMPING) and not k.endswith(_ECHOES)]
    jumps = jumps_of(data, variant, jumping, step)
    return Findings(
        variant=variant,
        windows=windows,
        losses=losses,
        codes=trends_of(data, variant, rvq, step)[1],
        parameters=parameters_of(data, variant, _parameter_keys(data), step),
        silence=silence,
        budget=budget,
        forces=forces,
        collapse=collapse_of(data, variant, step),
        events=events_of(data, variant, step),
        jumps=jumps,
        misses={key: misses_of(data, key, [r for r, _ in read], step) for key in data.targets},
        runs=len(runs),
        sentences=sentences_for(
            trends=losses,
            silent={x.name: x.at_silent for x in silence if x.split == keys.TRAIN and x.counts},
            budget=budget,
            forces=forces,
            jumps=jumps,
        ),
    )


def _loss_keys(data: StudyData) -> list[str]:
    found = [keys.LOSS.key(name) for name in data.names_in(keys.LOSS)]
    return sorted(found, key=lambda key: key != keys.TOTAL)


def _parameter_keys(data: StudyData) -> list[str]:
    norms = [keys.NORM.key(name) for name in data.names_in(keys.NORM)]
    return list(dict.fromkeys([*data.targets, *norms]))


def _silent_rows(losses: Sequence[SilentLoss]) -> tuple[SilentRow, ...]:
    grouped: dict[tuple[str, str], list[SilentLoss]] = {}
    for loss in losses:
        grouped.setdefault((loss.split, loss.name), []).append(loss)
    return tuple(
        SilentRow(
            split=split,
            name=name,
            value=mean([x.value for x in found]),
            silent=mean([x.silent for x in found]),
            ratio=mean([x.ratio for x in found]),
            at_silent=sum(x.is_at_silent for x in found),
            runs=len(found),
            since=tuple(sorted(x.since_step for x in found if x.since_step is not None)),
            counts=any(x.counts for x in found),
        )
        for (split, name), found in sorted(grouped.items())
    )
