"""Projects: one in an empty folder, one to disturb, one that was never disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.testing.tracking_server import tracking_server
from tests.support.projects import SLOW_STUDY, Project, make_project


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose runs were never disturbed."""
    made = make_project(tmp_path_factory.mktemp("calm"))
    made.ablate("study", "create", "toy")
    made.ablate("run", "toy", "--workers", "2")
    return made


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Yield the port of an MLflow server and its database; each test copies a study of its own."""
    folder = tmp_path_factory.mktemp("server")
    with tracking_server(folder) as port:
        yield port, folder / "mlflow.db"


@pytest.fixture
def slow(tmp_path: Path) -> Project:
    """Return a project with the slow study created."""
    made = make_project(tmp_path, SLOW_STUDY)
    made.ablate("study", "create", "toy")
    return made


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)
