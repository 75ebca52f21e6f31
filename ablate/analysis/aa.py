"""The A/A floor: how large a difference there is where nothing differs but the seeds.

A copy of a variant stands apart from all that is decided. It lends no noise to others: copies have
one noise, which would weigh as much as they are many, and nobody who asks for them should get other
verdicts. It is tested as one more variant of the study would be, and by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.analysis.curves.study_data import ENDED_BADLY, StudyData
from ablate.analysis.repeats import repeats_of
from ablate.analysis.statistics.contrasts import Contrast, contrasts_of
from ablate.analysis.statistics.lending import CONFIDENCE
from ablate.analysis.statistics.summaries import MetricSummary, as_compared, summarise


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
    """What the copies of one variant show in one metric."""

    key: str
    contrasts: Mapping[str, Contrast]
    """Copy -> its contrast to what it copies; a copy without a value at the step is absent."""
    are_seeds_shared: bool
    """Whether the variants are compared at the same seeds, for seeds matter. Copies have others, so
    they show more than nothing makes between those."""

    @property
    def largest(self) -> float | None:
        """The largest difference, without its sign; None where ratios are compared, or none is."""
        sizes = [abs(c.difference) for c in self.contrasts.values() if c.difference is not None]
        return None if self.largest_ratio is not None else max(sizes, default=None)

    @property
    def largest_ratio(self) -> float | None:
        """The ratio that is furthest from 1, as one above it; None where differences are."""
        ratios = [c.ratio for c in self.contrasts.values() if c.ratio is not None]
        return max((max(ratio, 1 / ratio) for ratio in ratios), default=None)

    @property
    def tested(self) -> int:
        """How many contrasts have a test: one seed has none."""
        return sum(c.p_t is not None for c in self.contrasts.values())

    @property
    def decided(self) -> int:
        """How many are called different at 5%; of true copies one in twenty is, by chance."""
        return sum(
            c.p_t is not None and c.p_t < 1 - CONFIDENCE and not c.is_within_margin
            for c in self.contrasts.values()
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Copies:
    """The copies of one variant, with what they show."""

    of: str
    names: tuple[str, ...]
    floors: tuple[Floor, ...]
    """One for each metric that was asked for."""
    runs: int
    lost: int
    """How many of the runs diverged, failed or were stopped."""


def copies_of(
    data: StudyData,
    keys: Sequence[str],
    step: int | None,
    summaries: Mapping[str, Mapping[str, MetricSummary]],
) -> tuple[Copies, ...]:
    """Return what the copies of each variant that has some show.

    Args:
        data: The study.
        keys: In which metrics.
        step: The compared step.
        summaries: Key -> variant -> summary, of the study without its copies.
    """
    if step is None or not data.copies:
        return ()
    apart = data.of_copies()
    repeats = {run_id for name in apart.names for run_id in repeats_of(apart, name, step)}
    found = summarise(apart, [data.spec(key) for key in keys], step, repeats=repeats)
    by_original: dict[str, list[str]] = {}
    for variant in data.copies:
        if variant.copy:
            by_original.setdefault(variant.copy.of, []).append(variant.name)
    copies: list[Copies] = []
    for of, names in by_original.items():
        floors = [_floor(data, key, of, names, (summaries[key], found[key])) for key in keys]
        states = [run.state for name in names for run in apart.runs_of(name)]
        copies.append(
            Copies(
                of=of,
                names=tuple(names),
                floors=tuple(floors),
                runs=len(states),
                lost=sum(state in ENDED_BADLY for state in states),
            )
        )
    return tuple(copies)


def _floor(
    data: StudyData,
    key: str,
    of: str,
    names: Sequence[str],
    summaries: tuple[Mapping[str, MetricSummary], Mapping[str, MetricSummary]],
) -> Floor:
    variants, copies = summaries
    seeds = {name: summary.seeds for name, summary in variants.items()}
    contrasts: dict[str, Contrast] = {}
    for name in (name for name in names if name in copies):
        arms = {**seeds, name: copies[name].seeds}
        metric = as_compared(data, data.spec(key), arms, is_primary=False)
        contrast = contrasts_of({key: metric}, [(name, of)], pairing=data.pairing)[key][name, of]
        if contrast.difference is not None and contrast.ratio != 0:  # of a loss of 1e300
            contrasts[name] = contrast
    own = [contrast for summary in variants.values() for contrast in summary.contrasts]
    are_shared = any(contrast.method == "lent, paired" for contrast in own)
    return Floor(key=key, contrasts=contrasts, are_seeds_shared=are_shared)
