"""``ablate inspect``: what is in a checkpoint."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ablate.cli import completion
from ablate.cli.shared import FORMAT, check_format, opened, settings_of, show
from ablate.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from ablate.inspection.checkpoint import Snapshot

_WHERE = "RUN, RUN@STEP or a FILE."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(inspect)


def inspect(
    context: typer.Context,
    where: str = typer.Argument(
        help=f"Of which checkpoint: {_WHERE}", autocompletion=completion.runs
    ),
    against: str | None = typer.Option(
        None, "--against", help=f"Compare with it: {_WHERE}", autocompletion=completion.runs
    ),
    tensor: list[str] = typer.Option(
        [], "--tensor", help="A part of a name, or a pattern (repeatable)."
    ),
    form: str = FORMAT,
) -> None:
    """Show every tensor of a checkpoint, or how two checkpoints differ; no code in it is run."""
    from ablate.inspection.checkpoint import differences, rows_of
    from ablate.render.inspection import differences_table, rows_table, snapshot_object
    from ablate.render.listing import FORMATS

    check_format(form, FORMATS)
    here = _read(context, where)
    if against is None:
        rows = [row for row in rows_of(here) if _is_wanted(row.name, tensor)]
        _check_found(bool(rows), here, tensor)
        show(rows_table(here, rows), form, "inspect", {"checkpoint": snapshot_object(here)})
        return
    there = _read(context, against)
    changes = [row for row in differences(here, there) if _is_wanted(row.name, tensor)]
    _check_found(bool(changes), here, tensor)
    facts = {"here": snapshot_object(here), "there": snapshot_object(there)}
    show(differences_table(here, there, changes), form, "inspect_against", facts)


def _is_wanted(name: str, patterns: list[str]) -> bool:
    """Whether a pattern fits the whole name, or is a part of it between dots."""
    return not patterns or any(
        fnmatch.fnmatchcase(name, pattern) or f".{pattern}." in f".{name}." for pattern in patterns
    )


def _check_found(is_found: bool, snapshot: Snapshot, patterns: list[str]) -> None:
    if not is_found:
        groups = ", ".join(dict.fromkeys(f"{name.split('.')[0]}.*" for name in snapshot.values))
        what = f"matches --tensor {' '.join(patterns)}" if patterns else "is a tensor or number"
        raise NotFoundError(f"nothing in {snapshot.label} {what}", hint=f"it holds: {groups}")


def _read(context: typer.Context, where: str) -> Snapshot:
    """Return the checkpoint of a run, or the file, that is meant."""
    from ablate.app.lookup import find_run
    from ablate.inspection.checkpoint import choose_checkpoint, read_file
    from ablate.spool.folders import AttemptFolder

    if Path(where).is_file():
        return read_file(Path(where), label=where)
    name, _, text = where.partition("@")
    if text and not text.isdecimal():
        raise UsageError(f"{where}: '{text}' is no step", hint="write RUN@STEP, as base-s0@700")
    with opened(context) as store:
        run = find_run(store, name)
        checkpoints = store.checkpoints(run.id)
    run_dir = settings_of(context).run_dir(run.id)
    chosen = choose_checkpoint(run, checkpoints, int(text) if text else None, run_dir)
    attempt = AttemptFolder(Path(chosen.path).parents[1]).number
    label = f"{run.label} at step {chosen.step}"
    return read_file(run_dir / chosen.path, label=label, attempt=attempt)
