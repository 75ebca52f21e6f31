"""What a test of differences between variants gets wrong, and what it finds, in simulated studies.

Each study has a baseline and K variants with n seeds each. Noise differs between variants as each
scenario says. In "null" no variant differs; in "half" the first half of them does, by 8, 4 or 2
standard deviations of the contrast at 2, 3 or 5 seeds. An error is any variant that is resolved
although it does not differ; coverage is that of the 95 % interval of one contrast; power is the
share of the variants that differ and are resolved. Holm's correction over the variants throughout.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Pool

import numpy as np
from common import Row, arguments, report
from scipy import stats

from ablate.analysis.statistics.family import holm
from ablate.analysis.statistics.lending import differences

EFFECTS = {2: 8.0, 3: 4.0, 5: 2.0}
"""Seeds -> the size of a true difference."""
Arms = Mapping[str, Mapping[int, float]]
Result = tuple[float | None, float, float]
"""p, and the ends of the interval."""


@dataclass(frozen=True)
class Scenario:
    """How noise differs between variants; the baseline is the first."""

    sizes: Callable[[random.Random, int], list[float]]
    """Standard deviation of each."""
    draw: Callable[[random.Random], float] = lambda rng: rng.gauss(0, 1)
    """A value with variance 1."""
    correlation: float = 0.0
    """Between variants at one seed."""


def one_of(rng: random.Random, n: int, factor: float) -> list[float]:
    """Return equal noise but for one variant."""
    sizes = [1.0] * n
    sizes[rng.randrange(n)] = factor
    return sizes


def collapsed(rng: random.Random, n: int) -> list[float]:
    """Return noise of which half has all but gone."""
    sizes = [1.0] * (n - n // 2) + [0.001] * (n // 2)
    rng.shuffle(sizes)
    return sizes


def t3(rng: random.Random) -> float:
    """Return a value of Student's t with 3 degrees of freedom, scaled to variance 1."""
    return rng.gauss(0, 1) / math.sqrt(rng.gammavariate(1.5, 2) / 3) / math.sqrt(3)


def lognormal(rng: random.Random) -> float:
    """Return a skewed value with mean 0 and variance 1."""
    spread = math.sqrt((math.e - 1) * math.e)
    return (rng.lognormvariate(0, 1) - math.exp(0.5)) / spread


SCENARIOS = {
    "equal noise": Scenario(lambda _, n: [1.0] * n),
    "log sd ~ N(0, 1)": Scenario(lambda rng, n: [math.exp(rng.gauss(0, 1)) for _ in range(n)]),
    "log sd ~ N(0, 2)": Scenario(lambda rng, n: [math.exp(rng.gauss(0, 2)) for _ in range(n)]),
    "sd x1 to x100": Scenario(lambda rng, n: [100 ** rng.random() for _ in range(n)]),
    "half collapsed": Scenario(collapsed),
    "one random variant x10": Scenario(lambda rng, n: one_of(rng, n, 10.0)),
    "t3": Scenario(lambda _, n: [1.0] * n, t3),
    "lognormal": Scenario(lambda _, n: [1.0] * n, lognormal),
    "seed correlation 0.5": Scenario(lambda _, n: [1.0] * n, correlation=0.5),
    "seed correlation 0.9": Scenario(lambda _, n: [1.0] * n, correlation=0.9),
    # In the next two it is known beforehand which variant is noisy: no exchangeable studies.
    "baseline x10": Scenario(lambda _, n: [10.0] + [1.0] * (n - 1)),
    "baseline x0.1": Scenario(lambda _, n: [0.1] + [1.0] * (n - 1)),
}


def study(
    rng: random.Random, scenario: Scenario, variants: int, seeds: int, is_null: bool
) -> tuple[Arms, dict[str, float]]:
    """Return a study, and variant -> its true difference."""
    sizes = scenario.sizes(rng, variants + 1)
    shared = [scenario.draw(rng) for _ in range(seeds)]
    keep, own = math.sqrt(scenario.correlation), math.sqrt(1 - scenario.correlation)
    truth = {
        f"v{i}": 0.0
        if is_null or i > variants // 2
        else EFFECTS[seeds] * own * math.sqrt((sizes[i] ** 2 + sizes[0] ** 2) / 2)
        for i in range(1, variants + 1)
    }
    return {
        name: {
            seed: truth.get(name, 0.0) + sizes[i] * (keep * shared[seed] + own * scenario.draw(rng))
            for seed in range(seeds)
        }
        for i, name in enumerate(("base", *truth))
    }, truth


