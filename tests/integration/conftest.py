"""Projects: one in an empty folder, one to disturb, one that was never disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.projects import SLOW_STUDY, Project, make_project


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose runs were never disturbed."""
    made = make_project(tmp_path_factory.mktemp("calm"))
    made.ablate("study", "create", "toy")
    made.ablate("run", "toy", "--workers", "2")
    return made


@pytest.fixture
def slow(tmp_path: Path) -> Project:
    """Return a project with the slow study created."""
    made = make_project(tmp_path, SLOW_STUDY)
    made.ablate("study", "create", "toy")
    return made


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)
