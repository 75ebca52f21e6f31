"""Trackers behind one small interface: `ablate`, two bounds, and peers.

Each has a ``name``; ``needs``, the modules without which it is left out; ``open(folder, run_name,
keys)``; ``log(step, metrics)``; ``close()``, after which everything is durable; and
``count(folder)``, the points that a fresh process can read. Each imports its package when it is
opened, so that a process measures one of them alone, and has the sampling of hardware and of the
console switched off.
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

from ablate.attempt.context import RunContext
from ablate.attempt.job import Job
from ablate.attempt.runners import this_runner
from ablate.domain import AttemptState, Claim, Run
from ablate.execution.devices import Devices
from ablate.execution.executors.base import Binding, Exited, Preparation
from ablate.execution.progress import ProgressMeter, RunProgress
from ablate.execution.scheduler import Scheduler
from ablate.execution.scheduling import SchedulerOptions
from ablate.execution.slots import MachineSlots
from ablate.spool.batch import Ending
from ablate.spool.spool import SpoolWriter
from ablate.store import open_store
from ablate.store.base import ClaimFilter
from ablate.testing.factories import make_plan


class RawWrite:
    """The bound of what survives SIGKILL: a packed step with its checksum in one ``write``."""

    name = "raw_write"
    needs: ClassVar[tuple[str, ...]] = ()
    _SUM = struct.Struct("<I")

    def open(self, folder: str, run_name: str, keys: Sequence[str]) -> None:
        self._pack = struct.Struct(f"<qd{len(keys)}d").pack
        self._file = os.open(Path(folder, "steps"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        Path(folder, "keys").write_text(str(len(keys)))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        data = self._pack(step, time.time(), *metrics.values())
        os.write(self._file, self._SUM.pack(crc32(data)) + data)

    def close(self) -> None:
        os.fsync(self._file)

    @staticmethod
    def count(folder: str) -> int:
        n_keys = int(Path(folder, "keys").read_text())
        data, size = Path(folder, "steps").read_bytes(), 20 + 8 * n_keys
        frames = (data[at : at + size] for at in range(0, len(data), size))
        good = sum(crc32(frame[4:]) == int.from_bytes(frame[:4], "little") for frame in frames)
        return good * n_keys


class Nothing:
    """The floor: a call that keeps nothing. With pauses it shows what waking up costs."""

    name = "nothing"
    needs: ClassVar[tuple[str, ...]] = ()

    def open(self, folder: str, run_name: str, keys: Sequence[str]) -> None:
        pass

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._last = step, metrics

    def close(self) -> None:
        pass

    @staticmethod
    def count(folder: str) -> int:
        return 0


class Ablate:
    """The product: this process trains; a runner beside it stores what it logs in SQL."""

    name = "ablate"
    needs: ClassVar[tuple[str, ...]] = ()

    def open(self, folder: str, run_name: str, keys: Sequence[str]) -> None:
        self._runner = subprocess.Popen(
            [sys.executable, __file__, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        job = Job.read(Path(self._hear()))
        self._spool = SpoolWriter(job.folder.spool, attempt_id=job.attempt_id)
        self._run = RunContext(job, self._spool, on_step=lambda: None)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(metrics, step)

    def close(self) -> None:
        self._spool.ended(Ending(state=AttemptState.SUCCEEDED))
        self._spool.close()
        assert self._runner.stdin is not None
        self._runner.stdin.close()
        if self._hear() != "stored":
            raise RuntimeError("the runner did not store the run")

    def _hear(self) -> str:
        assert self._runner.stdout is not None
        return self._runner.stdout.readline().decode().strip()

    @staticmethod
    def count(folder: str) -> int:
        """Take over what a dead runner left, as the next `ablate run` does; count the rows."""
        _serve(Path(folder), may_claim=False)
        import sqlite3

        connection = sqlite3.connect(Path(folder, "ablate.db"))
        return connection.execute("SELECT count(*) FROM run_metrics").fetchone()[0]


class _Attached:
    """An executor whose only attempt is the process at the other end of the pipe."""

    def __init__(self) -> None:
        self.slots = MachineSlots(1, Devices(()))
        self._attempt_id = 0

    def open(self, preparation: Preparation) -> None:
        pass

    def start(self, job: Job, on_step: Callable[[], None]) -> None:
        self._attempt_id = job.attempt_id
        print(job.folder.job, flush=True)

    def poll(self, timeout_s: float) -> list[Exited]:
        ready, _, _ = select.select([sys.stdin], [], [], timeout_s)
        return [Exited(self._attempt_id, 0)] if ready else []

    def stop(self, attempt_id: int, *, now: bool) -> None:
        raise NotImplementedError("nobody stops a benchmark")

    def dump(self, attempt_id: int) -> None:
        raise NotImplementedError("nothing hangs in a benchmark")

    def close(self) -> None:
        pass


class _Silent:
    def started(self, run: Run, attempt: int) -> None: ...
    def progressed(self, active: Sequence[RunProgress]) -> None: ...
    def ended(self, run: Run, ending: Ending) -> None: ...
    def noted(self, text: str) -> None: ...


def _serve(folder: Path, *, may_claim: bool) -> None:
    """Be `ablate run` for one run, or only take over what another left."""
    store = open_store(f"sqlite:///{folder}/ablate.db")
    if may_claim:
        store.apply_plan(make_plan(variants=["run"], seeds=(0,)))

    def run_dir(run_id: str) -> Path:
        return folder / "runs" / run_id

    def make_job(claim: Claim, binding: Binding) -> Job:
        return Job(
            attempt_id=claim.attempt_id,
            attempt=claim.attempt,
            label=claim.run.label,
            run_dir=run_dir(claim.run.id),
            project=None,
            train="",
            config={},
            seed=0,
            device="cpu",
            gpus=(),
            threads=1,
            guards=(),
            gates=(),
            step_limit=None,
            resume_from=(),
        )

    Scheduler(
        store,
        _Attached(),
        runner=this_runner(),
        make_job=make_job,
        run_dir=run_dir,
        make_meter=lambda claim, _: ProgressMeter(claim.run, metric=None, limit=None),
        options=SchedulerOptions(wanted=ClaimFilter(), max_failures=None if may_claim else 0),
        observer=_Silent(),
    ).run()
    store.close()


class Trackio:
    """Trackio, local: a thread that posts to a SQLite database."""

    name = "trackio"
    needs = ("trackio",)

    def open(self, folder: str, run_name: str, keys: Sequence[str]) -> None:
        os.environ["TRACKIO_DIR"] = folder
        import trackio

        options = {"auto_log_cpu": False, "auto_log_gpu": False, "embed": False}
        self._run = trackio.init("benchmark", name=run_name, **options)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()

    @staticmethod
    def count(folder: str) -> int:
        os.environ["TRACKIO_DIR"] = folder
        from trackio.sqlite_storage import SQLiteStorage

        logs = (SQLiteStorage.get_logs("benchmark", r) for r in SQLiteStorage.get_runs("benchmark"))
        return sum(type(value) is float for log in logs for row in log for value in row.values())


class WandbOffline:
    """Weights & Biases, offline: a service of its own that writes one log file."""

    name = "wandb_offline"
    needs = ("wandb",)

    def open(self, folder: str, run_name: str, keys: Sequence[str]) -> None:
        import wandb

        settings = wandb.Settings(x_disable_stats=True, disable_git=True, console="off")
        self._run = wandb.init(
            project="benchmark", name=run_name, dir=folder, mode="offline", settings=settings
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step, commit=True)

    def close(self) -> None:
        self._run.finish()

    @staticmethod
    def count(folder: str) -> int:
        """Read the files as `ablate import wandb` does."""
        from ablate.importers.base import ImportRequest
        from ablate.importers.formats.wandb import read
        from ablate.importers.names import KeyMap

        reading = read(ImportRequest(source=f"{folder}/wandb", names=KeyMap()))
        return sum(run.points.counts.kept for run in reading.runs)


class TensorBoard:
    """TensorBoard by torch's writer: an event file, flushed every two minutes."""

    name = "tensorboard"
    needs = ("torch", "tensorboard")

    def open(self, folder: str, run_name: str, keys: Sequence[str]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(Path(folder, run_name))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for key, value in metrics.items():
            self._writer.add_scalar(key, value, step)

    def close(self) -> None:
        self._writer.close()

    @staticmethod
    def count(folder: str) -> int:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        runs = (EventAccumulator(str(run), {"scalars": 0}) for run in Path(folder).iterdir())
        read = [run.Reload() for run in runs]
        return sum(len(run.Scalars(tag)) for run in read for tag in run.Tags()["scalars"])


class Mlflow:
    """MLflow's client on SQLite, one batch a step, waiting for it."""

    name = "mlflow"
    needs = ("mlflow",)
    synchronous: ClassVar[bool] = True

    def open(self, folder: str, run_name: str, keys: Sequence[str]) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        self._metric = Metric
        self._client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        experiment = self._client.create_experiment("benchmark")
        self._run = self._client.create_run(experiment, run_name=run_name).info.run_id
        self._sent: list[Any] = []

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        now = round(time.time() * 1000)
        batch = [self._metric(key, value, now, step) for key, value in metrics.items()]
        sent = self._client.log_batch(self._run, batch, synchronous=self.synchronous)
        if sent is not None:
            self._sent.append(sent)

    def close(self) -> None:
        for sent in self._sent:
            sent.wait()
        self._client.set_terminated(self._run)

    @staticmethod
    def count(folder: str) -> int:
        import sqlite3

        connection = sqlite3.connect(Path(folder, "mlflow.db"))
        return connection.execute("SELECT count(*) FROM metrics").fetchone()[0]


class MlflowAsync(Mlflow):
    """The same without waiting: a queue in memory behind threads."""

    name = "mlflow_async"
    synchronous = False


def _trackers() -> Iterator[tuple[str, Any]]:
    for made in (
        *(RawWrite, Nothing, Ablate, Trackio, WandbOffline),
        *(TensorBoard, Mlflow, MlflowAsync),
    ):
        yield made.name, made


TRACKERS: dict[str, Any] = dict(_trackers())


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), may_claim=True)
    print("stored", flush=True)
    os._exit(0)
