"""Main effects and interactions of two factors, from the values of runs.

Values are explained by the seed as a block, the factors, and their products two by two, all at
once by least squares with contrasts that sum to zero. So an effect is a mean over the levels of the
other factors, each weighing the same, and missing runs do not tilt it. What the runs cannot tell
apart is said, and never guessed.

Sources: Montgomery 2017, Design and Analysis of Experiments, 9th edition, chapters 5 and 6;
Searle 1987, Linear Models for Unbalanced Data (what is estimable where cells are missing).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ablate.analysis.factorial.least_squares import ROUNDING, Fit, least_squares, scaled
from ablate.analysis.factorial.lenth import FEWEST, Chain, Lenth, chains_of, lenth
from ablate.analysis.factorial.shares import Part, Share, share_of
from ablate.analysis.factorial.table import EffectsTable
from ablate.analysis.statistics.f_tail import f_tail
from ablate.analysis.statistics.family import corrected
from ablate.analysis.statistics.student_t import t_quantile

CONFIDENCE = 0.95
_ENOUGH = 4
"""Degrees of freedom of runs of one cell from which on their spread alone is the noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """The value of one run."""

    levels: Mapping[str, str]
    """Factor -> level."""
    seed: int
    value: float
    """Finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelEffect:
    """How far the mean of a level lies from the mean of all levels of its factor."""

    level: str
    deviation: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """One factor, or the interaction of several."""

    factors: tuple[str, ...]
    """One for a main effect; none for all higher interactions together."""
    df: int
    """Differences that it stands for; 0 where none can be told."""
    value: float | None = None
    """Of factors of two levels: the mean at the second less that at the first; of an interaction,
    half of what the effect of one factor changes by between the levels of the other."""
    ci_low: float | None = None
    ci_high: float | None = None
    levels: tuple[LevelEffect, ...] = ()
    """Of a factor of more than two levels."""
    f: float | None = None
    """Its mean square over that of the noise; None without noise, and by Lenth's method."""
    p: float | None = None
    p_holm: float | None = None
    """After Holm's correction over all effects of the table."""
    share: Share | None = None
    ties: tuple[str, ...] = ()
    """Effects that these runs cannot tell from it: what is given holds if they are zero, and
    where ``df`` is 0 nothing is given."""
    missing: tuple[tuple[str, ...], ...] = ()
    """Combinations of its levels of which there is no run."""

    @property
    def name(self) -> str:
        """``A``, ``A:B``, or ``higher interactions``."""
        return ":".join(self.factors) or HIGHER

    @property
    def is_told(self) -> bool:
        """Whether these runs can tell it from all others."""
        return self.df > 0

    @property
    def standing(self) -> Standing | None:
        """How it stands out of the noise; None where that is not known."""
        if self.p is None or self.p_holm is None:
            return None
        if self.p_holm < 1 - CONFIDENCE:
            return "seen"
        return "possible" if self.p < 1 - CONFIDENCE else "not seen"


HIGHER = "higher interactions"
SEED = "the seed"
_BLOCK = ("", SEED)
"""Stands for the blocks among the factors: no factor has an empty name."""

Standing = Literal["seen", "possible", "not seen"]
"""``seen``: at 5 % over all effects of the table; ``possible``: only if it alone is asked for."""

