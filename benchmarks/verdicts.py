"""How often a whole study in which nothing differs calls some variant better or worse.

Each study has a baseline and variants whose metrics are all noise, correlated between the metrics
of a run as losses are. It is compared as `ablate compare` does, and its verdicts are read. A study
errs if any variant is better, worse, or passes or fails for a difference.
"""

from __future__ import annotations

import argparse
import math
import random
from multiprocessing import Pool

from common import Row, arguments, report

from ablate.analysis.comparison import compare
from ablate.analysis.curves.study_data import StudyData
from ablate.analysis.judging.verdicts import Verdict
from ablate.domain import Run, RunState, Variant
from ablate.rules import DeclaredMetric, MetricRule
from ablate.store.curves import Curve

CORRELATION = 0.7
"""Between two metrics of a run."""
LAST = MetricRule.parse("last")


def study(rng: random.Random, variants: int, seeds: int, metrics: int, primary: int) -> StudyData:
    """Return a study in which nothing differs; its noise differs between variants up to tenfold."""
    names = ["base", *(f"v{i}" for i in range(1, variants + 1))]
    keys = [f"valid/score/m{i}" for i in range(metrics)]
    runs: list[Run] = []
    curves: dict[tuple[str, str], Curve] = {}
    for name in names:
        size = 10 ** rng.random()
        for seed in range(seeds):
            run = _run(name, seed)
            runs.append(run)
            common = rng.gauss(0, 1)
            for key in keys:
                own = rng.gauss(0, 1)
                noise = math.sqrt(CORRELATION) * common + math.sqrt(1 - CORRELATION) * own
                values = (0.0, size * noise)
                curves[run.id, key] = Curve(run_id=run.id, key=key, steps=(0, 100), values=values)
    return StudyData(
        study="null",
        question="",
        baseline="base",
        variants=tuple(_variant(name) for name in names),
        metrics={
            key: DeclaredMetric(key, "min", LAST, is_primary=place < primary)
            for place, key in enumerate(keys)
        },
        runs=tuple(runs),
        curves=curves,
    )


def _variant(name: str) -> Variant:
    return Variant(
        name=name,
        identity=name,
        config={"name": name},
        factors={},
        is_phase=True,
        is_baseline=name == "base",
    )


def _run(variant: str, seed: int) -> Run:
    return Run(
        id=f"{variant}-{seed}",
        study="null",
        variant=variant,
        seed=seed,
        identity=variant,
        config={"name": variant},
        trainer="simulated",
        state=RunState.SUCCEEDED,
        attempts=1,
        step=100,
        checkpoint_step=None,
        reason=None,
        wall_s=1.0,
    )


def rates(variants: int, seeds: int, metrics: int, primary: int, studies: int) -> Row:
    """Return in how many studies, in per cent, some variant is called other than the baseline."""
    rng = random.Random(f"{variants} {seeds} {metrics} {primary}")
    wrong, by_hint = 0, 0
    for _ in range(studies):
        comparison = compare(study(rng, variants, seeds, metrics, primary))
        verdicts = {row.verdict for row in comparison.rows}
        wrong += bool(verdicts & {Verdict.PASSED, Verdict.DEGRADING, Verdict.FAILED})
        by_hint += any(
            contrast.verdict in ("better", "worse")
            for row in comparison.rows
            for summary in row.values.values()
            for contrast in summary.contrasts
        )
    return {
        "K": variants,
        "n": seeds,
        "metrics": metrics,
        "primary": primary,
        "studies with a wrong verdict": 100 * wrong / studies,
        "with a wrong hint": 100 * by_hint / studies,
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    asked = arguments(parser)
    cells = [
        (variants, seeds, metrics, primary, asked.studies)
        for variants in (3, 7)
        for seeds in (2, 3, 5)
        for metrics in (5, 10)
        for primary in (1, 2)
    ]
    with Pool() as pool:
        rows = pool.starmap(rates, cells, chunksize=1)
    report("Verdicts of whole studies without any difference, per cent", rows, asked.json)


if __name__ == "__main__":
    main()
