"""What a worker process needs to know, as one JSON file in the attempt's folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.domain import BranchPoint, Checkpoint
from ablate.errors import StoreUnavailableError
from ablate.keys import steps_of
from ablate.provenance import Code
from ablate.rules import Condition, Demand, Gate, Guard, MetricRule, Target
from ablate.spool.folders import AttemptFolder, RunFolder


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
    def folder(self) -> AttemptFolder:
        """The attempt's own."""
        return RunFolder(self.run_dir).attempt(self.attempt)

    def write(self) -> Path:
        """Make the attempt's folder and write the job into it.

        Raises:
            StoreUnavailableError: If that cannot be done.
        """
        path = self.folder.job
        text = json.dumps(asdict(self), default=os.fspath, indent=1)
        try:
            self.folder.path.mkdir(parents=True, exist_ok=True)
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