NoiseKind = Literal["repeats", "rest", "interactions", "lenth", "none"]
"""What is taken for noise: the spread of runs of one cell; that with all interactions of three and
more factors; with those of two as well; Lenth's pseudo standard error; nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """What an effect is measured against."""

    kind: NoiseKind
    df: int = 0
    sd: float | None = None
    """Of a run."""
    lenth: Lenth | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Effects:
    """What the factors do to one number."""

    effects: tuple[Effect, ...]
    """Mains in the order of the factors, then interactions."""
    noise: Noise
    runs: int
    cells: int
    """Combinations of levels of which there are runs."""
    whole: int
    """Combinations of all levels."""
    missing: tuple[tuple[str, ...], ...]
    """Some of the combinations without a run; empty where there are all."""
    seeds: int
    """How many there are."""
    blocks: int
    """Seeds that are taken out as blocks; 0 where they are not."""
    block_share: float | None
    noise_share: float | None
    untold_share: float | None = None
    """Of effects that the runs cannot tell apart, together; None where all can be told."""
    is_flat: bool = False
    """Whether all values are the same."""

    def effect(self, name: str) -> Effect:
        """Return an effect by its name."""
        return next(effect for effect in self.effects if effect.name == name)


def effects_of(
    observations: Sequence[Observation], factors: Mapping[str, Sequence[str]]
) -> Effects:
    """Return what factors do.

    Args:
        observations: Two or more finite values; each has a level of every factor.
        factors: Name -> its levels in order, two or more of which were run; for two levels the
            effect is second less first.
    """
    table = EffectsTable.of([(o.levels, o.seed) for o in observations], factors)
    values, unit, smallest = scaled([o.value for o in observations])
    if unit == 0:
        return _flat(table)
    if (chains := _single_runs(table)) is not None:
        return _by_lenth(table, chains, values, unit)
    return _Regression(table, values, unit, smallest).result()


def _flat(table: EffectsTable) -> Effects:
    effects = [Effect(factors=(name,), df=len(table.levels[name]) - 1) for name in table.levels]
    return _effects(table, effects, Noise(kind="none"), is_flat=True)


def _effects(
    table: EffectsTable,
    effects: Sequence[Effect],
    noise: Noise,
    *,
    block_share: float | None = None,
    noise_share: float | None = None,
    untold_share: float | None = None,
    is_flat: bool = False,
) -> Effects:
    """Return the effects with Holm's correction over them."""
    adjusted = corrected([(effect.p, None) for effect in effects])
    return Effects(
        effects=tuple(
            replace(effect, p_holm=p.different) for effect, p in zip(effects, adjusted, strict=True)
        ),
        noise=noise,
        runs=len(table.rows),
        cells=len(table.cells),
        whole=math.prod(map(len, table.levels.values())),
        missing=table.missing(tuple(table.levels)),
        seeds=len(set(table.seeds)),
        blocks=len(table.blocks),
        block_share=block_share,
        noise_share=noise_share,
        untold_share=untold_share,
        is_flat=is_flat,
    )


def _single_runs(table: EffectsTable) -> list[Chain] | None:
    """Return all effects of single runs at two levels, None where there is something else."""
    is_single = len(table.rows) == len(table.cells) > FEWEST
    if not is_single or any(len(levels) != 2 for levels in table.levels.values()):
        return None
    columns = [table.main(name)[0] for name in table.levels]
    return chains_of(list(zip(*columns, strict=True)), list(table.levels))


def _by_lenth(
    table: EffectsTable, chains: Sequence[Chain], values: Sequence[float], unit: float
) -> Effects:
    runs = len(values)
    total = math.fsum(value * value for value in values)
    found = [
        2 * math.fsum(v * x for v, x in zip(values, chain.column, strict=True)) / runs
        for chain in chains
    ]
    found = [effect if abs(effect) > ROUNDING else 0.0 for effect in found]
    margins = lenth(found)
    effects = [
        Effect(
            factors=chain.words[0],
            df=1,
            value=effect * unit,
            ci_low=(effect - margins.margin) * unit,
            ci_high=(effect + margins.margin) * unit,
            p=margins.p(effect),
            share=share_of(Part(variance=effect**2 / 4, df=1, runs=runs), total / runs, runs),
            ties=tuple(":".join(word) for word in chain.words[1:]),
        )
        for chain, effect in zip(chains, found, strict=True)
    ]
    shown = replace(
        margins,
        pse=margins.pse * unit,
        margin=margins.margin * unit,
        simultaneous_margin=margins.simultaneous_margin * unit,
    )
    return _effects(table, effects, Noise(kind="lenth", lenth=shown))


