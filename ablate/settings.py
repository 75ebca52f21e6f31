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

PROJECT_FILE = "ablate.toml"
_KEYS = (
    "db",
    "mlflow",
    "mlflow_uri",
    "mlflow_max_keys",
    "mlflow_max_points",
    "system_metrics_s",
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

    @property
    def data_dir(self) -> Path:
        """What belongs to the project and not into Git: database, runs, mirror."""
        return self.project / ".ablate"

    @property
    def runs_dir(self) -> Path:
        """What holds a folder for each run that was trained on this machine."""
        return self.data_dir / "runs"

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
    project = find_project(Path.cwd())
    file = _read_project_file(project / PROJECT_FILE)
    chosen = db or os.environ.get("ABLATE_DB") or file.get("db")
    if mlflow is None:
        mlflow = _as_bool(os.environ.get("ABLATE_MLFLOW"), file.get("mlflow", True))
    return Settings(
        project=project,
        db_url=_as_url(chosen, project),
        mlflow=mlflow,
        mlflow_uri=_as_uri(os.environ.get("ABLATE_MLFLOW_URI") or file.get("mlflow_uri")),
        mlflow_max_keys=int(_number(file, "mlflow_max_keys", 50, at_least=1)),
        mlflow_max_points=int(_number(file, "mlflow_max_points", 2000, at_least=10)),
        system_metrics_s=_number(file, "system_metrics_s", 10.0, at_least=0),
    )


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


def _read_project_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    for key in values:
        if key not in _KEYS:
            raise UsageError(f"{path}: unknown key '{key}'", hint=did_you_mean(key, _KEYS))
    return values


def _as_bool(text: str | None, default: bool) -> bool:
    return default if text is None else text.strip().lower() not in ("", "0", "false", "no", "off")


def _number(file: Mapping[str, Any], key: str, default: float, *, at_least: float) -> float:
    """Return a number from the environment's ``ABLATE_<KEY>``, else from the file."""
    name = f"ABLATE_{key.upper()}"
    text: Any = os.environ.get(name) or file.get(key, default)
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not at_least <= value < math.inf:
        raise UsageError(
            f"{name if name in os.environ else key} = {text}: not a number >= {at_least}"
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
    return f"sqlite:///{(project / chosen).resolve()}"
