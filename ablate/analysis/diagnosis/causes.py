"""Why a variant goes wrong, from what was logged alone: likely causes, the most probable first.

A cause is named when at least half of a variant's runs show it. The order is that of certainty:
what can be read off exactly (nothing changed, a part stands still) comes before what is weighed
(a force), and what drives the level before what is seen at the end of it. What decides over all
that is trained, the learning rate and a term that drowns the others, comes first: the rest follows
from it. Nothing here knows names of variants or of terms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.diagnosis.dominance import INNER_TERM_DOMINATES, TERM_DOMINATES
from ablate.analysis.diagnosis.learning import (
    CODEBOOK_STILL,
    CODES_COLLAPSED,
    CODES_EXPLAIN_LITTLE,
    PART_STILL,
    RATE_TOO_HIGH,
    RATE_TOO_LOW,
)
from ablate.analysis.diagnosis.level import (
    CONSTANT_OFFSET,
    PULLED_QUIETER,
    TOO_LOUD,
    WEAK_LEVEL_TERM,
)
from ablate.analysis.diagnosis.run_view import LEVEL_READS, median, views_of
from ablate.analysis.diagnosis.signs import Sighting, Sign
from ablate.analysis.diagnosis.twins import TWIN_READS, Twin, changes_between, twins_of
from ablate.analysis.wording import of_runs
from ablate.domain import Variant
from ablate.identity import canonical_json, flatten
from ablate.text import counted, listed, written

HELD = 0.5
"""A variant with this fraction of the level of the target has held it, in an experiment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """One likely cause."""

    name: str
    """Short and stable, as ``learning rate too high``."""
    sentence: str
    """What is wrong, with its evidence, in plain words."""
    evidence: Mapping[str, float] = field(default_factory=dict[str, float])
    """Metric key, or what was counted -> number."""

    @property
    def short(self) -> str:
        """What is wrong, without the evidence."""
        return re.split(r"[:;] | \(", self.sentence, maxsplit=1)[0]


SIGNS: tuple[Sign[Any], ...] = (
    RATE_TOO_HIGH,
    RATE_TOO_LOW,
    TERM_DOMINATES,
    PART_STILL,
    CODEBOOK_STILL,
    INNER_TERM_DOMINATES,
    CONSTANT_OFFSET,
    WEAK_LEVEL_TERM,
    CODES_EXPLAIN_LITTLE,
    PULLED_QUIETER,
    TOO_LOUD,
    CODES_COLLAPSED,
)
"""In the order in which causes are named."""
READS = tuple(
    dict.fromkeys([*LEVEL_READS, *TWIN_READS, *(key for sign in SIGNS for key in sign.reads)])
)
"""Metric keys and patterns that the search for causes reads."""


def causes_of(data: StudyData, at_step: int) -> dict[str, tuple[Cause, ...]]:
    """Return by variant the likely causes of what is wrong with it; none where nothing is."""
    twins, siblings = twins_of(data), _Siblings(data)
    signs = [sign for sign in SIGNS if any(map(sign.may_read, data.keys))]
    found: dict[str, tuple[Cause, ...]] = {}
    for name in data.names:
        views = views_of(data, name, at_step)
        seen = [sighting for sign in signs if (sighting := sign.seen_in(views))]
        twin = [_of_twin(twins[name])] if name in twins else []
        found[name] = (*twin, *_of_signs(data, name, seen, at_step, siblings))
    return found


def _of_signs(
    data: StudyData, variant: str, seen: Sequence[Sighting], at_step: int, siblings: _Siblings
) -> Iterator[Cause]:
    proofs = [_counterproof(data, variant, sign, at_step, siblings) for sign in seen]
    total = len(data.runs_of(variant))
    causes = [_of_sign(sign, total, proof) for sign, proof in zip(seen, proofs, strict=True)]
    # What an experiment of the same study has shown is more certain than what is weighed.
    yield from (cause for cause, proof in zip(causes, proofs, strict=True) if proof)
    yield from (cause for cause, proof in zip(causes, proofs, strict=True) if not proof)


class _Siblings:
    """Variants whose configs differ in nothing but what a sign speaks of."""

    def __init__(self, data: StudyData) -> None:
        self._data = data
        self._rests: dict[str, dict[str, str]] = {}

    def of(self, variant: str, subject: str) -> list[str]:
        if subject not in self._rests:
            self._rests[subject] = {v.name: _rest(v, subject) for v in self._data.variants}
        rests = self._rests[subject]
        return [name for name, rest in rests.items() if rest == rests[variant]]


def _rest(variant: Variant, subject: str) -> str:
    """Return a config without the keys that name a subject, as a text."""
    flat = flatten(variant.config).items()
    # A key that is absent is as one without a value, as in `changes_between`.
    rest = {k: v for k, v in flat if v is not None and subject not in k.split(".")}
    return canonical_json(rest)


def _counterproof(
    data: StudyData, variant: str, sign: Sighting, at_step: int, siblings: _Siblings
) -> str:
    """Return which variant holds its level and differs in nothing but what the sign speaks of."""
    if not sign.subject:
        return ""
    for other in siblings.of(variant, sign.subject):
        changes = changes_between(data, variant, other)
        if changes and _holds_level(data, other, variant, at_step):
            listing = listed([f"{key} {_shown(old)} -> {_shown(new)}" for key, old, new in changes])
            return f"; {other}, which has {listing} and is the same otherwise, holds its level"
    return ""


def _holds_level(data: StudyData, other: str, variant: str, at_step: int) -> bool:
    """Whether a variant has most of its level, and twice that of the other."""
    theirs, own = (
        median(level for view in views_of(data, name, at_step) if (level := view.level) is not None)
        for name in (other, variant)
    )
    return theirs is not None and own is not None and theirs >= max(HELD, 2 * own)


def _of_twin(twin: Twin) -> Cause:
    changes = listed([f"{key} {_shown(old)} -> {_shown(new)}" for key, old, new in twin.changes])
    verb = "changes" if len(twin.changes) == 1 else "change"
    equal = f"all {twin.curves} curves equal those"
    if twin.curves == 1:
        equal = "its one curve equals that"
    return Cause(
        name="no effect",
        sentence=f"{changes} {verb} nothing here: {equal} of "
        f"{twin.other} bit for bit at {counted(twin.seeds, 'seed')}",
        evidence={"equal curves": twin.curves, "seeds": twin.seeds},
    )


def _shown(value: object) -> str:
    return "(absent)" if value is None else written(value)


def _of_sign(sign: Sighting, total: int, proof: str) -> Cause:
    sentence = f"{sign.sentence}{proof} ({of_runs(sign.runs, total)})"
    return Cause(name=sign.name, sentence=sentence, evidence=sign.evidence)
