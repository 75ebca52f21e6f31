"""How a level is lost: what the output is as good as, which stage and parameter shrink, when."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate import keys
from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.curves.windows import initial_value
from ablate.analysis.diagnosis.run_view import RunView, median, typical, views_of
from ablate.analysis.diagnosis.silence import CLOSE
from ablate.analysis.diagnosis.trivial import TrivialLoss, distance
from ablate.analysis.wording import number, of_runs, span
from ablate.text import listed

HALF = 0.5
"""Below this fraction of the target's level the level counts as lost; so does such a gain."""
NEAR = 0.03
"""An event within this fraction of the steps from the loss of level coincides with it."""
NEAR_STEPS = 20
"""And one within so many steps does."""
_STAGE = re.compile(r"(\d+)_(.+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The level of one stage of the signal path, first and now."""

    name: str
    first: float
    now: float
    gain: float
    """Gain of the stage now over its gain at first; of the first stage, its level."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pull:
    """How the weighted terms let the norm of one parameter grow (positive) or shrink."""

    parameter: str
    terms: Mapping[str, float]
    """Term -> median over the run."""

    @property
    def net(self) -> float:
        """The sum over the terms."""
        return sum(self.terms.values())

    @property
    def shrinks(self) -> str:
        """The term that shrinks it most."""
        return min(self.terms, key=self.terms.__getitem__)

    @property
    def grows(self) -> str:
        """The term that lets it grow most."""
        return max(self.terms, key=self.terms.__getitem__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Collapse:
    """What is known about the level of a variant, as medians over its runs."""

    trivial: tuple[TrivialLoss, ...]
    stages: tuple[Stage, ...]
    """In the order of the signal path."""
    pulls: tuple[Pull, ...]
    sentences: tuple[str, ...]


def collapse_of(data: StudyData, variant: str, at_step: int) -> Collapse:
    """Return what is known about a variant's level; sentences on its loss only where it is lost."""
    views = views_of(data, variant, at_step)
    trivial, stages, pulls = _trivial(views), _stages(views), _pulls(views)
    lost = [view for view in views if view.is_too_quiet]
    is_lost = bool(lost) and 2 * len(lost) >= len(views)
    sentences = _as_good_as(trivial, is_lost=is_lost)
    if is_lost:
        sentences += [
            *_where(stages),
            *_who(pulls),
            *_explained(lost),
            *_when(lost, len(data.runs_of(variant))),
        ]
    return Collapse(trivial=trivial, stages=stages, pulls=pulls, sentences=tuple(sentences))


def _trivial(views: Sequence[RunView]) -> tuple[TrivialLoss, ...]:
    if not views:
        return ()
    data = views[0].data
    cells = [name.split("/") for name in data.names_in(keys.NULL)]
    values = typical([view.recent_of(keys.LOSS, keys.VALID) for view in views])
    weighted = typical([view.recent_of(keys.WEIGHTED) for view in views])
    trained_on = {name for name, value in weighted.items() if value}
    found: list[TrivialLoss] = []
    for name in dict.fromkeys(loss for _, loss in cells):
        firsts = {
            predictor: median(
                first
                for view in views
                if (first := _first(view, keys.NULL.key(f"{predictor}/{name}"))) is not None
            )
            for predictor, loss in cells
            if loss == name
        }
        trivial = {predictor: value for predictor, value in firsts.items() if value is not None}
        if name in values and trivial:
            counts = not trained_on or name in trained_on
            found.append(TrivialLoss(name=name, value=values[name], trivial=trivial, counts=counts))
    return tuple(found)


def _first(view: RunView, key: str) -> float | None:
    return initial_value(view.data.curve(view.run.id, key))


def _as_good_as(losses: Sequence[TrivialLoss], *, is_lost: bool) -> list[str]:
    """Return which trivial output gets the same losses; where the level is lost, the nearest."""
    counted = [loss for loss in losses if loss.counts]
    predictors = dict.fromkeys(p for loss in counted for p in loss.trivial)
    near = [p for p in predictors if all(loss.is_near(p) for loss in counted)]
    if not near and not (is_lost and predictors):
        return []
    best = min(near or predictors, key=lambda p: distance(counted, p))
    ratios = listed(
        [f"{x.name} {x.value / x.trivial[best]:.2f}x" for x in counted if x.trivial.get(best)]
    )
    if near:
        text = f"every held-out loss that is trained on lies within {CLOSE:.0%} of what the trivial"
        return [f"{text} output '{best}' gets ({ratios})"]
    text = "of all trivial outputs the held-out losses that are trained on are nearest to those of"
    return [f"{text} '{best}' ({ratios})"]


def _stages(views: Sequence[RunView]) -> tuple[Stage, ...]:
    if not views:
        return ()
    named = [m for n in views[0].data.names_in(keys.STAGE) if (m := _STAGE.fullmatch(n))]
    logged = [keys.STAGE.key(m[0]) for m in sorted(named, key=lambda m: int(m[1]))]
    now = typical([{k: v for k in logged if (v := view.recent(k)) is not None} for view in views])
    first = typical([{k: v for k in logged if (v := _first(view, k))} for view in views])
    stages: list[Stage] = []
    before = 1.0
    for key in logged:
        if key in now and key in first:
            change = now[key] / first[key]
            stages.append(
                Stage(
                    name=keys.STAGE.name_in(key).split("_", 1)[1],
                    first=first[key],
                    now=now[key],
                    gain=change / before,
                )
            )
            before = change
    return tuple(stages)


def _where(stages: Sequence[Stage]) -> list[str]:
    if not stages:
        return []
    worst = min(stages, key=lambda stage: stage.gain)
    rest = listed([f"{s.name} {number(s.gain, 2)}" for s in stages if s is not worst])
    text = f"the level is lost in the stage {worst.name}: since the first point its gain changed "
    return [f"{text}by the factor {number(worst.gain, 2)}" + (f" ({rest})" if rest else "")]


def _pulls(views: Sequence[RunView]) -> tuple[Pull, ...]:
    if not views:
        return ()
    grouped: dict[str, dict[str, float]] = {}
    for name in views[0].data.names_in(keys.PULL):
        parameter, _, term = name.rpartition("/")
        values = [median(view.history(keys.PULL.key(name)).values()) for view in views]
        value = median(v for v in values if v is not None)
        if value:
            grouped.setdefault(parameter, {})[term] = value
    return tuple(Pull(parameter=p, terms=terms) for p, terms in grouped.items())


def _who(pulls: Sequence[Pull]) -> list[str]:
    shrunk = sorted((p for p in pulls if p.net < 0), key=lambda p: p.net)
    if not shrunk:
        return []
    parts = [
        f"{p.parameter} by {p.shrinks} ({number(p.terms[p.shrinks], 2)}, all terms together "
        f"{number(p.net, 2)})"
        for p in shrunk[:3]
    ]
    return [f"what shrinks most: {listed(parts)}"]


def _explained(lost: Sequence[RunView]) -> list[str]:
    key = keys.EXPLAINED_VARIANCE
    now = median(value for view in lost if (value := view.recent(key)) is not None)
    if now is None:
        return []
    first = median(value for view in lost if (value := _first(view, key)) is not None)
    return [
        f"the quantizer explains {number(now, 2)} of the variance of its input"
        + (f" ({number(first, 2)} at the first point)" if first is not None else "")
    ]


def _when(lost: Sequence[RunView], total: int) -> list[str]:
    onsets = {view.run.id: step for view in lost if (step := _lost_from(view)) is not None}
    if not onsets:
        return []
    text = f"below {HALF:.0%} of the target level for good from step {span(onsets.values())}"
    near: dict[str, list[int]] = {}
    for view in lost:
        reach = max(NEAR_STEPS, NEAR * view.last)
        for event in view.data.events.get(view.run.id, ()):
            onset = onsets.get(view.run.id)
            if onset is not None and event.step > 0 and abs(event.step - onset) <= reach:
                near.setdefault(event.name, []).append(event.step)
    if not near:
        return [f"{text} on; no event near it"]
    parts = [f"{name} (step {span(s)}, {of_runs(len(s), total)})" for name, s in near.items()]
    return [f"{text} on, together with {listed(parts)}"]


def _lost_from(view: RunView) -> int | None:
    since: int | None = None
    for step, level in sorted(view.levels().items(), reverse=True):
        if level >= HALF:
            break
        since = step
    return since
