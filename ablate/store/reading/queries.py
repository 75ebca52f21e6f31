"""What the tables say, as frozen values. Each function reads in its caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, func, select
from sqlalchemy.orm import aliased
from sqlalchemy.sql import ColumnElement

from ablate.domain import (
    Attempt,
    AttemptState,
    BranchPoint,
    Checkpoint,
    Copy,
    Origin,
    Parent,
    Plan,
    Run,
    RunState,
    Study,
    StudyCell,
    Variant,
)
from ablate.errors import NotFoundError, did_you_mean
from ablate.provenance import Code
from ablate.storable import from_json, to_json
from ablate.store.schema.clock import db_now
from ablate.store.schema.models import (
    AttemptRow,
    CheckpointRow,
    CodeRow,
    RunRow,
    StepRow,
    StudyRow,
    StudyRunRow,
    VariantRow,
)
from ablate.store.schema.statements import MAX_STEP, AnyRow, AnySelect, chunks


def plan_text(plan: Plan) -> str:
    """Return a plan as the column ``studies.plan`` holds it."""
    fields = _fields(plan) | {"variants": [_variant_fields(v) for v in plan.variants]}
    fields["imported"] = [_fields(cell) for cell in plan.imported]
    # Plans that were stored before there were any stay as they are.
    if not plan.imported:
        del fields["imported"]
    if not plan.more_seeds:
        del fields["more_seeds"]
    return to_json(fields)


def _variant_fields(variant: Variant) -> dict[str, Any]:
    fields = _fields(variant)
    for name, part in (("start_at", variant.start_at), ("copy", variant.copy)):
        if part is None:
            del fields[name]  # as for imported cells
        else:
            fields[name] = _fields(part)
    return fields


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, whatever mappings they hold."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def plan_from_text(text: str) -> Plan:
    """Return the plan that `plan_text` was given."""
    fields = from_json(text)
    fields["variants"] = tuple(map(_variant_from, fields["variants"]))
    fields["seeds"] = tuple(fields["seeds"])
    more = fields.get("more_seeds", {})
    fields["more_seeds"] = {name: tuple(seeds) for name, seeds in more.items()}
    fields["imported"] = tuple(StudyCell(**cell) for cell in fields.get("imported", ()))
    return Plan(**fields)


def _variant_from(fields: dict[str, Any]) -> Variant:
    start_at, copy = fields.pop("start_at", None), fields.pop("copy", None)
    return Variant(
        **fields,
        start_at=Origin(**start_at) if start_at else None,
        copy=Copy(of=copy["of"], seeds=tuple(copy["seeds"])) if copy else None,
    )


def studies(connection: Connection, *, with_archived: bool) -> tuple[Study, ...]:
    """Return the studies, oldest first."""
    query = select(StudyRow.__table__).order_by(StudyRow.id)
    if not with_archived:
        query = query.where(StudyRow.is_archived.is_(False))
    return tuple(map(_study, connection.execute(query)))


def study(connection: Connection, name: str) -> Study:
    """Return one study, or raise with the closest name."""
    query = select(StudyRow.__table__).where(StudyRow.name == name)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise unknown_study(connection, name)
    return _study(row)


def unknown_study(connection: Connection, name: str) -> NotFoundError:
    """Return the error for a study that does not exist."""
    names = connection.execute(select(StudyRow.name)).scalars().all()
    hint = did_you_mean(name, names) or "`ablate study create` makes one"
    return NotFoundError(f"there is no study '{name}'", hint=hint)


def _study(row: AnyRow) -> Study:
    return Study(
        id=row.id,
        name=row.name,
        plan=plan_from_text(row.plan),
        created_at=row.created_at,
        updated_at=row.updated_at,
        is_archived=bool(row.is_archived),
        source=row.source,
        source_sha256=row.source_sha256,
    )


def counts_from() -> ColumnElement[int]:
    """Steps of an attempt count from here; the one it resumed from belongs to who made it."""
    return func.coalesce(AttemptRow.first_step, AttemptRow.start_step + 1, 0)


def counts_to() -> ColumnElement[int]:
    """Steps of an attempt count up to here; what follows was replaced."""
    return func.coalesce(AttemptRow.cut_step, MAX_STEP)


def counts(step: Any) -> ColumnElement[bool]:
    """Whether a step of `AttemptRow` was not replaced by a resume."""
    return and_(step >= counts_from(), step <= counts_to())


def checkpoint_step() -> ColumnElement[Any]:
    """Return the step of the newest checkpoint of `RunRow`."""
    return (
        select(func.max(CheckpointRow.step))
        .join(AttemptRow, AttemptRow.id == CheckpointRow.attempt_id)
        .where(AttemptRow.run_id == RunRow.id, counts(CheckpointRow.step))
        .scalar_subquery()
    )


def has_parent_checkpoint() -> ColumnElement[bool]:
    """Whether the checkpoint from which `RunRow` begins was made, and not replaced by a resume."""
    query = (
        select(CheckpointRow.step)
        .join(AttemptRow, AttemptRow.id == CheckpointRow.attempt_id)
        .where(AttemptRow.run_id == RunRow.parent_id, CheckpointRow.step == RunRow.parent_step)
        .where(counts(CheckpointRow.step))
    )
    return query.correlate(RunRow).exists()


_PARENT_RUN = aliased(RunRow)
_PARENT_LINK, _PARENT_VARIANT = aliased(StudyRunRow), aliased(VariantRow)


def _parent_variant() -> ColumnElement[Any]:
    """Return what the study of `StudyRunRow` calls the parent of `RunRow`."""
    return (
        select(_PARENT_VARIANT.name)
        .join(_PARENT_LINK, _PARENT_LINK.variant_id == _PARENT_VARIANT.id)
        .where(_PARENT_LINK.run_id == RunRow.parent_id)
        .where(_PARENT_LINK.study_id == StudyRunRow.study_id)
        .order_by(_PARENT_LINK.is_wanted.desc(), _PARENT_LINK.position)
        .limit(1)
        .correlate(RunRow, StudyRunRow)
        .scalar_subquery()
    )


def _step() -> ColumnElement[Any]:
    """Return the largest step of `RunRow`: one index seek for each attempt."""
    of_attempt = (
        select(func.max(StepRow.step))
        .where(StepRow.attempt_id == AttemptRow.id, counts(StepRow.step))
        .correlate(AttemptRow)
        .scalar_subquery()
    )
    query = select(func.max(of_attempt)).select_from(AttemptRow)
    return query.where(AttemptRow.run_id == RunRow.id).correlate(RunRow).scalar_subquery()


def _of_attempts(value: Any) -> ColumnElement[Any]:
    query = select(value).select_from(AttemptRow).where(AttemptRow.run_id == RunRow.id)
    return query.correlate(RunRow).scalar_subquery()


def _inexact() -> ColumnElement[Any]:
    """Return why the newest of the resumes of `RunRow` that were not exact was so."""
    query = select(AttemptRow.inexact).where(AttemptRow.run_id == RunRow.id)
    query = query.where(AttemptRow.inexact.is_not(None), counts_from() <= counts_to())
    newest = query.order_by(AttemptRow.number.desc()).limit(1)
    return newest.correlate(RunRow).scalar_subquery()


def _logged_at() -> ColumnElement[Any]:
    """Return when the running attempt of `RunRow` last logged a step, else when it began."""
    last = select(StepRow.time).where(StepRow.attempt_id == AttemptRow.id)
    last = last.order_by(StepRow.step.desc()).limit(1).correlate(AttemptRow).scalar_subquery()
    query = select(func.coalesce(last, AttemptRow.started_at)).select_from(AttemptRow)
    query = query.where(AttemptRow.run_id == RunRow.id)
    query = query.where(AttemptRow.state == AttemptState.RUNNING.value).limit(1)
    return query.correlate(RunRow).scalar_subquery()


def _runner() -> ColumnElement[Any]:
    """Return who made the newest attempt of `RunRow`."""
    query = select(AttemptRow.runner).where(AttemptRow.run_id == RunRow.id)
    newest = query.order_by(AttemptRow.number.desc()).limit(1)
    return newest.correlate(RunRow).scalar_subquery()


def _select_runs() -> AnySelect:
    """Select a row for each variant of a study that wants, or wanted, a run."""
    wall_s = func.coalesce(AttemptRow.finished_at, db_now()) - AttemptRow.started_at
    return (
        select(
            RunRow.id,
            RunRow.seed,
            RunRow.identity,
            RunRow.config,
            RunRow.trainer,
            RunRow.state,
            RunRow.reason,
            StudyRow.name.label("study"),
            VariantRow.name.label("variant"),
            _of_attempts(func.count()).label("attempts"),
            _of_attempts(func.coalesce(func.sum(wall_s), 0.0)).label("wall_s"),
            _inexact().label("inexact"),
            _logged_at().label("logged_at"),
            _runner().label("runner"),
            _step().label("step"),
            checkpoint_step().label("checkpoint_step"),
            RunRow.parent_id,
            RunRow.parent_step,
            _PARENT_RUN.state.label("parent_state"),
            _parent_variant().label("parent_variant"),
            has_parent_checkpoint().label("has_parent_checkpoint"),
        )
        .join(StudyRunRow, StudyRunRow.run_id == RunRow.id)
        .join(StudyRow, StudyRow.id == StudyRunRow.study_id)
        .join(VariantRow, VariantRow.id == StudyRunRow.variant_id)
        .outerjoin(_PARENT_RUN, _PARENT_RUN.id == RunRow.parent_id)
    )


def _run(row: RowMapping) -> Run:
    fields: dict[str, Any] = dict(row)
    parent_id, step = fields.pop("parent_id"), fields.pop("parent_step")
    state, variant = fields.pop("parent_state"), fields.pop("parent_variant")
    has_checkpoint = bool(fields.pop("has_parent_checkpoint"))
    if parent_id is not None:
        fields["parent"] = Parent(
            run_id=parent_id,
            variant=variant,
            step=step,
            state=RunState(state),
            has_checkpoint=has_checkpoint,
        )
    fields |= {"config": from_json(row["config"]), "state": RunState(row["state"])}
    return Run(**fields)


def runs(connection: Connection, name: str | None) -> tuple[Run, ...]:
    """Return the runs that a study wants, or any that is not archived."""
    query = _select_runs().where(StudyRunRow.is_wanted.is_(True))
    if name is None:
        query = query.where(StudyRow.is_archived.is_(False))
    else:
        query = query.where(StudyRow.id == study_id(connection, name))
    query = query.order_by(StudyRow.id, StudyRunRow.position)
    return tuple(map(_run, connection.execute(query).mappings().all()))


def is_wanted() -> ColumnElement[bool]:
    """Whether any study, archived ones too, wants `RunRow`."""
    wanted = select(StudyRunRow.run_id).where(StudyRunRow.run_id == RunRow.id)
    return wanted.where(StudyRunRow.is_wanted.is_(True)).correlate(RunRow).exists()


def former_runs(connection: Connection) -> tuple[Run, ...]:
    """Return the runs that no study wants any more, as the study sees each that changed last."""
    query = _select_runs().where(~is_wanted())
    query = query.order_by(StudyRow.updated_at.desc(), StudyRow.id, StudyRunRow.position)
    found: dict[str, Run] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["id"], _run(row))
    return tuple(found.values())


def study_id(connection: Connection, name: str) -> int:
    """Return the id of a study, or raise with the closest name."""
    found = connection.execute(select(StudyRow.id).where(StudyRow.name == name)).scalar()
    if found is None:
        raise unknown_study(connection, name)
    return found


def run(connection: Connection, prefix: str) -> Run:
    """Return the run whose id starts with ``prefix``, as the oldest study that wants it sees it."""
    query = select(RunRow.id).where(RunRow.id.startswith(prefix, autoescape=True))
    linked = select(StudyRunRow.run_id).where(StudyRunRow.run_id == RunRow.id)
    query = query.where(linked.exists())  # a run that is still being imported is in no study
    found = connection.execute(query.order_by(RunRow.id).limit(11)).scalars().all()
    if not found:
        raise NotFoundError(f"there is no run '{prefix}'", hint="`ablate status` lists the runs")
    if len(found) > 1:
        listed = ", ".join(found[:10]) + (", …" if len(found) > 10 else "")
        raise NotFoundError(f"'{prefix}' names more than one run: {listed}", hint="type more of it")
    return run_by_link(connection, found[0])


def run_by_link(connection: Connection, run_id: str, variant_id: int | None = None) -> Run:
    """Return a run as one variant sees it, by default that of the oldest study that wants it."""
    query = _select_runs().where(RunRow.id == run_id)
    if variant_id is not None:
        query = query.where(StudyRunRow.variant_id == variant_id)
    order = (StudyRunRow.is_wanted.desc(), StudyRow.id, StudyRunRow.position)
    return _run(connection.execute(query.order_by(*order).limit(1)).mappings().one())


def attempts(connection: Connection, run_id: str) -> tuple[Attempt, ...]:
    """Return a run's attempts, first to last."""
    names = [name for name in Attempt.__dataclass_fields__ if name != "state"]
    columns = [getattr(AttemptRow, name) for name in names]
    query = select(AttemptRow.state, *columns).where(AttemptRow.run_id == run_id)
    rows = connection.execute(query.order_by(AttemptRow.number)).mappings()
    return tuple(map(_attempt, rows))


