"""What the commands do, without a terminal: the library behind `ablate.cli`."""

from __future__ import annotations

import hashlib
import os
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from ablate.app.imports.imported import keep_imported
from ablate.domain import IMPORTED, Plan, Study
from ablate.errors import AblateError, NotFoundError, TrainerError, UsageError
from ablate.files import replacing
from ablate.planning.diff import PlanDiff, diff_plans
from ablate.planning.notes import plan_notes
from ablate.planning.plan import imported_plan, make_plan
from ablate.planning.study_file.document import Document, parse_document, read_document
from ablate.planning.study_file.flags import StudyFlags, apply_flags
from ablate.planning.study_file.imported import imported_file
from ablate.planning.study_file.parsing import check_study
from ablate.planning.study_file.spec import StudySpec
from ablate.planning.study_file.templates import find_study, project_file, templates
from ablate.planning.trainers.registry import trainer_of
from ablate.planning.trainers.source import find_source
from ablate.protocol import Trainer
from ablate.provenance import is_own
from ablate.settings import Settings, user_name
from ablate.store import open_store
from ablate.store.base import StudySource


@dataclass(frozen=True, kw_only=True, slots=True)
class Creation:
    """A study that can be created, and what that would change."""

    plan: Plan
    diff: PlanDiff
    source: str
    """The study file, as shown to the user."""
    is_new: bool
    can_go_on: tuple[str, ...] = ()
    """Labels of the runs that can be trained on, where variants only train for longer."""
    notes: tuple[str, ...] = ()
    """What its author should know before training, a sentence each."""
    path: Path
    """The study file; where ``text`` is given, it is written there first."""
    text: str | None = None
    """The file to be written first: of a study defined by flags, or that of the template."""


def plan_creation(
    settings: Settings,
    name: str,
    *,
    file: Path | None = None,
    template: str | None = None,
    flags: StudyFlags,
    is_imported: bool = False,
) -> Creation:
    """Return what `ablate study create` would do; changes nothing.

    Args:
        settings: Of the project.
        name: The study's name.
        file: A study file by path; else the project's own of that name, else the shipped one.
        template: The study from which flags define a new one; ``name`` itself by default.
        flags: Factors, settings, design and seeds that were typed.
        is_imported: Whether its runs are imported; a project file is written where there is none.

    Raises:
        NotFoundError: If there is no such study file or trainer.
        StudyFileError: If the file is wrong, or the trainer refuses a config.
    """
    old = _stored_plan(settings, name)
    if is_imported and not (file or project_file(settings.project, name).exists()):
        source, text = project_file(settings.project, name), _imported_file(settings, name, old)
        document = parse_document(text, name=f"studies/{name}.yaml")
    else:
        source = file or find_study(settings.project, template or name)
        document, text = _written(settings, source, name, template, flags)
    spec, trainer = _read(settings, document, name)
    if is_imported and trainer is not None:
        raise document.error(
            f"the study '{name}' trains with {spec.trainer}, so its runs are not only imported",
            hint=f"import into it as it is: ablate import SOURCE --study {name}",
        )
    if trainer is None:
        plan, notes = imported_plan(spec, document), ()
    else:
        with chdir(settings.project):  # relative paths in a study are relative to its project
            plan = make_plan(spec, trainer, document)
        notes = plan_notes(spec, plan, trainer, settings.project)
    plan = keep_imported(plan, old)
    diff = diff_plans(old, plan, trainer.absent_means if trainer else None)
    return Creation(
        notes=notes,
        plan=plan,
        diff=diff,
        can_go_on=_can_go_on(settings, plan, diff) if diff.longer else (),
        source=_shown_source(document, source),
        path=source if text is None else project_file(settings.project, name),
        is_new=old is None,
        text=text,
    )


def _written(
    settings: Settings, source: Path, name: str, template: str | None, flags: StudyFlags
) -> tuple[Document, str | None]:
    """Return the study file, and its text where it is to be written into the project."""
    document = read_document(source)
    if template is not None or not flags.is_empty:
        text = apply_flags(document, check_study(document), name, flags)
        return parse_document(text, name=f"studies/{name}.yaml as these flags would write it"), text
    if source in templates().values() and not project_file(settings.project, name).exists():
        return document, source.read_text(encoding="utf-8")  # a file is the user's own to change
    return document, None


def _shown_source(document: Document, path: Path) -> str:
    if document.name == str(path) and path in templates().values():
        return f"the shipped template {path.stem}"
    return document.name


def _imported_file(settings: Settings, name: str, old: Plan | None) -> str:
    """Return a study file with what the runs that are there log."""
    if old is None or not old.imported:
        return imported_file(name, baseline=None, metrics={}, logged=())
    store = open_store(settings.db_url, read_only=True)
    try:
        ids = [run.id for run in store.runs(name) if run.trainer == IMPORTED]
        logged = store.metric_keys(ids)
    finally:
        store.close()
    metrics = old.spec.get("metrics", {})
    return imported_file(name, baseline=old.baseline.name, metrics=metrics, logged=logged)


