"""Files that trainers keep with their runs: where they lie, and which of them a reader wants.

A file is known by its name, a relative path with forward slashes. Each attempt has a folder of its
own; of a name that several attempts have kept, the last one counts. Trainers put what one can hear
and see under ``samples/step-000000700/``.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ablate.files import is_unfinished, replacing
from ablate.spool.folders import RunFolder

_SAMPLE = re.compile(r"samples/step-(\d+)/.+")
_MAX_NAME = 500


@dataclass(frozen=True, slots=True)
class Artifact:
    """A kept file."""

    name: str
    path: Path
    attempt: int
    """Which one kept it."""


def keep(folder: Path, source: Path, name: str) -> None:
    """Copy a file into a folder of artifacts; a reader sees it whole or not at all.

    Args:
        folder: The attempt's.
        source: What to copy.
        name: Relative path with forward slashes.

    Raises:
        ValueError: If the name is no such path, or leads out of the folder.
        OSError: If it cannot be copied.
    """
    target = folder / _checked(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as aside:
        shutil.copyfile(source, aside)


def artifacts_of(run_dir: Path) -> tuple[Artifact, ...]:
    """Return what a run's attempts have kept, by name; none where there is nothing."""
    found: dict[str, Artifact] = {}
    for attempt in RunFolder(run_dir).attempts:
        for path in attempt.artifacts.rglob("*"):
            if path.is_file() and not is_unfinished(path.name):
                name = path.relative_to(attempt.artifacts).as_posix()
                found[name] = Artifact(name, path, attempt.number)
    return tuple(found[name] for name in sorted(found))


def newest_samples(artifacts: tuple[Artifact, ...]) -> tuple[int, tuple[Artifact, ...]] | None:
    """Return the last step of which there are samples, and those; None where there are none."""
    by_step: dict[int, list[Artifact]] = {}
    for artifact in artifacts:
        if match := _SAMPLE.fullmatch(artifact.name):
            by_step.setdefault(int(match[1]), []).append(artifact)
    if not by_step:
        return None
    step = max(by_step)
    return step, tuple(by_step[step])


def _checked(name: str) -> str:
    parts = name.split("/")
    is_path = all(part not in ("", ".", "..") and part.isprintable() for part in parts)
    if not is_path or "\\" in name or len(name) > _MAX_NAME or is_unfinished(parts[-1]):
        raise ValueError(
            f"artifact name {name!a}: write a relative path with forward slashes that stays in its "
            f"folder, of at most {_MAX_NAME} printable characters, as samples/step-000000700/a.wav"
        )
    return name
