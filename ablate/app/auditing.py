"""Holds what is stored against what it stands for: the second look that `ablate db check` takes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass

from ablate.app.imports.imported import Imported, seeds_by_name
from ablate.domain import IMPORTED, Config, Run, Study
from ablate.errors import AblateError
from ablate.identity import canonical_json, flatten
from ablate.planning.plan import is_labelled_right, make_plan
from ablate.planning.study_file.document import parse_document
from ablate.planning.study_file.spec import StudySpec
from ablate.planning.trainers.registry import trainer_of
from ablate.protocol import Trainer
from ablate.settings import Settings
from ablate.store.base import Store

_NO_FILE = parse_document("study: none\n", name="the stored study")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mislabelled:
    """A run whose stored config, with which it trains, is not the one its identity stands for."""

    run: Run
    differences: tuple[str, ...]
    """``optim.lr is 0.9, should be 0.1``; empty when it cannot be told what it should be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What `audit` found."""

    mislabelled: tuple[Mislabelled, ...]
    checked: int
    """Runs that were looked at; one that two studies want is one."""
    by_name: tuple[tuple[Imported, ...], ...]
    """Imported runs that count as seeds of one variant by their name alone."""
    unknown: tuple[str, ...]
    """Studies whose runs cannot be checked, and why."""


def audit(store: Store, settings: Settings) -> Audit:
    """Compare every trained run's stored config with its identity. Changes nothing."""
    found: list[Mislabelled] = []
    unknown: list[str] = []
    checked: set[str] = set()
    by_name: list[tuple[Imported, ...]] = []
    for study in store.studies(with_archived=True):
        runs = store.runs(study.name)
        by_name += map(tuple, seeds_by_name(runs))
        if study.plan.trainer == IMPORTED:
            continue
        try:
            spec = StudySpec.model_validate(study.plan.spec)
            trainer = trainer_of(spec, settings.project)
        except AblateError as error:
            unknown.append(f"{study.name}: {error.message}")
            continue
        if trainer.version != study.plan.trainer_version:
            was, now = study.plan.trainer_version, trainer.version
            unknown.append(f"{study.name}: its trainer was version {was}, now it is {now}")
            continue
        trained = [run for run in runs if run.trainer != IMPORTED]
        checked.update(run.id for run in trained)
        found += _of_study(settings, study, spec, trainer, trained)
    return Audit(
        mislabelled=tuple(found),
        checked=len(checked),
        by_name=tuple(by_name),
        unknown=tuple(unknown),
    )


def _of_study(
    settings: Settings, study: Study, spec: StudySpec, trainer: Trainer, runs: list[Run]
) -> list[Mislabelled]:
    wrong = [run for run in runs if not is_labelled_right(run, study, spec, trainer)]
    if not wrong:
        return []
    try:
        with chdir(settings.project):
            wanted = {v.identity: v.config for v in make_plan(spec, trainer, _NO_FILE).variants}
    except AblateError:
        wanted = {}  # a folder of recordings that is gone, for example
    return [
        Mislabelled(run=run, differences=_differences(run.config, wanted.get(run.identity)))
        for run in wrong
    ]


def _differences(stored: Config, wanted: Config | None) -> tuple[str, ...]:
    if wanted is None:
        return ()
    here, there = flatten(stored), flatten(wanted)
    keys = [k for k in dict.fromkeys((*there, *here)) if _text(here, k) != _text(there, k)]
    return tuple(f"{key} is {_text(here, key)}, should be {_text(there, key)}" for key in keys)


def _text(config: Mapping[str, object], key: str) -> str:
    return canonical_json(config[key]) if key in config else "unset"
