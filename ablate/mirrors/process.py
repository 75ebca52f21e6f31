"""The mirror's process: beside `ablate run`, never in its way. Imports no MLflow itself."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ablate.addresses import masked
from ablate.attempt.artifacts import artifacts_of
from ablate.errors import MirrorDeniedError, MirrorError, UsageError
from ablate.mirrors.copied_files import CopiedFiles
from ablate.mirrors.parked import ParkedItems
from ablate.mirrors.records import Copied, Limits, StudySummary
from ablate.settings import Settings
from ablate.store.base import Store

if TYPE_CHECKING:
    from ablate.mirrors.mlflow import MlflowMirror

_EVERY_S = 5.0
_SELDOM_S = 60.0
"""In an outage the follower's rounds come as far apart as this."""
_RETRIES_S = (1, 2, 4, 8)
"""How long a sync that was asked for waits after each failure without any progress."""

Summarise = Callable[[Store, str], StudySummary | None]
"""From a study's name to what its comparison says."""


def mirror_dir(settings: Settings) -> Path:
    """Return where the mirror's log is, and MLflow's database and artifacts if they are ours."""
    return settings.data_dir / "mlflow"


def tracking_uri(settings: Settings) -> str:
    """Return the URI for MLflow's own clients."""
    return settings.mlflow_uri or f"sqlite:///{mirror_dir(settings) / 'mlflow.db'}"


def shown_uri(settings: Settings) -> str:
    """Return the URI without a password."""
    return masked(tracking_uri(settings))


def mirror_name(settings: Settings) -> str:
    """Return what stands before a study's name in the store's cursors: one for each server."""
    return "mlflow" if settings.mlflow_uri is None else f"mlflow:{shown_uri(settings)}"


def parked_path(settings: Settings) -> Path:
    """Return the file of what this server has refused."""
    return mirror_dir(settings) / f"parked-{_digest(settings)}.json"


def _digest(settings: Settings) -> str:
    return hashlib.sha256(mirror_name(settings).encode()).hexdigest()[:8]


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
                *("mlflow", "sync", "--follow"),
            ],
            # Not as an argument: those can be read by everybody, and a URL may have a password.
            env={**os.environ, "ABLATE_DB": settings.db_url},
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


def sync(
    store: Store, settings: Settings, summarise: Summarise, *, rebuild: bool = False
) -> Copied:
    """Copy what is new, or everything; two syncs at once take turns.

    Raises:
        MirrorError: If MLflow cannot be reached, or does not let us in, after some retries.
        UsageError: If MLflow is not installed.
    """
    mirror = _mirror(store, settings, summarise)
    copied = Copied()
    with _turn(settings):
        _insist(mirror, store, copied, is_asked=True, rebuild=rebuild)
    return copied


def follow(store: Store, settings: Settings, summarise: Summarise) -> None:
    """Copy every few seconds until standard input closes, then once more."""
    import select

    os.nice(10)  # trainers come first
    mirror = _mirror(store, settings, summarise)
    failures = 0
    said = ""
    is_open = True
    while is_open:
        wait_s = min(_EVERY_S * 2**failures, _SELDOM_S)
        ready, _, _ = select.select([sys.stdin], [], [], wait_s)
        is_open = not ready or bool(os.read(sys.stdin.fileno(), 1))
        try:
            with _turn(settings):
                if is_open:
                    mirror.sync(store, Copied(), is_asked=False)
                else:
                    _insist(mirror, store, Copied(), is_asked=False)
        except Exception as error:
            # The copy is behind, no more: SQL has it all, and the next round tries again.
            text = f"{error}; {error.hint}" if isinstance(error, MirrorError) else repr(error)
            if text != said:
                print(f"{time.strftime('%F %T')} {text}", file=sys.stderr, flush=True)
            failures, said = min(failures + 1, 10), text
        else:
            failures, said = 0, ""


def _insist(
    mirror: MlflowMirror, store: Store, copied: Copied, *, is_asked: bool, rebuild: bool = False
) -> None:
    """Sync, and try again after a failure, longer each time, as long as there is hope."""
    waits = list(_RETRIES_S)
    while True:
        before = copied.points, copied.files
        try:
            mirror.sync(store, copied, is_asked=is_asked, rebuild=rebuild)
        except MirrorError as error:
            rebuild = False  # it has begun: what was copied since needs no second copy
            if (copied.points, copied.files) > before:
                waits = list(_RETRIES_S)
            if not waits or isinstance(error, MirrorDeniedError):
                raise
            time.sleep(waits.pop(0))
        else:
            return


def require_local(settings: Settings) -> None:
    """Raise `UsageError` if the mirror is on a server, which serves its UI itself."""
    if settings.mlflow_uri is not None:
        raise UsageError(
            f"the mirror is on {shown_uri(settings)}, not on this machine",
            hint="open that address in a browser, or unset mlflow_uri and ABLATE_MLFLOW_URI",
        )


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


def _mirror(store: Store, settings: Settings, summarise: Summarise) -> MlflowMirror:
    _require_mlflow()
    from ablate.mirrors.mlflow import MlflowMirror, make_database

    mirror_dir(settings).mkdir(parents=True, exist_ok=True)
    if settings.mlflow_uri is None:
        with _turn(settings):
            make_database(mirror_dir(settings) / "mlflow.db")
    return MlflowMirror(
        tracking_uri(settings),
        name=mirror_name(settings),
        artifacts=None if settings.mlflow_uri else mirror_dir(settings) / "artifacts",
        limits=Limits(max_keys=settings.mlflow_max_keys, max_points=settings.mlflow_max_points),
        parked=ParkedItems(parked_path(settings)),
        kept_by=lambda run_id: artifacts_of(settings.run_dir(run_id)),
        copied_files=CopiedFiles(mirror_dir(settings) / f"files-{_digest(settings)}"),
        summarise=lambda study: summarise(store, study),
    )


def _require_mlflow() -> None:
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError("MLflow is not installed", hint="pip install 'ablate-studies[mlflow]'")


@contextmanager
def _turn(settings: Settings) -> Generator[None]:
    with (mirror_dir(settings) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
