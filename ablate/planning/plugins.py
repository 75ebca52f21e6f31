"""Parts that other packages may add by entry points: designs, executors, importers, trainers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ablate.errors import AblateError, NotFoundError, did_you_mean


@dataclass(frozen=True, slots=True)
class Plugin:
    """One part."""

    name: str
    target: str
    """``module:name``."""
    origin: str
    """The distribution that brings it."""


@dataclass(frozen=True, slots=True)
class PluginGroup:
    """All parts of one kind: our own and those of installed packages, loaded when asked for."""

    group: str
    """Of entry points: ``ablate.executors``."""
    what: str
    """What one of them is called in a message: ``executor``."""
    own: Mapping[str, str]
    """Name -> ``module:name`` of those that come with this package."""

    def names(self) -> tuple[str, ...]:
        """Return every name, our own first."""
        return tuple(dict.fromkeys((*self.own, *(entry.name for entry in self._others()))))

    def plugins(self) -> Sequence[Plugin]:
        """Return all parts with where they come from."""
        own = [Plugin(name, target, "ablate-studies") for name, target in self.own.items()]
        others = [
            Plugin(entry.name, entry.value, entry.dist.name if entry.dist else "unknown")
            for entry in self._others()
        ]
        return [*own, *others]

    def load(self, name: str) -> Any:
        """Return a part by its name.

        Raises:
            NotFoundError: If there is none of that name, with the closest.
            AblateError: If its package cannot be imported.
        """
        targets = {plugin.name: plugin for plugin in reversed(self.plugins())}
        if name not in targets:
            hint = did_you_mean(name, targets)
            raise NotFoundError(f"there is no {self.what} '{name}'", hint=hint)
        module, _, attribute = targets[name].target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:
            raise AblateError(
                f"the {self.what} '{name}' of {targets[name].origin} cannot be imported: {error}"
            ) from error

    def _others(self) -> list[EntryPoint]:
        return [entry for entry in entry_points(group=self.group) if entry.name not in self.own]
