"""From what a study file calls its trainer to the trainer's description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.errors import AblateError, NotFoundError, TrainerError
from ablate.planning.plugins import PluginGroup
from ablate.planning.study_file.dotted import DottedSettings
from ablate.planning.study_file.spec import StudySpec
from ablate.planning.trainers.declared import ConfigSchema, read_declarations
from ablate.planning.trainers.source import Sources
from ablate.protocol import Trainer

TRAINERS = PluginGroup("ablate.trainers", "trainer", {})
"""The bundled one is registered by an entry point as all others are; see ADR 0004."""


@dataclass(frozen=True, slots=True)
class UserTrainer:
    """A user's ``module:function``, as its module describes itself."""

    train: str
    version: str = "undeclared"
    preload: tuple[str, ...] = ()
    """What its modules import from others."""
    not_identity: frozenset[str] = frozenset()
    metrics: tuple[str, ...] = ()
    """Not known: it logs what it likes."""
    absent_means: Mapping[str, Any] = field(default_factory=dict[str, Any])
    schema: ConfigSchema | None = None
    """The keys of its config; None where it declares none and takes whatever it is given."""
    code_version: str | None = None
    """What its module declares in place of digests of its code."""

    def resolve(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the overrides with dotted keys nested, and the defaults that are declared.

        Raises:
            ConfigError: For a key or a value that the declared keys do not allow.
        """
        values = self.schema.filled(overrides) if self.schema else overrides
        return DottedSettings().apply(values).nested()


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
    try:
        return TRAINERS.load(name)
    except NotFoundError as error:
        hint = error.hint or "write module:function for a trainer of your own"
        raise NotFoundError(error.message, hint=hint) from error
    except AblateError as error:
        raise TrainerError(error.message) from error


def trainer_of(spec: StudySpec, project: Path) -> Trainer:
    """Return the description of a study's trainer.

    With ``code: identity`` its code is its version: what the module declares as ``VERSION``, else
    a digest of the modules of the user's that are found from its source.

    Args:
        spec: The study.
        project: First on the import path for a user's module.

    Raises:
        NotFoundError: As `load_trainer`.
        TrainerError: As `load_trainer`.
    """
    trainer = load_trainer(spec.trainer, project)
    if spec.code is None or not isinstance(trainer, UserTrainer):
        return trainer
    if trainer.code_version is not None:
        return replace(trainer, version=f"VERSION {trainer.code_version}")
    digest = Sources(project).digest(spec.trainer.partition(":")[0])
    return replace(trainer, version=f"code {digest}")


def _user_trainer(name: str, project: Path) -> UserTrainer:
    module_name, _, function = name.partition(":")
    sources = Sources(project)
    module = sources.module(module_name)
    declared = read_declarations(sources, module, function)
    return UserTrainer(
        train=name,
        preload=sources.libraries(module_name),
        not_identity=declared.not_identity,
        absent_means=declared.absent_means,
        schema=declared.schema,
        code_version=declared.version,
    )
