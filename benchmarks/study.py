"""A database as a real study leaves it: phases of which some stay at silence, 20 metrics a step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from ablate.domain import AttemptState
from ablate.spool.batch import Ending, SpoolBatch, StepValues
from ablate.store import open_store
from ablate.testing.factories import make_plan, must_claim

STUDY = "scale-fix"
SEEDS = (0, 1, 2)
PHASES = ("phase1", "phase2a", "phase2b")
"""The first trains well; the others collapse, as two of three of the phases after them do."""
SPEC = {
    "study": STUDY,
    "metrics": {
        f"train/loss/{name}": {"goal": "min", "rule": "mean_last_10%"} for name in ("stft", "l1")
    },
    "targets": {
        "train/audio/rms": "0.075 +-20%",
        "train/rvq/perplexity_q0": ">= 8",
        "train/norm/out_proj_weight": "drift < 10%",
    },
}
LEVEL = 0.075
"""Root mean square of what is to be rendered."""
LOSSES = {
    "stft": (1.21, 1.0),
    "l1": (0.038, 10.0),
    "rms_frame": (0.056, 0.1),
    "rms_band": (0.03, 0.05),
}
"""Name -> its value for silence, its weight."""
BLOCK = 1000
Column: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"


def fill(url: str, n_runs: int, steps: int) -> None:
    """Make the study's database."""
    store = open_store(url)
    names = (*PHASES, *(f"v{number}" for number in range(n_runs // len(SEEDS) - len(PHASES))))
    store.apply_plan(make_plan(STUDY, names, SEEDS, spec=SPEC))
    for number in range(n_runs):
        claim = must_claim(store)
        is_collapsed = names.index(claim.run.variant) % len(PHASES) != 0
        metrics = columns(steps, is_collapsed, np.random.default_rng(number))
        for batch in batches(metrics):
            store.ingest(claim, batch)
        store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
    store.close()


def columns(steps: int, is_collapsed: bool, random: np.random.Generator) -> dict[str, Column]:
    """Return each metric of a run over its steps.

    A loss is its value for silence times the distance of what is rendered from the target, both
    measured in the target's level: 1 for silence, whatever is rendered without likeness is worse.
    """
    step = np.arange(steps)
    start = 3 * LEVEL * np.exp(-step / 600) + 0.05 * LEVEL if is_collapsed else LEVEL + 0.0 * step
    level = start * noise(random, steps, 0.05)
    share, likeness = level / LEVEL, 0.0 if is_collapsed else 0.8
    distance = np.sqrt(1 + share**2 - 2 * likeness * np.minimum(share, 1))
    found: dict[str, Column] = {
        "audio/rms": level,
        "audio/target_rms": LEVEL * noise(random, steps, 0.02),
        "norm/out_proj_weight": 0.083 - 1e-5 * step * is_collapsed,
        "norm/out_proj_bias": 0.01 - 1e-7 * step,
        "force/stft": random.standard_normal(steps),
        "force/l1": random.standard_normal(steps),
        "rvq/perplexity_q0": (6 + 4 * np.exp(-step / 500) if is_collapsed else 30.0)
        * noise(random, steps, 0.03),
    }
    for name, (silent, weight) in LOSSES.items():
        found[f"silent/{name}"] = silent * noise(random, steps, 0.02)
        found[f"loss/{name}"] = found[f"silent/{name}"] * distance
        found[f"weighted/{name}"] = weight * found[f"loss/{name}"]
    found["loss/total"] = np.sum([found[f"weighted/{name}"] for name in LOSSES], axis=0)
    return {f"train/{name}": column for name, column in found.items()}


def noise(random: np.random.Generator, steps: int, size: float) -> Column:
    """Return factors around 1."""
    return np.exp(size * random.standard_normal(steps))


def batches(metrics: Mapping[str, Column]) -> list[SpoolBatch]:
    """Return a run's metrics as a reader of spools does."""
    keys, rows = tuple(metrics), np.column_stack(list(metrics.values())).tolist()
    began = time.time() - len(rows)
    logs = [StepValues(step, began + step, keys, tuple(row)) for step, row in enumerate(rows)]
    return [
        SpoolBatch(
            start_offset=start,
            end_offset=start + BLOCK,
            logs=tuple(logs[start : start + BLOCK]),
            has_started=start == 0,
        )
        for start in range(0, len(logs), BLOCK)
    ]
