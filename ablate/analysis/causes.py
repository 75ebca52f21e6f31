"""Why a variant goes wrong, from what was logged alone: likely causes, the most probable first.

A cause is named when at least half of a variant's runs show it. The order is that of certainty:
what can be read off exactly (nothing changed, a part stands still) comes before what is weighed
(a rate, a force), and what drives the level before what is seen at the end of it. Nothing here
knows names of variants or of terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.analysis.learning import (
    codebook_still,
    codes_collapsed,
    codes_explain_little,
    part_still,
    rate_too_high,
    rate_too_low,
)
from ablate.analysis.level import offset, pulled_quieter, too_loud, weak_level_term
from ablate.analysis.run_view import RunView, views_of
from ablate.analysis.signs import Sign
from ablate.analysis.study_data import StudyData
from ablate.analysis.twins import Twin, twin_of
from ablate.analysis.wording import listed, of_runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """One likely cause."""

    name: str
    """Short and stable, as ``learning rate too high``."""
    sentence: str
    """What is wrong, with its evidence, in plain words."""
    evidence: Mapping[str, float] = field(default_factory=dict[str, float])
    """Metric key, or what was counted -> number."""


_SIGNS: tuple[Callable[[Sequence[RunView]], Sign | None], ...] = (
    rate_too_high,
    part_still,
    codebook_still,
    offset,
    weak_level_term,
    codes_explain_little,
    pulled_quieter,
    too_loud,
    rate_too_low,
    codes_collapsed,
)


def causes_of(data: StudyData, variant: str, at_step: int) -> tuple[Cause, ...]:
    """Return the likely causes of what is wrong with a variant; none where nothing is."""
    twin = twin_of(data, variant, at_step)
    views = views_of(data, variant, at_step)
    signs = [sign for find in _SIGNS if (sign := find(views))]
    causes = [_of_sign(sign, len(data.runs_of(variant))) for sign in signs]
    return ((_of_twin(twin), *causes)) if twin else tuple(causes)


def _of_twin(twin: Twin) -> Cause:
    changes = listed([f"{key} {_shown(old)} -> {_shown(new)}" for key, old, new in twin.changes])
    verb = "changes" if len(twin.changes) == 1 else "change"
    seeds = f"{twin.seeds} seed{'' if twin.seeds == 1 else 's'}"
    return Cause(
        name="no effect",
        sentence=f"{changes} {verb} nothing here: all {twin.curves} curves equal those of "
        f"{twin.other} bit for bit at {seeds}",
        evidence={"equal curves": twin.curves, "seeds": twin.seeds},
    )


def _shown(value: object) -> str:
    return "(absent)" if value is None else str(value)


def _of_sign(sign: Sign, total: int) -> Cause:
    sentence = f"{sign.sentence} ({of_runs(sign.runs, total)})"
    return Cause(name=sign.name, sentence=sentence, evidence=sign.evidence)
