"""Configs that lie beside logs: ``hparams.yaml``, ``args.json``, ``.hydra/config.yaml``.

One is believed where it lies in the folder of one run alone: in the folder of its logs, or above it
up to the first folder that holds another run too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ablate.domain import Json
from ablate.errors import NotFoundError, UsageError
from ablate.files import read_bounded
from ablate.importers.base import SourceRun, plain_config
from ablate.planning.configs import seed_of
from ablate.planning.study_file.bounded import MAX_BYTES, plain_json, plain_yaml

_STEMS = ("hparams", "config", "args", "params", "opt", "hyperparameters", "cfg", "options")
_SUFFIXES = (".yaml", ".yml", ".json")
_NAMES = (
    *(f"{stem}{suffix}" for stem in _STEMS for suffix in _SUFFIXES),
    ".hydra/config.yaml",
    "files/config.yaml",
)
_HEIGHT = 3
"""Folders that are looked into: that of the logs and those above it."""


def with_configs(runs: Sequence[SourceRun], typed: str | None) -> tuple[list[SourceRun], list[str]]:
    """Return the runs with the configs that lie beside them, and a line for each decision.

    Args:
        runs: Of all sources. One that has a config of its own keeps it, unless one is typed.
        typed: A path, or a name that is looked for beside the logs of each run.

    Raises:
        NotFoundError: If what was typed is nowhere.
        UsageError: If what was typed is no config.
    """
    if typed is not None and Path(typed).expanduser().is_file():
        config = _read(Path(typed).expanduser())
        return [_with(run, config) for run in runs], []
    crowd = Counter(above for run in runs if run.folder for above in _above(run.folder.absolute()))
    found: dict[str, list[str]] = {}
    notes: list[str] = []
    configured: list[SourceRun] = []
    for run in runs:
        path = None if run.config and typed is None else _beside(run, crowd, typed)
        try:
            configured.append(_with(run, _read(path)) if path else run)
        except (UsageError, NotFoundError) as error:  # it may vanish meanwhile
            if typed is not None:
                raise
            configured.append(run)
            notes.append(f"{error.message}: left out")
            continue
        if path:
            found.setdefault(path.name, []).append(run.place)
    if typed is not None and not found:
        raise NotFoundError(
            f"--config {typed}: there is no such file, nor one beside the logs of a run"
        )
    notes += [
        f"configs: {name} beside {len(places)} of {len(runs)} runs"
        for name, places in found.items()
    ]
    return configured, notes


def _above(folder: Path) -> Iterator[Path]:
    yield from (folder, *folder.parents)


def _beside(run: SourceRun, crowd: Mapping[Path, int], typed: str | None) -> Path | None:
    """Return the nearest config that is of this run alone."""
    if run.folder is None:
        return None
    names = _NAMES if typed is None else (typed,)
    for folder, _ in zip(_above(run.folder.absolute()), range(_HEIGHT), strict=False):
        if crowd[folder] > 1:
            return None
        if path := next((folder / name for name in names if (folder / name).is_file()), None):
            return path
    return None


def _with(run: SourceRun, config: Mapping[str, Json]) -> SourceRun:
    seed = seed_of(config) if run.said_seed is None else run.said_seed
    return replace(run, config={**run.config, **config}, said_seed=seed)


def _read(path: Path) -> dict[str, Json]:
    """Return a config of YAML or JSON; tags of Python objects are read as what they hold.

    Raises:
        UsageError: If it holds no mapping.
    """
    text = read_bounded(path, MAX_BYTES).decode("utf-8", "replace")
    try:
        content: Any = (
            plain_json(text) if path.suffix == ".json" else plain_yaml(text, takes_tags=True)
        )
    except ValueError as error:
        raise UsageError(f"{path} cannot be read as a config: {error}") from error
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} holds no config: no names with values")
    return plain_config(_unwrapped(cast("Mapping[str, Any]", content)))


def _unwrapped(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a config of W&B's files without their ``{value: ...}`` around each entry."""
    own = {k: v for k, v in config.items() if k not in ("wandb_version", "_wandb")}
    if len(own) < len(config) or all(isinstance(v, Mapping) and "value" in v for v in own.values()):
        return {
            k: v["value"] if isinstance(v, Mapping) and "value" in v else v for k, v in own.items()
        }
    return config
