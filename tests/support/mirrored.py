"""What is trained, what is then in MLflow, and what should be there."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.app.mirroring import summariser
from ablate.domain import AttemptState, Claim
from ablate.mirrors.names import accepted
from ablate.render.comparison.text import render
from ablate.spool.batch import Ending, StepValues
from ablate.store.base import Store
from ablate.testing.factories import (
    feed,
    make_checkpoint,
    must_claim,
)
from tests.support.patience import slowness

summarise = summariser(lambda comparison: render(comparison, "md"))
"""As `ablate mlflow sync` does it."""
MAX_POINTS = 100
REQUEST_S = math.ceil(slowness())
"""What a request may take: a second, or more where MLflow itself needs it."""
KEYS = ("train/loss/l1", "train/loss/<odd>", "train/audio/rms")


def values_of(step: int, seed: int) -> dict[str, float]:
    """Return what is logged at a step: one key at each, one seldom, one odd in every way."""
    values = {KEYS[0]: math.exp(-step / 500)}
    if step % 20 == 0:
        values[KEYS[2]] = 0.1 + seed / 100 + step / 1000  # equal seeds would count once
    if step % 7 == 0:
        values[KEYS[1]] = {0: math.nan, 7: math.inf, 14: -0.0}.get(step % 21, 1.0)
    return values


def logs_of(first: int, last: int, seed: int = 0) -> tuple[StepValues, ...]:
    return tuple(
        StepValues(step, 1.7e9 + step, tuple(found), tuple(found.values()))
        for step in range(first, last + 1)
        if (found := values_of(step, seed))
    )


def train(store: Store, claim: Claim, first: int, last: int) -> None:
    """Log steps; the last is a checkpoint."""
    made = logs_of(first, last, claim.run.seed)
    content: dict[str, Any] = {"start": None if first == 0 else first - 1}
    feed(store, claim, logs=made, checkpoints=(make_checkpoint(last),), **content)


def train_all(store: Store) -> None:
    """Train every run to its end: one diverges, one is resumed."""
    for number in range(4):
        claim = must_claim(store)
        if number == 1:
            train(store, claim, 0, 400)
            store.finish(claim, Ending(state=AttemptState.LOST))
            claim = must_claim(store)
            train(store, claim, 401, 1000)
        else:
            train(store, claim, 0, 1000 if number else 700)
        states = AttemptState.SUCCEEDED, AttemptState.DIVERGED
        store.finish(claim, Ending(state=states[number == 0]))


Content = dict[str, list[tuple[str, int, float | str, int]]]
"""Run's name -> (key, step, value, time in ms), sorted; NaN as a word."""


def in_mlflow(database: Path, study: str, tag: str = "ablate.run") -> Content:
    """Return what is in MLflow's tables of runs that are not deleted; every doubled row counts."""
    query = """
        SELECT runs.name, runs.run_uuid, metrics.key, step, metrics.value, is_nan, timestamp
        FROM runs JOIN experiments USING (experiment_id)
        JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = ?
        LEFT JOIN metrics ON metrics.run_uuid = runs.run_uuid
        WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'
    """
    found: Content = defaultdict(list)
    ids: dict[str, str] = {}
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        for name, id_, key, step, value, is_nan, time_ms in connection.execute(
            query, (tag, f"ablate/{study}")
        ):
            assert ids.setdefault(name, id_) == id_, f"{name} is there twice"
            if key is not None:
                found[name].append((key, step, "nan" if is_nan else value, time_ms))
    return {name: sorted(points) for name, points in found.items()}


def in_sql(
    store: Store, study: str, *, keys: Sequence[str] = KEYS, max_points: int = MAX_POINTS
) -> Content:
    """Return what should be in MLflow, by the rule of the documents, from SQL."""
    found: Content = {}
    for run in store.runs(study):
        stride = math.ceil(1000 / (max_points - 1))
        points: list[tuple[str, int, float | str, int]] = []
        for curve in store.curves([run.id], keys):
            rows = list(zip(curve.steps, curve.values, curve.times, strict=True))
            kept = [row for row in rows if not math.isinf(row[1])]
            if len(rows) > max_points:
                kept = list({math.ceil(row[0] / stride): row for row in kept}.values())
            points += [
                (accepted(curve.key), s, "nan" if math.isnan(v) else v, round(t * 1000))
                for s, v, t in kept
            ]
        found[run.label] = sorted(points)
    return found