def lent(arms: Arms) -> list[Result]:
    """Return what the product says."""
    pairs = [(name, "base") for name in arms if name != "base"]
    found: list[Result] = []
    for each in differences(arms, pairs):
        half, difference = each.half() or 0.0, each.difference or 0.0
        found.append((each.p, difference - half, difference + half))
    return found


def paired(arms: Arms) -> list[Result]:
    """Return the t-test of differences that are paired by seed."""
    found: list[Result] = []
    for name in arms:
        if name != "base":
            pairs = np.array([arms[name][seed] - arms["base"][seed] for seed in arms["base"]])
            error = pairs.std(ddof=1) / math.sqrt(len(pairs))
            found.append(_by_t(pairs.mean(), error, len(pairs) - 1))
    return found


def pooled(arms: Arms) -> list[Result]:
    """Return the analysis of variance with seeds as blocks and one noise for all variants."""
    table = np.array([list(arm.values()) for arm in arms.values()])
    rest = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + table.mean()
    rows, columns = table.shape
    df = (rows - 1) * (columns - 1)
    error = math.sqrt((rest**2).sum() / df * 2 / columns)
    return [_by_t(row.mean() - table[0].mean(), error, df) for row in table[1:]]


def adastop(arms: Arms) -> list[Result]:
    """Return what AdaStop decides in one look at permutations; it gives no intervals."""
    from adastop import MultipleAgentsComparator

    names = list(arms)
    pairs = np.array([(0, place) for place in range(1, len(names))])
    size = len(arms["base"])
    judge = MultipleAgentsComparator(n=size, K=1, B=10_000, comparisons=pairs, alpha=0.05, seed=0)
    with contextlib.redirect_stdout(None):
        judge.partial_compare({name: np.array(list(arm.values())) for name, arm in arms.items()})
    decided = [judge.decisions[str(pair)] for pair in pairs]
    return [(1.0 if found == "equal" else 0.0, -math.inf, math.inf) for found in decided]


def _by_t(difference: float, error: float, df: float) -> Result:
    half = float(stats.t.ppf(0.975, df)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, df))
    return p, difference - half, difference + half


METHODS: Mapping[str, Callable[[Arms], list[Result]]] = {
    "lent noise": lent,
    "paired t": paired,
    "pooled ANOVA": pooled,
    "AdaStop": adastop,
}
BESIDE = "AdaStop"
"""Not installed with the others: ``pip install adastop==0.1.3``; for five seeds, since permutations
of fewer runs decide nothing at 5 %."""


def rates(method: str, scenario: str, variants: int, seeds: int, studies: int) -> Row:
    """Return error rates, coverage and power in per cent."""
    rng = random.Random(f"{scenario} {variants} {seeds}")
    wrong = {True: 0, False: 0}
    covered, found, there = 0, 0, 0
    for is_null in (True, False):
        for _ in range(studies):
            arms, truth = study(rng, SCENARIOS[scenario], variants, seeds, is_null)
            results = METHODS[method](arms)
            corrected = holm([p for p, _, _ in results])
            resolved = [p is not None and p < 0.05 for p in corrected]
            true = list(truth.values())
            wrong[is_null] += any(r for r, t in zip(resolved, true, strict=True) if not t)
            covered += sum(
                low <= t <= high for (_, low, high), t in zip(results, true, strict=True)
            )
            if not is_null:
                found += sum(r for r, t in zip(resolved, true, strict=True) if t)
                there += sum(map(bool, true))
    total = 2 * studies * variants
    return {
        "scenario": scenario,
        "K": variants,
        "n": seeds,
        "method": method,
        "error, null": 100 * wrong[True] / studies,
        "error, half": 100 * wrong[False] / studies,
        "coverage": 100 * covered / total,
        "power": 100 * found / there,
    }


def main() -> None:
    """Print a table, the product beside others on the same studies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000, help="of each kind")
    parser.add_argument("--variants", type=int, nargs="+", default=[3, 7, 13])
    parser.add_argument("--seeds", type=int, nargs="+", choices=EFFECTS, default=list(EFFECTS))
    usual = [method for method in METHODS if method != BESIDE]
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=usual)
    asked = arguments(parser)
    cells: Sequence[tuple[str, str, int, int, int]] = [
        (method, scenario, variants, seeds, asked.studies)
        for scenario in SCENARIOS
        for variants in asked.variants
        for seeds in asked.seeds
        for method in asked.methods
    ]
    with Pool() as pool:
        rows = pool.starmap(rates, cells, chunksize=1)
    report("Differences in simulated studies, per cent", rows, asked.json)


if __name__ == "__main__":
    main()