class _Regression:
    """One fit of all effects, with the noise that is left.

    Args:
        table: What was run.
        values: One for each row: differences to the mean, of which the largest is 1.
        unit: What 1 stands for.
        smallest: A sum of squares that is rounding.
    """

    def __init__(
        self, table: EffectsTable, values: Sequence[float], unit: float, smallest: float
    ) -> None:
        self._table, self._values = table, values
        self._unit, self._smallest = unit, smallest
        self._parts: dict[tuple[str, ...], Part] = {}
        self._mains = [(name,) for name in table.levels]
        self._pairs = list(itertools.combinations(table.levels, 2))
        if not table.takes_pairs:
            self._pairs = []
        self._columns: list[Sequence[float]] = []
        self._places: dict[tuple[str, ...], range] = {}
        self._add((), [[1.0] * len(values)])
        self._add(_BLOCK, table.block_columns)
        for name in self._mains:
            self._add(name, table.main(*name))
        self._first_pair = len(self._columns)
        for pair in self._pairs:
            self._add(pair, table.product(*pair))
        self._whole = least_squares(self._columns, values)
        self._narrow = least_squares(self._columns[: self._first_pair], values)
        self._noise, self._square, self._higher = self._find_noise()

    def _add(self, name: tuple[str, ...], columns: Sequence[Sequence[float]]) -> None:
        start = len(self._columns)
        self._columns += columns
        self._places[name] = range(start, len(self._columns))

    def result(self) -> Effects:
        """Return the effects."""
        effects = [self._main(name) for name in self._mains]
        effects += [self._pair(pair) for pair in self._pairs]
        if self._higher is not None:
            effects.append(self._higher)
        noise = (self._square or 0.0) * self._noise.df / len(self._values)
        rest = {"noise": noise, "block": self._block_variance(), "untold": self._untold(effects)}
        told = math.fsum(part.variance for part in self._parts.values())
        total = told + math.fsum(variance or 0.0 for variance in rest.values())
        shares = {k: None if v is None or total == 0 else v / total for k, v in rest.items()}
        return _effects(
            self._table,
            [self._with_share(effect, total) for effect in effects],
            self._noise,
            block_share=shares["block"],
            noise_share=None if self._square is None else shares["noise"],
            untold_share=shares["untold"],
        )

    def _untold(self, effects: Sequence[Effect]) -> float | None:
        """Return the variance, in these runs, of what cannot be told apart; None without any."""
        untold = [e.factors for e in effects if not e.is_told and e.factors in self._places]
        places = {place for name in untold for place in self._places[name]}
        if not any(len(name) == 1 or self._noise.kind != "interactions" for name in untold):
            return None
        fit = self._narrow if self._noise.kind == "interactions" else self._whole
        kept = [self._columns[place] for place in sorted(set(fit.kept) - places)]
        rss = least_squares(kept, self._values).rss
        return self._cleared(rss - fit.rss) / len(self._values)

    def _with_share(self, effect: Effect, total: float) -> Effect:
        part = self._parts.get(effect.factors)
        if part is None or total == 0:
            return effect
        return replace(effect, share=share_of(part, total, len(self._values), self._square))

    def _find_noise(self) -> tuple[Noise, float | None, Effect | None]:
        """Return the noise, its mean square in squared units, and the higher interactions."""
        whole, narrow = self._whole, self._narrow
        rss, df = self._table.within(self._values)
        if df >= _ENOUGH:
            more = whole.df - df
            noise, square = self._noise_of("repeats", rss, df)
            explained = self._cleared(whole.rss - rss)
            tested = self._tested(Effect(factors=(), df=more), explained, square, df)
            return noise, square, tested if more > 0 else None
        if whole.df > 0:
            kind: NoiseKind = "repeats" if df == whole.df else "rest"
            return *self._noise_of(kind, whole.rss, whole.df), None
        if narrow.df > 0 and self._pairs:
            return *self._noise_of("interactions", narrow.rss, narrow.df), None
        return Noise(kind="none"), None, None

    def _noise_of(self, kind: NoiseKind, rss: float, df: int) -> tuple[Noise, float]:
        square = self._cleared(rss) / df
        return Noise(kind=kind, df=df, sd=math.sqrt(square) * self._unit), square

    def _cleared(self, squares: float) -> float:
        return squares if squares > self._smallest else 0.0

    def _main(self, name: tuple[str, ...]) -> Effect:
        """Return a main effect: beside all others where that is defined, else beside mains alone.

        The latter holds if the interactions that it is tied to are zero.
        """
        among_mains = self._ties(self._narrow, name)
        if among_mains is not None:
            return Effect(factors=name, df=0, ties=among_mains)
        if self._noise.kind == "interactions":
            ties, fit = None, self._narrow
        else:
            ties = self._ties(self._whole, name)
            fit = self._whole if ties is None else self._narrow
        df = len(self._places[name])
        return self._estimated(Effect(factors=name, df=df, ties=ties or ()), fit)

    def _pair(self, pair: tuple[str, ...]) -> Effect:
        """Return an interaction, as far as it can be told."""
        missing = self._table.missing(pair)
        if self._noise.kind == "interactions":
            return Effect(factors=pair, df=0, missing=missing)
        ties = self._ties(self._whole, pair)
        if ties is None:
            found = Effect(factors=pair, df=len(self._places[pair]), missing=missing)
            return self._estimated(found, self._whole)
        others = [column for i, column in enumerate(self._columns) if i not in self._places[pair]]
        without = least_squares(others, self._values)
        df = without.df - self._whole.df
        found = Effect(factors=pair, df=df, ties=ties, missing=missing)
        return self._measured(found, self._cleared(without.rss - self._whole.rss)) if df else found

    def _ties(self, fit: Fit, name: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the effects that cannot be told from one, None where it is clear."""
        own = set(self._places[name])
        tied = {place for tie in fit.ties if tie & own for place in tie}
        if not tied:
            return None
        touched = [other for other, places in self._places.items() if tied & set(places)]
        # Beside interactions a main effect is tied to those alone: the others only take part.
        is_beside = len(name) == 1 and fit is self._whole
        before = [_BLOCK, *self._mains] if is_beside else []
        return tuple(
            SEED if other == _BLOCK else ":".join(other)
            for other in touched
            if other not in ((), name, *before)
        )

    def _estimated(self, effect: Effect, fit: Fit) -> Effect:
        places = list(self._places[effect.factors])
        found = self._measured(effect, self._cleared(fit.explained(places)))
        self._parts[effect.factors] = self._over_the_grid(effect, fit)
        if all(len(self._table.levels[name]) == 2 for name in effect.factors):
            value = 2 * fit.coefficients[places[0]]
            half = self._half(4 * fit.covariance(places[0], places[0]))
            low, high = self._around(value, half)
            return replace(found, value=value * self._unit, ci_low=low, ci_high=high)
        return (
            replace(found, levels=self._levels(effect, fit)) if len(effect.factors) == 1 else found
        )

    def _levels(self, effect: Effect, fit: Fit) -> tuple[LevelEffect, ...]:
        *firsts, last = self._table.levels[effect.factors[0]]
        places = list(self._places[effect.factors])
        named = [
            (level, fit.coefficients[place], fit.covariance(place, place))
            for level, place in zip(firsts, places, strict=True)
        ]
        rest = -math.fsum(fit.coefficients[place] for place in places)
        spread = math.fsum(fit.covariance(i, j) for i in places for j in places)
        return tuple(
            LevelEffect(
                level=level,
                deviation=deviation * self._unit,
                ci_low=(ends := self._around(deviation, self._half(variance)))[0],
                ci_high=ends[1],
            )
            for level, deviation, variance in (*named, (last, rest, spread))
        )

    def _half(self, variance: float) -> float | None:
        if self._square is None:
            return None
        t = t_quantile((1 + CONFIDENCE) / 2, self._noise.df)
        return t * math.sqrt(variance * self._square)

    def _around(self, centre: float, half: float | None) -> tuple[float, float] | tuple[None, None]:
        if half is None:
            return None, None
        low, high = (centre - half) * self._unit, (centre + half) * self._unit
        return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)

    def _measured(self, effect: Effect, explained: float) -> Effect:
        return self._tested(effect, explained, self._square, self._noise.df)

    def _tested(
        self, effect: Effect, explained: float, square: float | None, noise_df: int
    ) -> Effect:
        """Return an effect with its F and p; its part of the variance is that of these runs."""
        if effect.df <= 0:
            return effect
        runs = len(self._values)
        self._parts[effect.factors] = Part(variance=explained / runs, df=effect.df, runs=runs)
        if square is None:
            return effect
        mean_square = explained / effect.df
        f = mean_square / square if square > 0 else math.inf if mean_square > 0 else 0.0
        return replace(effect, f=f, p=f_tail(f, effect.df, noise_df))

    def _over_the_grid(self, effect: Effect, fit: Fit) -> Part:
        """Return an effect's part of the variance where each combination weighs the same."""
        places = list(self._places[effect.factors])
        spread = [[fit.covariance(i, j) for j in places] for i in places]
        variances: list[float] = []
        uncertain: list[float] = []
        for codes in self._table.codes(effect.factors):
            value = math.fsum(c * fit.coefficients[p] for c, p in zip(codes, places, strict=True))
            variances.append(value * value)
            uncertain += [
                a * b * covariance
                for a, row in zip(codes, spread, strict=True)
                for b, covariance in zip(codes, row, strict=True)
            ]
        count = len(variances)
        return Part(
            variance=self._cleared(math.fsum(variances) / count * len(self._values))
            / len(self._values),
            df=effect.df,
            runs=effect.df * count / math.fsum(uncertain),
        )

    def _block_variance(self) -> float | None:
        """Return the variance of the blocks' effects, None where they cannot be told."""
        if not self._table.blocks or self._ties(self._narrow, _BLOCK) is not None:
            return None
        effects = [self._whole.coefficients[place] for place in self._places[_BLOCK]]
        effects.append(-math.fsum(effects))  # they sum to zero
        return math.fsum(effect**2 for effect in effects) / len(effects)
