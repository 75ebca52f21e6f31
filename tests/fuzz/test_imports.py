"""Logs of other tools with damage: read, or refused with one clear error; nothing half stored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ablate.app.imports.importing import ImportOptions, apply_import, plan_import
from ablate.settings import load_settings
from ablate.store import open_store
from tests.support.damage import outcome
from tests.support.damaged_logs import KINDS, made
from tests.support.thorough import few_or_many

_EACH = few_or_many(20, 900)
_STORED_EVERY = 40
"""Storing is slower than reading; most faults lie in reading."""


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_logs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    settings = load_settings()
    good = 0
    for seed in range(_EACH):
        source = tmp_path / "logs"
        for name, content in made(kind, tmp_path, seed).items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        options = ImportOptions(sources=[str(source)], study=f"s{seed}")

        def bring(options: ImportOptions = options, seed: int = seed) -> None:
            planned = plan_import(settings, options)
            if seed % _STORED_EVERY == 0:
                apply_import(settings, planned)

        if outcome(f"{kind} with damage {seed}", bring) is None:
            good += 1
        shutil.rmtree(source)
    assert good, "damage everywhere: the good files are not good"
    assert {path.name for path in tmp_path.iterdir()} <= {"project", "made.wandb"}
    assert {path.name for path in project.iterdir()} <= {".ablate"}
    if (project / ".ablate").exists():
        store = open_store(settings.db_url, read_only=True)
        try:
            for study in store.studies():
                assert all(run.attempts for run in store.runs(study.name))
        finally:
            store.close()
