"""From what a study file calls its trainer to the trainer's description."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ablate.errors import NotFoundError, TrainerError, did_you_mean
from ablate.protocol import Trainer

GROUP = "ablate.trainers"


@dataclass(frozen=True, slots=True)
class UserTrainer:
    """A user's ``module:function``: any config is taken as it is given."""

    train: str
    version: str = "undeclared"
    preload: tuple[str, ...] = ()
    not_identity: frozenset[str] = frozenset()
    absent_means: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def resolve(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the overrides with dotted keys nested."""
        nested: dict[str, Any] = {}
        for key, value in overrides.items():
            *parents, leaf = key.split(".")
            node = nested
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = value
        return nested


def registered_trainers() -> dict[str, EntryPoint]:
    """Return name -> entry point of the trainers that installed packages offer."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load_trainer(name: str, project: Path) -> Trainer:
    """Return the description of a registered trainer, or of a user's ``module:function``.

    Args:
        name: As the study file says it.
        project: First on the import path for a user's module.

    Raises:
        NotFoundError: If no trainer or module of that name exists.
        TrainerError: If a registered trainer cannot be imported.
    """
    if ":" in name:
        return _user_trainer(name, project)
    known = registered_trainers()
    if name not in known:
        hint = did_you_mean(name, known) or "write module:function for a trainer of your own"
        raise NotFoundError(f"there is no trainer '{name}'", hint=hint)
    try:
        return known[name].load()
    except Exception as error:
        raise TrainerError(f"the trainer '{name}' cannot be imported: {error}") from error


def _user_trainer(name: str, project: Path) -> UserTrainer:
    module = name.partition(":")[0]
    add_project(project)
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise NotFoundError(
            f"there is no module '{module}' for the trainer '{name}'",
            hint=f"it is looked for in {project} first",
        )
    return UserTrainer(train=name)


def add_project(project: Path) -> None:
    """Put the project's folder first on the import path, once."""
    if str(project) not in sys.path:
        sys.path.insert(0, str(project))
