"""The mirror's process: beside `ablate run`, never in its way. Imports no MLflow itself."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ablate.errors import UsageError
from ablate.settings import Settings
from ablate.store.base import Store

if TYPE_CHECKING:
    from ablate.mirrors.mlflow import Copied

_EVERY_S = 5.0


def mirror_dir(settings: Settings) -> Path:
    """Return where MLflow's database and artifacts are."""
    return settings.data_dir / "mlflow"


def tracking_uri(settings: Settings) -> str:
    """Return the URI for MLflow's own clients."""
    return f"sqlite:///{mirror_dir(settings) / 'mlflow.db'}"


@contextmanager
def mirroring(settings: Settings, *, is_wanted: bool) -> Generator[None]:
    """Copy to MLflow in a process of its own while the block runs.

    The process ends by itself, after a last copy, when this one leaves the block or dies: its
    standard input closes. Nobody waits for it.
    """
    if not is_wanted or importlib.util.find_spec("mlflow") is None:
        yield
        return
    folder = mirror_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "mirror.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [
                *(sys.executable, "-P", "-m", "ablate.cli"),
                *("--db", settings.db_url, "mlflow", "sync", "--follow"),
            ],
            cwd=settings.project,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.returncode = 0  # it goes on alone; Popen must not warn about it


def sync(store: Store, settings: Settings, *, rebuild: bool = False) -> Copied:
    """Copy what is new, or everything; two syncs at once take turns.

    Raises:
        UsageError: If MLflow is not installed.
    """
    mirror = _mirror(settings)
    with _turn(settings):
        return mirror.sync(store, rebuild=rebuild)


def follow(store: Store, settings: Settings) -> None:
    """Copy every few seconds until standard input closes, then once more."""
    import select

    mirror = _mirror(settings)
    is_open = True
    while is_open:
        ready, _, _ = select.select([sys.stdin], [], [], _EVERY_S)
        is_open = not ready or bool(os.read(sys.stdin.fileno(), 1))
        try:
            with _turn(settings):
                mirror.sync(store)
        except Exception as error:
            # The copy is behind, no more: SQL has it all, and the next round tries again.
            print(f"mirror: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def serve_ui(settings: Settings, port: int) -> NoReturn:
    """Become MLflow's server for the mirror, on the loopback address alone.

    Raises:
        UsageError: If MLflow is not installed.
    """
    _require_mlflow()
    arguments = [
        *(sys.executable, "-P", "-m", "mlflow", "server"),
        *("--backend-store-uri", tracking_uri(settings)),
        *("--artifacts-destination", str(mirror_dir(settings) / "artifacts")),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
    ]
    # Its job queues would be a dozen processes that a copy of metrics has no use for.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    os.chdir(mirror_dir(settings))
    os.execve(sys.executable, arguments, environment)  # noqa: S606 - our interpreter, no shell


def _mirror(settings: Settings):  # noqa: ANN202 - its type would import MLflow
    _require_mlflow()
    from ablate.mirrors.mlflow import MlflowMirror

    mirror_dir(settings).mkdir(parents=True, exist_ok=True)
    return MlflowMirror(tracking_uri(settings), mirror_dir(settings) / "artifacts")


def _require_mlflow() -> None:
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError("MLflow is not installed", hint="pip install 'ablate-studies[mlflow]'")


@contextmanager
def _turn(settings: Settings) -> Generator[None]:
    with (mirror_dir(settings) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
