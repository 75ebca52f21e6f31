"""`ablate doctor` tells which parts are there and where they come from, other packages' too."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.app.doctor import examine
from ablate.execution.executors.base import ExecutorRequest
from ablate.execution.executors.registry import EXECUTORS, make_executor
from ablate.planning.designs import DESIGNS
from ablate.settings import load_settings

ENTRY_POINTS = """\
[ablate.designs]
pairs = other_parts:PAIRS

[ablate.executors]
cloud = other_parts:Cloud
broken = other_parts.missing:Thing
"""
MODULE = """\
class Cloud:
    def __init__(self, request):
        self.request = request


PAIRS = object()
"""


@pytest.fixture
def _other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package of somebody else's, as pip would leave it."""
    site = tmp_path / "site"
    info = site / "other_parts-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "other_parts.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_other_package")
def test_parts_of_other_packages_are_listed_with_their_origin_and_tried() -> None:
    found = {finding.what: finding for finding in examine(load_settings())}

    assert found["executors"].detail == ", ".join(EXECUTORS.own)
    assert found["designs"].detail == ", ".join(DESIGNS.own)
    assert found["trainer bundled"].detail == "trainer.spec:BUNDLED of ablate-studies"
    assert found["design pairs"].is_good
    assert found["design pairs"].detail == "other_parts:PAIRS of other-parts"
    assert not found["executor broken"].is_good
    assert "the executor 'broken' of other-parts cannot be imported" in (
        found["executor broken"].detail
    )


@pytest.mark.usefixtures("_other_package")
def test_an_executor_of_another_package_is_made_by_its_name() -> None:
    request = ExecutorRequest(workers=3)

    executor = make_executor("cloud", request)

    assert type(executor).__name__ == "Cloud"
    assert vars(executor) == {"request": request}