def _attempt(row: RowMapping) -> Attempt:
    fields: dict[str, Any] = dict(row)
    fields["state"] = AttemptState(row["state"])
    return Attempt(**fields)


def codes(
    connection: Connection, run_ids: Sequence[str]
) -> dict[str, tuple[tuple[int, Code], ...]]:
    """Return by run the number and the code of its attempts that count, first to last."""
    found: dict[str, list[tuple[int, Code]]] = {}
    contents: dict[int, Code] = {}
    for part in chunks(dict.fromkeys(run_ids)):
        query = (
            select(AttemptRow.run_id, AttemptRow.number, CodeRow.id, CodeRow.content)
            .join(CodeRow, CodeRow.id == AttemptRow.code_id)
            .where(AttemptRow.run_id.in_(part), counts_from() <= counts_to())
            .order_by(AttemptRow.run_id, AttemptRow.number)
        )
        for run_id, number, code_id, content in connection.execute(query):
            code = contents.get(code_id) or Code.from_json(from_json(content))
            contents[code_id] = code
            found.setdefault(run_id, []).append((number, code))
    return {run_id: tuple(attempts) for run_id, attempts in found.items()}


def checkpoints(
    connection: Connection, run_id: str, before_attempt: int | None = None
) -> tuple[Checkpoint, ...]:
    """Return a run's checkpoints, newest first; only of attempts before that number if given."""
    query = (
        select(*(getattr(CheckpointRow, name) for name in Checkpoint.__dataclass_fields__))
        .join(AttemptRow, AttemptRow.id == CheckpointRow.attempt_id)
        .where(AttemptRow.run_id == run_id, counts(CheckpointRow.step))
        .order_by(CheckpointRow.step.desc())
    )
    if before_attempt is not None:
        query = query.where(AttemptRow.number < before_attempt)
    return tuple(Checkpoint(**row) for row in connection.execute(query).mappings())


def branch_point(connection: Connection, run: Run) -> BranchPoint | None:
    """Return the checkpoint of another run from which a run begins, if there is one."""
    if run.parent is None or not run.parent.has_checkpoint:
        return None
    parent = run.parent
    made = checkpoints(connection, parent.run_id)
    return BranchPoint(
        run_id=parent.run_id,
        variant=parent.variant,
        seed=run.seed,
        checkpoint=next(c for c in made if c.step == parent.step),
    )


def branch_steps(connection: Connection, run_id: str) -> frozenset[int]:
    """Return the steps at which other runs begin from a checkpoint of this one."""
    query = select(RunRow.parent_step).where(RunRow.parent_id == run_id).distinct()
    return frozenset(step for step in connection.execute(query).scalars() if step is not None)
