"""Where the project is and how it is set up: flags over environment over ``ablate.toml``.

No other module reads the environment.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.errors import UsageError, did_you_mean

PROJECT_FILE = "ablate.toml"
_KEYS = ("db", "mlflow")


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

    @property
    def data_dir(self) -> Path:
        """What belongs to the project and not into Git: database, runs, mirror."""
        return self.project / ".ablate"

    def run_dir(self, run_id: str) -> Path:
        """Return the folder of a run: its attempts' spools, logs, checkpoints and artifacts."""
        return self.data_dir / "runs" / run_id


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
    return Settings(project=project, db_url=_as_url(chosen, project), mlflow=mlflow)


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


def _as_url(chosen: str | None, project: Path) -> str:
    if chosen is None:
        return f"sqlite:///{project / '.ablate' / 'ablate.db'}"
    if "://" in chosen:
        return chosen
    return f"sqlite:///{(project / chosen).resolve()}"