def _read(settings: Settings, document: Document, name: str) -> tuple[StudySpec, Trainer | None]:
    """Return the study that a document defines, and its trainer; None where runs are imported."""
    spec = check_study(document)
    if spec.study != name:
        raise document.error(
            f"the file defines the study '{spec.study}', not '{name}'",
            ("study",),
            at_value=True,
            hint=f"run: ablate study create {spec.study} -f {document.name}",
        )
    if spec.trainer == IMPORTED:
        return spec, None
    for index, module in enumerate(spec.preload or ()):
        if (source := find_source(module, settings.project)) and is_own(source):
            raise document.error(
                f"'{module}' is code of this project: each run imports it anew, as it may change",
                ("preload", index),
                hint="preload installed packages",
            )
    if spec.code and ":" not in spec.trainer:
        raise document.error(
            f"the trainer '{spec.trainer}' has a version, which is part of the identity already",
            ("code",),
            hint="remove 'code'; it is for trainers of your own, module:function",
        )
    try:
        return spec, trainer_of(spec, settings.project)
    except (NotFoundError, TrainerError) as error:
        raise document.error(error.message, ("trainer",), at_value=True, hint=error.hint) from error


def _stored_plan(settings: Settings, name: str) -> Plan | None:
    """Return the plan of a study that exists; a database that does not exist is not made."""
    try:
        store = open_store(settings.db_url, read_only=True)
    except NotFoundError:
        return None
    try:
        return store.study(name).plan
    except NotFoundError:
        return None
    finally:
        store.close()


def _can_go_on(settings: Settings, plan: Plan, diff: PlanDiff) -> tuple[str, ...]:
    store = open_store(settings.db_url, read_only=True)
    try:
        ids = store.can_go_on(plan.study, diff.longer, plan.all_seeds)
        return tuple(store.run(run_id).label for run_id in ids)
    finally:
        store.close()


def create(
    settings: Settings, creation: Creation, *, force: bool = False, go_on: bool = False
) -> int:
    """Write the study's file, if it was defined by flags, and the study: both or neither.

    Args:
        settings: Of the project.
        creation: From `plan_creation`.
        force: Whether a different file of that name may be overwritten.
        go_on: Whether runs of variants that only train for longer go on from their checkpoints.

    Returns:
        How many runs go on.

    Raises:
        UsageError: If a different file is there.
    """
    written = _write_file(settings, creation, force=force)
    try:
        store = open_store(settings.db_url, data_dir=settings.data_dir)
        try:
            moved = store.apply_plan(
                creation.plan,
                source=_source(settings, creation.path),
                longer=creation.diff.longer if go_on else (),
                by=user_name(),
            )
            return len(moved)
        finally:
            store.close()
    except BaseException:
        if written is not None:
            written.unlink(missing_ok=True)
        raise


def _source(settings: Settings, path: Path) -> StudySource:
    path = path.resolve()
    project = settings.project.resolve()
    shown = path.relative_to(project) if path.is_relative_to(project) else path
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return StudySource(path=shown.as_posix(), sha256=digest)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileChange:
    """A study file, or code that is part of it, that is another than when it was created."""

    study: str
    what: str
    """That has changed: the file, or ``the code of mine:train``."""
    diff: PlanDiff | None
    """None where the study cannot be read."""
    fault: str | None = None


def file_change(settings: Settings, study: Study) -> FileChange | None:
    """Return how the file of a study has changed since the study was created from it.

    With ``code: identity`` the trainer's code is a part of it. None where it says the same, is
    gone, or is not known. Cheap where nothing is touched.
    """
    what = study.source or project_file(Path(), study.name).as_posix()
    path = settings.project / what
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() == study.source_sha256:
            if not has_other_code(settings, study):
                return None
            what = f"the code of {study.plan.trainer}"
        creation = plan_creation(settings, study.name, file=path, flags=StudyFlags())
    except OSError:
        return None
    except AblateError as error:
        return FileChange(study=study.name, what=what, diff=None, fault=error.message)
    if creation.diff.is_empty:
        return None
    return FileChange(study=study.name, what=what, diff=creation.diff)


def has_other_code(settings: Settings, study: Study) -> bool:
    """Whether a study with ``code: identity`` was planned for other code than is there now.

    A trainer that is gone or cannot be read is other code too.
    """
    spec = StudySpec.model_validate(study.plan.spec) if study.plan.spec.get("code") else None
    try:
        return spec is not None and (
            trainer_of(spec, settings.project).version != study.plan.trainer_version
        )
    except AblateError:
        return True


def _write_file(settings: Settings, creation: Creation, *, force: bool) -> Path | None:
    """Return the file if it is new, so that it can be taken back."""
    if creation.text is None:
        return None
    path = project_file(settings.project, creation.plan.study)
    if path.exists():
        if path.read_text(encoding="utf-8") == creation.text:
            return None
        if not force:
            raise UsageError(
                f"{os.path.relpath(path)} is there and says something else",
                hint="choose another name, or overwrite it with --force",
            )
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        aside.write_text(creation.text, encoding="utf-8")
    return path if is_new else None
