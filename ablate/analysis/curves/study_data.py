"""Everything that the analysis of a study needs, read once, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ablate.domain import Event, Run, RunState, Variant
from ablate.keys import AUDIO, LOSS, SYSTEM, TRAIN, VALID, Group, rms
from ablate.planning.lookup import named_variants
from ablate.provenance import Code
from ablate.rules import DeclaredMetric, Guard, Pairing, Target
from ablate.store.curves import Stretches

_TELLING = (
    (LOSS.prefix(VALID), AUDIO.prefix(VALID)),
    (LOSS.prefix(), AUDIO.prefix()),
    ("",),
)
"""Groups of keys to compare where a study declares nothing: the first that has any."""


class RunCurve(Protocol):
    """One metric of one run, without what was replaced by a resume."""

    @property
    def run_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def key(self) -> str:
        """Of which metric."""
        ...

    @property
    def steps(self) -> tuple[int, ...]:
        """Ascending, no step twice, at least one."""
        ...

    @property
    def values(self) -> tuple[float, ...]:
        """As logged: NaN and infinities included."""
        ...

    def between(self, first_step: int, last_step: int) -> RunCurve:
        """Return the part in a range of steps, both ends within; it may have no point.

        It may be far cheaper than ``steps`` and ``values``.
        """
        ...

    def stretched(self, width: int) -> Stretches:
        """Return it summed up over stretches of so many steps, cheaper than all its points."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyData:
    """A study's declarations with the curves and events of its runs."""

    study: str
    question: str
    baseline: str
    """Name of the variant that the others are compared with."""
    variants: tuple[Variant, ...]
    """In the order of the plan."""
    metrics: Mapping[str, DeclaredMetric] = field(default_factory=dict[str, DeclaredMetric])
    """As declared, in order."""
    targets: Mapping[str, Target] = field(default_factory=dict[str, Target])
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Variant -> what it is compared with; where it is absent, the baseline."""
    pairing: Pairing = "auto"
    guards: tuple[Guard, ...] = ()
    runs: tuple[Run, ...] = ()
    """Of the variants."""
    copies: tuple[Variant, ...] = ()
    """Of variants under other seeds. They are no candidates: no decision knows of them."""
    copy_runs: tuple[Run, ...] = ()
    curves: Mapping[tuple[str, str], RunCurve] = field(
        default_factory=dict[tuple[str, str], RunCurve], repr=False
    )
    """(run id, key) -> curve."""
    events: Mapping[str, tuple[Event, ...]] = field(default_factory=dict[str, tuple[Event, ...]])
    """Run id -> its events by step."""
    codes: Mapping[str, tuple[Code, ...]] = field(
        default_factory=dict[str, tuple[Code, ...]], repr=False
    )
    """Run id -> what its attempts were trained by, first to last; absent where it is not known."""
    notes: tuple[str, ...] = ()
    """What a reader must know about how this was selected."""
    logged: tuple[str, ...] = ()
    """Keys that any run has logged, also those whose curves were not read."""
    keys: tuple[str, ...] = field(init=False)
    """Keys of the curves, sorted."""
    _by_variant: Mapping[str, tuple[Run, ...]] = field(init=False, repr=False, compare=False)
    _variants: Mapping[str, Variant] = field(init=False, repr=False, compare=False)
    _groups: dict[tuple[Group, str], tuple[str, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict[Any, Any]
    )
    """What `names_in` has found: it is asked the same of every run."""

    def __post_init__(self) -> None:
        """Index what every analysis asks for again and again."""
        grouped: dict[str, list[Run]] = {}
        for run in sorted(self.runs, key=lambda r: r.seed):
            grouped.setdefault(run.variant, []).append(run)
        by_variant = {name: tuple(runs) for name, runs in grouped.items()}
        object.__setattr__(self, "keys", tuple(sorted({key for _, key in self.curves})))
        object.__setattr__(self, "_by_variant", by_variant)
        object.__setattr__(self, "_variants", {v.name: v for v in self.variants})

    @property
    def names(self) -> tuple[str, ...]:
        """The variants' names, in order."""
        return tuple(v.name for v in self.variants)

    def variant(self, name: str) -> Variant:
        """Return a variant by name.

        Raises:
            NotFoundError: With the closest name.
        """
        if name in self._variants:
            return self._variants[name]
        return named_variants(self.study, self.variants, [name])[0]  # says what was meant

    def runs_of(self, variant: str) -> tuple[Run, ...]:
        """Return the runs of a variant, by seed."""
        return self._by_variant.get(variant, ())

    def curve(self, run_id: str, key: str) -> RunCurve | None:
        """Return a run's curve, or None when it has no point."""
        return self.curves.get((run_id, key))

    def spec(self, key: str) -> DeclaredMetric:
        """Return what is declared about a key; one with a target alone is judged by it."""
        if key in self.metrics:
            return self.metrics[key]
        return DeclaredMetric(key, "target" if key in self.targets else None)

    def declared_keys(self) -> tuple[str, ...]:
        """Return the keys with a metric or a target, metrics first, each once."""
        return tuple(dict.fromkeys([*self.metrics, *self.targets]))

    def primary_keys(self) -> tuple[str, ...]:
        """Return the metrics that decide verdicts: those declared so, else the first that can."""
        can = [key for key, metric in self.metrics.items() if self._has_direction(metric)]
        return tuple(key for key in can if self.metrics[key].is_primary) or tuple(can[:1])

    def _has_direction(self, metric: DeclaredMetric) -> bool:
        return metric.goal is not None and (metric.goal != "target" or metric.key in self.targets)

    def references_of(self, variant: str) -> tuple[str, ...]:
        """Return what a variant is compared with."""
        if variant in self.references:
            return self.references[variant]
        return () if variant == self.baseline else (self.baseline,)

    def contrasts(self) -> tuple[tuple[str, str], ...]:
        """Return every variant with each of its references."""
        return tuple((name, other) for name in self.names for other in self.references_of(name))

    def contrasts_beside(self) -> tuple[tuple[str, str], ...]:
        """Return the variants with the baseline, where it is none of their references."""
        others = [name for name in self.names if name != self.baseline]
        return tuple(
            (n, self.baseline) for n in others if self.baseline not in self.references_of(n)
        )

    def with_copies(self) -> StudyData:
        """Return the study with its copies among the variants."""
        if not self.copies:
            return self
        return replace(
            self,
            variants=(*self.variants, *self.copies),
            runs=(*self.runs, *self.copy_runs),
            copies=(),
            copy_runs=(),
        )

    def of_copies(self) -> StudyData:
        """Return the copies as the variants of a study, in which nothing is compared."""
        return replace(
            self,
            variants=self.copies,
            runs=self.copy_runs,
            references={copy.name: () for copy in self.copies},
            copies=(),
            copy_runs=(),
        )

    def compared_keys(self) -> tuple[str, ...]:
        """Return the declared keys; where none is, what says most of what was logged."""
        return self.declared_keys() or next(filter(None, map(self._starting_with, _TELLING)), ())

    def _starting_with(self, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        found = (key for key in self.keys if key.startswith(prefixes))
        return tuple(key for key in found if not SYSTEM.holds(key))

    def declared_level(self, split: str) -> float | None:
        """Return the rms that a target of the output's level asks for, None without such a target.

        It is a band's centre or a bound. It stands in where a trainer does not log the level of
        the audio that it was given, as ``<split>/audio/target_rms``.
        """
        target = self.targets.get(rms(split))
        return None if target is None or target.kind == "drift" else target.value

    def names_in(self, group: Group, split: str = TRAIN) -> tuple[str, ...]:
        """Return the last parts of the keys of a group in a split, in sorted order."""
        if (group, split) not in self._groups:
            found = (group.name_in(key, split) for key in self.keys if group.holds(key, split))
            self._groups[group, split] = tuple(sorted(found))
        return self._groups[group, split]


ENDED_BADLY = frozenset({RunState.DIVERGED, RunState.FAILED, RunState.STOPPED})
"""A run that ended so is lost, whatever it had reached by then."""


def read_step(run: Run, at_step: int) -> int | None:
    """Return the step at which a run is read when all are compared at ``at_step``.

    A run that a guard or a gate stopped before is read where it was stopped, and one that is under
    way where it stands; of one that came less far for another reason there is nothing to read, and
    the result is None.
    """
    if run.step is None:
        return None
    if run.step >= at_step:
        return at_step
    return run.step if run.state == RunState.STOPPED or is_under_way(run) else None


def is_under_way(run: Run) -> bool:
    """Whether a run has begun to train and is not finished: what it shows is not final."""
    return bool(run.step) and not run.state.is_finished
