"""Which artifacts are in a mirror, in files beside its log: of no worth without the mirror."""

from __future__ import annotations

import json
from pathlib import Path

from ablate.attempt.artifacts import Artifact
from ablate.files import replacing


class CopiedFiles:
    """What was copied of each run, by the id that it has in the mirror: copied anew it has another.

    Args:
        folder: Holds a JSON file for each run; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def missing(self, remote_id: str, artifacts: tuple[Artifact, ...]) -> list[Artifact]:
        """Return those that are not in the mirror, or have changed since they were copied."""
        known = self._read(remote_id)
        return [a for a in artifacts if known.get(a.name) != _mark(a.path)]

    def add(self, remote_id: str, artifact: Artifact) -> None:
        """Remember that a file is in the mirror."""
        known = self._read(remote_id) | {artifact.name: _mark(artifact.path)}
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._path(remote_id)) as aside:
            aside.write_text(json.dumps(known, indent=1), encoding="utf-8")

    def _read(self, remote_id: str) -> dict[str, str]:
        path = self._path(remote_id)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def _path(self, remote_id: str) -> Path:
        return self._folder / f"{remote_id}.json"


def _mark(path: Path) -> str:
    """Return what changes when a file is replaced by another; empty when it is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
