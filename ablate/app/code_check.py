"""Which runs were trained by other code than is there now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.domain import Run
from ablate.errors import AblateError
from ablate.planning.trainers.registry import load_trainer
from ablate.provenance import changes, code_now, gone
from ablate.store.base import Store


@dataclass(frozen=True, slots=True)
class OtherCode:
    """A run that was trained by code which differs in these files, or in this version."""

    run: Run
    changes: tuple[str, ...]


def by_other_code(store: Store, project: Path, runs: Sequence[Run]) -> tuple[OtherCode, ...]:
    """Return the runs whose newest attempt was trained by other code than is on the disk now.

    Runs of registered trainers are left out: their version is part of the identity.
    """
    own = [run for run in runs if ":" in run.trainer]
    codes = store.codes([run.id for run in own])
    versions = {name: _version(name, project) for name in {run.trainer for run in own}}
    now: dict[tuple[str, int], tuple[str, ...]] = {}
    found: list[OtherCode] = []
    for run in own:
        if run.id not in codes:
            continue
        _, code = codes[run.id][-1]
        key = run.trainer, id(code)
        if key not in now:
            there = code_now(code, project, versions[run.trainer])
            missing = () if code.version else gone(code, there)
            now[key] = (*changes(code, there), *(f"{path} is gone" for path in missing))
        if now[key]:
            found.append(OtherCode(run, now[key]))
    return tuple(found)


def _version(trainer: str, project: Path) -> str | None:
    try:
        return getattr(load_trainer(trainer, project), "code_version", None)
    except AblateError:
        return None  # the module is gone or broken, which the digests tell too
