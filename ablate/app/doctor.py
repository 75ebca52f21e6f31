"""What `ablate doctor` looks at. Reads only."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from ablate.errors import AblateError
from ablate.execution.devices import cores, parse_devices
from ablate.execution.executors.registry import EXECUTORS
from ablate.importers.sources import IMPORTERS
from ablate.planning.designs import DESIGNS
from ablate.planning.plugins import Plugin, PluginGroup
from ablate.planning.trainers.registry import TRAINERS
from ablate.settings import Settings
from ablate.store.upkeep.migrate import check

_OPTIONAL = {
    "torch": "train",
    "soundfile": "train",
    "mlflow": "mlflow",
    "plotly": "report",
    "pyarrow": "parquet",
    "psycopg": "postgres",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_good: bool
    detail: str


def examine(settings: Settings) -> list[Finding]:
    """Return what is installed and reachable, the essential first."""
    gpus = parse_devices("auto").gpus
    found = [
        Finding("python", True, f"{platform.python_version()} at {sys.executable}"),
        Finding("processors", True, f"{cores()} cores, {len(gpus)} GPUs"),
        Finding("project", settings.project.is_dir(), str(settings.project)),
        _database(settings),
    ]
    for group in (TRAINERS, DESIGNS, EXECUTORS, IMPORTERS):
        found += _parts(group)
    return found + [_package(name, extra) for name, extra in _OPTIONAL.items()]


def _parts(group: PluginGroup) -> list[Finding]:
    """Return our own parts of a kind in one line, and one for each of another package."""
    own = [Finding(f"{group.what}s", True, ", ".join(group.own))] if group.own else []
    others = [plugin for plugin in group.plugins() if plugin.name not in group.own]
    return [*own, *(_part(group, plugin) for plugin in others)]


def _part(group: PluginGroup, plugin: Plugin) -> Finding:
    try:
        group.load(plugin.name)
    except AblateError as error:
        return Finding(f"{group.what} {plugin.name}", False, error.message)
    return Finding(f"{group.what} {plugin.name}", True, f"{plugin.target} of {plugin.origin}")


def _database(settings: Settings) -> Finding:
    try:
        status = check(settings.db_url)
    except AblateError as error:
        return Finding("database", False, f"{error.message}; {error.hint or ''}".rstrip("; "))
    return Finding("database", status.is_good, f"{status.url}: schema {status.revision}")


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, f"pip install 'ablate-studies[{extra}]'")
