"""What the total is made of, what silence would cost, and which term pulls the level where.

The force of a term is ``F = -w <dL/dy, y>``: positive makes the output louder under gradient
descent, negative quieter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate import keys
from ablate.analysis.curves.study_data import StudyData, read_step
from ablate.analysis.curves.windows import Window, trend_windows, value_at, window_mean
from ablate.rules import DEFAULT_RULE, mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One term of the total, as a mean over the runs of a variant."""

    name: str
    weight: float | None
    """Weighted value over raw value; None where the raw value was not logged or is zero."""
    value: float | None
    weighted: float
    share: float | None
    """Of the logged total; of the sum of terms where no total was logged."""
    silent_rise: float | None
    """By how much the term would rise (negative: fall) if the output went silent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The terms of a variant's total, largest first."""

    variant: str
    runs: int
    """How many runs the means are over."""
    total: float | None
    terms: tuple[Term, ...]

    @property
    def residual(self) -> float | None:
        """What the logged total holds beyond the sum of the terms."""
        if self.total is None:
            return None
        return self.total - sum(term.weighted for term in self.terms)

    @property
    def residual_share(self) -> float | None:
        """The residual over the total, None where the total is zero."""
        return self.residual / self.total if self.residual is not None and self.total else None

    @property
    def silent_rise(self) -> float | None:
        """By how much the terms whose silent value is known would rise in sum, None without any."""
        rises = [term.silent_rise for term in self.terms if term.silent_rise is not None]
        return sum(rises) if rises else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Force:
    """The scale force of one weighted term in each trend window, as a mean over runs."""

    name: str
    windows: tuple[float | None, ...]

    @property
    def last(self) -> float | None:
        """In the last window."""
        return self.windows[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Forces:
    """Who pulls the level of a variant's output."""

    variant: str
    windows: tuple[Window, ...]
    terms: tuple[Force, ...]
    """Strongest in any window first."""

    @property
    def net(self) -> tuple[float | None, ...]:
        """The sum over the terms in each window."""
        columns = zip(*(term.windows for term in self.terms), strict=True)
        return tuple(_sum(column) for column in columns)

    def dominant(self, window: int) -> Force | None:
        """Return the term with the largest force in a window."""
        known = [term for term in self.terms if term.windows[window]]
        return max(known, key=lambda term: abs(term.windows[window] or 0.0), default=None)


def budget_of(data: StudyData, variant: str, at_step: int) -> Budget:
    """Return what a variant's total is made of at a step."""
    read = [(r.id, s) for r in data.runs_of(variant) if (s := read_step(r, at_step)) is not None]
    total = _mean_of(data, read, keys.TOTAL)
    names = data.names_in(keys.WEIGHTED)
    weighted = {n: _mean_of(data, read, keys.WEIGHTED.key(n)) for n in names}
    known = {name: value for name, value in weighted.items() if value is not None}
    whole = total if total is not None else sum(known.values())
    terms = [_term(data, read, (name, known[name], whole)) for name in known]
    ordered = sorted(terms, key=lambda term: (-abs(term.weighted), term.name))
    return Budget(variant=variant, runs=len(read), total=total, terms=tuple(ordered))


def forces_of(data: StudyData, variant: str, at_step: int) -> Forces:
    """Return the scale forces of a variant's terms over the trend windows.

    A logged ``train/force/total`` is no term: the sum is `Forces.net`.
    """
    windows = trend_windows(at_step)
    ids = [r.id for r in data.runs_of(variant)]
    terms: list[Force] = []
    names = [name for name in data.names_in(keys.FORCE) if name != keys.TOTAL_NAME]
    for name in names:
        curves = [data.curve(run_id, keys.FORCE.key(name)) for run_id in ids]
        means = tuple(_mean_known([window_mean(c, w) for c in curves]) for w in windows)
        if any(means):
            terms.append(Force(name=name, windows=means))
    terms.sort(key=lambda t: (-max(abs(value or 0.0) for value in t.windows), t.name))
    return Forces(variant=variant, windows=windows, terms=tuple(terms))


def _term(data: StudyData, read: Sequence[tuple[str, int]], term: tuple[str, float, float]) -> Term:
    name, weighted, whole = term
    value = _mean_of(data, read, keys.LOSS.key(name))
    silent = _mean_of(data, read, keys.SILENT.key(name))
    weight = weighted / value if value else None
    rise = None
    if weight is not None and silent is not None and value is not None:
        rise = weight * (silent - value)
    return Term(
        name=name,
        weight=weight,
        value=value,
        weighted=weighted,
        share=weighted / whole if whole else None,
        silent_rise=rise,
    )


def _mean_of(data: StudyData, read: Sequence[tuple[str, int]], key: str) -> float | None:
    """Return the mean over (run id, the step at which it is read)."""
    found = [value_at(data.curve(run_id, key), DEFAULT_RULE, step) for run_id, step in read]
    return _mean_known([v.value for v in found if v])


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return mean(known) if known else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None
