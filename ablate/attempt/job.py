"""What a worker process needs to know, as one JSON file in the attempt's folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from ablate.domain import BranchPoint, Checkpoint
from ablate.errors import StoreUnavailableError
from ablate.keys import steps_of
from ablate.provenance import Code
from ablate.rules import Condition, Demand, Gate, Guard, MetricRule, Target


def attempt_path(run_dir: Path, attempt: int) -> Path:
    """Return the folder of an attempt; attempts never share one."""
    return run_dir / f"attempt-{attempt}"


def spool_path(run_dir: Path, attempt: int) -> Path:
    """Return where an attempt's points are safe before they are in SQL."""
    return attempt_path(run_dir, attempt) / "spool"


def log_path(run_dir: Path, attempt: int) -> Path:
    """Return what the trainer prints into."""
    return attempt_path(run_dir, attempt) / "log.txt"


def process_path(run_dir: Path, attempt: int) -> Path:
    """Return where an attempt's process says who it is; see `ablate.attempt.runners`."""
    return attempt_path(run_dir, attempt) / "process"


def databases_of(run_dir: Path) -> frozenset[str | None]:
    """Return the databases for which a run's folder says that it was trained; see `Job`."""
    jobs = run_dir.glob("attempt-*/job.json")
    return frozenset(json.loads(j.read_text(encoding="utf-8")).get("database") for j in jobs)


def files_path(run_dir: Path) -> Path:
    """Return the folder that belongs to the run's trainer; its attempts share it."""
    return run_dir / "files"


def set_files_aside(run_dir: Path) -> None:
    """Give a run that starts over an empty folder of its own; the old one stays beside it."""
    old = files_path(run_dir)
    if old.is_dir():
        number = next(n for n in count(1) if not old.with_name(f"files.{n}").exists())
        old.rename(old.with_name(f"files.{number}"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One attempt, ready to be executed anywhere that sees the run's folder."""

    attempt_id: int
    attempt: int
    label: str
    run_dir: Path
    project: Path | None
    """First on the import path of a user's trainer; None for a registered one, whose imports a
    folder of the user's must not shadow."""
    train: str
    """``module:function``."""
    config: dict[str, Any]
    seed: int
    device: str
    """``cpu`` or ``cuda``."""
    gpus: tuple[int, ...]
    """The GPUs that train this run together; empty on the CPU."""
    threads: int
    guards: tuple[Guard, ...]
    gates: tuple[Gate, ...]
    step_limit: int | None
    """Pause at this step, None to train to the end."""
    resume_from: tuple[Checkpoint, ...]
    """Newest first."""
    branch_from: BranchPoint | None = None
    """Where the run begins when it has no checkpoint of its own."""
    branch_dir: Path | None = None
    """The folder of the run that made it."""
    checkpoint_steps: tuple[int, ...] = ()
    """Where other runs branch off, ascending."""
    code: Code = field(default_factory=Code)
    """What is known before anything is loaded: the commit."""
    code_version: str | None = None
    """What the user's module declares."""
    database: str | None = None
    """Which one the run is in, without a password; None where an earlier version wrote the job."""
    system_metrics_s: float = 0.0
    """Seconds between two measurements of the machine, 0 for none."""

    @property
    def end(self) -> int | None:
        """The run's last step, None where its config does not say."""
        return steps_of(self.config)

    @property
    def pause_at(self) -> int | None:
        """The step to pause at; a limit that is not before the run's end pauses nothing."""
        limit, end = self.step_limit, self.end
        return None if limit is None or (end is not None and limit >= end) else limit

    @property
    def attempt_dir(self) -> Path:
        """See `attempt_path`."""
        return attempt_path(self.run_dir, self.attempt)

    @property
    def spool(self) -> Path:
        """See `spool_path`."""
        return spool_path(self.run_dir, self.attempt)

    @property
    def log(self) -> Path:
        """See `log_path`."""
        return log_path(self.run_dir, self.attempt)

    @property
    def process(self) -> Path:
        """See `process_path`."""
        return process_path(self.run_dir, self.attempt)

    @property
    def permit(self) -> Path:
        """Where it stands until when the trainer may go on; see `ablate.attempt.permit`."""
        return self.attempt_dir / "permit"

    @property
    def files_dir(self) -> Path:
        """See `files_path`."""
        return files_path(self.run_dir)

    def write(self) -> Path:
        """Make the attempt's folder and write the job into it.

        Raises:
            StoreUnavailableError: If that cannot be done.
        """
        path = self.attempt_dir / "job.json"
        text = json.dumps(asdict(self), default=os.fspath, indent=1)
        try:
            self.attempt_dir.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StoreUnavailableError(
                f"{path} cannot be written: {error.strerror}",
                hint="check that its folder may be written and its disk has space",
            ) from error
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read a job back."""
        values = json.loads(path.read_text(encoding="utf-8"))
        job = cls(**values)
        return replace(
            job,
            run_dir=Path(values["run_dir"]),
            project=Path(values["project"]) if values["project"] else None,
            guards=tuple(_guard(**guard) for guard in values["guards"]),
            gates=tuple(_gate(**gate) for gate in values["gates"]),
            gpus=tuple(values["gpus"]),
            resume_from=tuple(Checkpoint(**c) for c in values["resume_from"]),
            branch_from=_branch_point(**values["branch_from"]) if values["branch_from"] else None,
            branch_dir=Path(values["branch_dir"]) if values["branch_dir"] else None,
            checkpoint_steps=tuple(values["checkpoint_steps"]),
            code=Code.from_json(values["code"]),
        )


def _branch_point(checkpoint: dict[str, Any], **fields: Any) -> BranchPoint:
    return BranchPoint(checkpoint=Checkpoint(**checkpoint), **fields)


def _guard(conditions: list[dict[str, Any]], **fields: Any) -> Guard:
    return Guard(conditions=tuple(Condition(**c) for c in conditions), **fields)


def _gate(demands: list[dict[str, Any]], **fields: Any) -> Gate:
    return Gate(
        demands=tuple(
            Demand(d["key"], Target(**d["target"]), MetricRule(**d["rule"])) for d in demands
        ),
        **fields,
    )
