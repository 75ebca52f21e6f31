"""Where the project is and how it is set up: flags over environment over ``ablate.toml``.

No other module reads the environment.
"""

from __future__ import annotations

import getpass
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.errors import UsageError, did_you_mean
from ablate.files import read_bounded

PROJECT_FILE = "ablate.toml"
_MAX_BYTES = 256 * 1024
_MOST = 1e9
"""Of any number in the settings; a larger one is a slip."""
_KEYS = (
    "db",
    "mlflow",
    "mlflow_uri",
    "mlflow_max_keys",
    "mlflow_max_points",
    "system_metrics_s",
    "lease_s",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Resolved once per command."""

    project: Path
    """The folder of ``ablate.toml``, else the one that holds ``.ablate/`` or ``studies/``, else
    the current one."""
    db_url: str
    """SQLAlchemy URL of the results database."""
    mlflow: bool
    """Whether ``ablate run`` copies metrics to MLflow while it runs."""
    mlflow_uri: str | None = None
    """MLflow's tracking server, None for a database of its own in `data_dir`."""
    mlflow_max_keys: int = 50
    """Metric keys of a run that are copied: MLflow's UI draws a card for each, and stalls with
    hundreds."""
    mlflow_max_points: int = 2000
    """Points of a key that are copied."""
    system_metrics_s: float = 10.0
    """Seconds between two measurements of what a run takes from its machine, 0 for none."""
    lease_s: float = 30.0
    """Seconds without a sign of life after which runners elsewhere take over this one's runs."""

    @property
    def data_dir(self) -> Path:
        """What belongs to the project and not into Git: database, runs, mirror."""
        return self.project / ".ablate"

    @property
    def runs_dir(self) -> Path:
        """What holds a folder for each run that was trained on this machine."""
        return self.data_dir / "runs"

    @property
    def imports_dir(self) -> Path:
        """What holds a folder for each run that was imported on this machine: its points."""
        return self.data_dir / "imports"

    def run_dir(self, run_id: str) -> Path:
        """Return the folder of a run: its attempts' spools, logs, checkpoints and artifacts."""
        return self.runs_dir / run_id


def load_settings(*, db: str | None = None, mlflow: bool | None = None) -> Settings:
    """Return the settings of the project around the current folder.

    Args:
        db: From ``--db``: a SQLAlchemy URL, or a path of a SQLite file.
        mlflow: From ``--mlflow/--no-mlflow``.

    Raises:
        UsageError: If ``ablate.toml`` cannot be read or has an unknown key.
    """
    project = find_project(_here())
    file = _read_project_file(project / PROJECT_FILE)
    chosen = db or os.environ.get("ABLATE_DB") or _text(file, "db")
    if mlflow is None:
        mlflow = _as_bool(os.environ.get("ABLATE_MLFLOW"), file.get("mlflow", True))
    return Settings(
        project=project,
        db_url=_as_url(chosen, project),
        mlflow=mlflow,
        mlflow_uri=_as_uri(os.environ.get("ABLATE_MLFLOW_URI") or _text(file, "mlflow_uri")),
        mlflow_max_keys=int(_number(file, "mlflow_max_keys", 50, at_least=1)),
        mlflow_max_points=int(_number(file, "mlflow_max_points", 2000, at_least=10)),
        system_metrics_s=_number(file, "system_metrics_s", 10.0, at_least=0),
        lease_s=_number(file, "lease_s", 30.0, at_least=1),
    )


def allows_network_fs() -> bool:
    """Whether the user insists on SQLite over a network file system."""
    return _as_bool(os.environ.get("ABLATE_ALLOW_NETWORK_FS"), default=False)


def user_name() -> str:
    """Return who types: the account's name, or its number where a container gives it none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # before and from Python 3.13
        return f"uid {os.getuid()}"


def find_project(start: Path) -> Path:
    """Return the project's folder for a command typed in ``start``."""
    folders = [start, *start.parents]
    for names in ((PROJECT_FILE,), (".ablate", "studies")):
        for folder in folders:
            if any((folder / name).exists() for name in names):
                return folder
    return start


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder is gone", hint="cd into the project again") from error


def _read_project_file(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        values = tomllib.loads(read_bounded(path, _MAX_BYTES).decode())
    except ValueError as error:  # of TOML, of UTF-8, of a number with thousands of digits
        raise UsageError(f"{path}: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is nested too deeply") from error
    for key in values:
        if key not in _KEYS:
            raise UsageError(f"{path}: unknown key '{key}'", hint=did_you_mean(key, _KEYS))
    return values


def _text(file: Mapping[str, Any], key: str) -> str | None:
    value = file.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{key} = {value}: no text", hint=f'write {key} = "..."')
    return value


def _as_bool(text: str | None, default: Any) -> bool:
    if text is not None:
        return text.strip().lower() not in ("", "0", "false", "no", "off")
    if not isinstance(default, bool):
        raise UsageError(f"mlflow = {default}: neither true nor false")
    return default


def _number(file: Mapping[str, Any], key: str, default: float, *, at_least: float) -> float:
    """Return a number from the environment's ``ABLATE_<KEY>``, else from the file."""
    name = f"ABLATE_{key.upper()}"
    text: Any = os.environ.get(name) or file.get(key, default)
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not at_least <= value <= _MOST or isinstance(text, bool):
        raise UsageError(
            f"{name if name in os.environ else key} = {text}: "
            f"not a number >= {at_least} and <= {_MOST:.0e}"
        )
    return value


def _as_uri(text: str | None) -> str | None:
    if text and "://" not in text:
        raise UsageError(
            f"mlflow_uri = {text}: not an address", hint="write http://host:5000 or sqlite:///file"
        )
    return text or None


def _as_url(chosen: str | None, project: Path) -> str:
    if chosen is None:
        return f"sqlite:///{project / '.ablate' / 'ablate.db'}"
    if "://" in chosen:
        return chosen
    return f"sqlite:///{os.path.realpath(project / chosen)}"
