"""Hugging Face's Trainer: ``trainer_state.json`` with its ``log_history``.

The Trainer writes the file into each checkpoint's folder, and at its end beside them. The one that
came furthest holds what the others do.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ablate import keys
from ablate.domain import AttemptState
from ablate.errors import UsageError
from ablate.importers.base import (
    Importer,
    ImportRequest,
    Reading,
    SourceRun,
    ending,
    file_digest,
    plain_config,
)
from ablate.importers.points import Points
from ablate.importers.reading.rows import number_of, read_each, whole_step
from ablate.planning.study_file.bounded import plain_json

FILE = "trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-\d+")
_CONFIG = ("max_steps", "num_train_epochs", "train_batch_size", "logging_steps", "eval_steps")
"""What the file says of the training itself."""
_TOTALS = frozenset(
    {"train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second"}
)
"""Names that begin with a split and are of the whole run."""


def read(request: ImportRequest) -> Reading:
    """Return a run for each folder with states, or with checkpoints that have them.

    Raises:
        UsageError: If a file is no such state.
    """
    by_run: dict[Path, list[Path]] = {}
    for path in request.files:
        folder = path.parent
        is_checkpoint = _CHECKPOINT.fullmatch(folder.name) and request.root.is_dir()
        by_run.setdefault(folder.parent if is_checkpoint else folder, []).append(path)

    def one(request: ImportRequest, folder: Path) -> Reading:
        return Reading(runs=[_run(request, folder, by_run[folder])])

    return read_each(replace(request, files=sorted(by_run)), one)


def _run(request: ImportRequest, folder: Path, files: list[Path]) -> SourceRun:
    state, path = max(((_state(f), f) for f in files), key=lambda pair: _reach(pair[0]))
    points = Points(time=path.stat().st_mtime)
    for row in state["log_history"]:
        _take(row, points)
    points.settle()
    last, aim = _step(state), whole_step(state.get("max_steps"))
    how = ending(points, request.now)
    if aim is not None and 0 < last < aim:
        how = AttemptState.STOPPED, f"its newest state is of step {last} of {aim}"
    named = path if request.root.is_file() else folder
    return SourceRun(
        source=f"huggingface:{request.relative(named)}",
        points=points,
        config=plain_config({key: state[key] for key in _CONFIG if key in state}),
        state=how[0],
        reason=how[1],
        place=request.place(folder),
        folder=folder,
        files={request.relative(path): file_digest(path)},
    )


def _state(path: Path) -> dict[str, Any]:
    try:
        state = plain_json(path.read_bytes())
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):  # pyright: ignore[reportUnknownMemberType]
        raise UsageError(f"{path} has no log_history", hint=f"the Trainer's {FILE} has one")
    return cast("dict[str, Any]", state)


def _step(state: dict[str, Any]) -> int:
    step = whole_step(state.get("global_step"))
    return -1 if step is None else step


def _reach(state: dict[str, Any]) -> tuple[int, int]:
    """Return how far it came; at its end the Trainer adds a row to what the last checkpoint has."""
    return _step(state), len(state["log_history"])


def _take(row: Any, points: Points) -> None:
    """Take what was logged at one step; names without a split are of training."""
    fields = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    step = whole_step(fields.get("step"))
    for name, value in fields.items():
        if name == "step":
            continue
        number = number_of(value) if isinstance(value, int | float) else None
        if number is None or isinstance(value, bool):
            points.counts.skip("not a number")
        elif step is None:
            points.counts.skip("without a step that is a whole number")
        else:
            points.add(_name(name), step, number)


def _name(name: str) -> str:
    if name in _TOTALS or name == "total_flos":
        return f"{keys.TRAIN}/total/{name.removeprefix('train_').removeprefix('total_')}"
    return name if name.startswith(("eval_", "test_", "train_")) else f"train_{name}"


IMPORTER = Importer(read, FILE, lambda path: path.name == FILE)
