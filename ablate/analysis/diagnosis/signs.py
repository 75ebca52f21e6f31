"""Signs of something wrong: each says what it reads, looks at runs and tells what it saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

from ablate.analysis.diagnosis.run_view import RunView, median, typical


class Evidence:
    """What a run shows of a sign: a frozen dataclass of numbers, and of mappings to numbers.

    A number that not every run has is None where it is missing.
    """

    __slots__ = ()

    def numbers(self) -> dict[str, float]:
        """Return metric key, or what was counted -> number, for programs that read a comparison."""
        raise NotImplementedError


E = TypeVar("E", bound=Evidence)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """What at least half of the runs show."""

    name: str
    sentence: str
    evidence: Mapping[str, float]
    """Medians over the runs that show it."""
    runs: int
    """How many show it."""
    subject: str
    """Of what it speaks, where a config may have a key for it: the name of a term; else empty."""


def _no_subject(_: Evidence) -> str:
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign(Generic[E]):
    """What is looked for in the runs of a variant."""

    name: str
    """Short and stable, as ``learning rate too high``."""
    reads: tuple[str, ...]
    """Metric keys and patterns: all that `look` reads, so that loading brings it."""
    look: Callable[[RunView], E | None]
    """Returns the evidence in one run, None where there is none."""
    tell: Callable[[E, Sequence[RunView]], str]
    """Returns in plain words what is wrong, from the medians of those that show it and all runs."""
    subject: Callable[[E], str] = _no_subject

    def may_read(self, key: str) -> bool:
        """Whether a metric is among those that it reads."""
        return any(fnmatchcase(key, pattern) for pattern in self.reads)

    def seen_in(self, views: Sequence[RunView]) -> Sighting | None:
        """Return what the runs show, if at least half of them do."""
        found = [evidence for view in views if (evidence := self.look(view)) is not None]
        if not found or 2 * len(found) < len(views):
            return None
        evidence = _typical(found)
        return Sighting(
            name=self.name,
            sentence=self.tell(evidence, views),
            evidence=evidence.numbers(),
            runs=len(found),
            subject=self.subject(evidence),
        )


def _typical(found: Sequence[E]) -> E:
    """Return evidence each number of which is the median over the runs that have it."""
    kind: Any = type(found[0])
    return kind(
        **{
            field.name: _median([getattr(evidence, field.name) for evidence in found])
            for field in fields(kind)
        }
    )


def _median(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Mapping):
        return typical(values)
    return median(value for value in values if value is not None)
