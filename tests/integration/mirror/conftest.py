"""A real MLflow server behind a proxy that misbehaves, and a store to copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.mirrors import process
from ablate.settings import Settings
from ablate.store import open_store
from ablate.store.base import Store
from ablate.testing.factories import (
    make_plan,
    make_variant,
)
from ablate.testing.tracking_server import FaultyProxy
from tests.support.mirrored import KEYS, MAX_POINTS, REQUEST_S


@pytest.fixture
def proxy(server: tuple[int, Path]) -> Iterator[FaultyProxy]:
    made = FaultyProxy(server[0])
    made.up()
    yield made
    made.down()


@pytest.fixture
def settings(tmp_path: Path, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(REQUEST_S))
    monkeypatch.setattr(process, "_RETRIES_S", (0.1, 0.1))
    return Settings(
        project=tmp_path,
        db_url=f"sqlite:///{tmp_path}/ablate.db",
        mlflow=True,
        mlflow_uri=proxy.url,
        mlflow_max_points=MAX_POINTS,
    )


@pytest.fixture
def store(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Store]:
    made = open_store(settings.db_url)
    yield made
    made.close()


@pytest.fixture
def study(store: Store, request: pytest.FixtureRequest) -> str:
    """Return the name of a study of two phases with two seeds, every run in the queue."""
    name = request.node.name[:60]
    spec = {"study": name, "metrics": {KEYS[0]: "min"}, "targets": {KEYS[2]: ">= 0.5"}}
    variants = [
        make_variant(v, config={"steps": 1000, "study": name, "v": v}, is_baseline=v == "calm")
        for v in ("calm", "wild")
    ]
    store.apply_plan(make_plan(name, variants, spec=spec))
    return name
