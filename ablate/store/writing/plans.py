"""Makes the tables say what a plan wants."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, insert, select, update

from ablate.domain import Longer, Plan, RunState, Variant
from ablate.errors import UsageError
from ablate.storable import check_name, to_json
from ablate.store.base import StudySource
from ablate.store.reading.queries import plan_text, unknown_study
from ablate.store.schema.changes import touch_run, touch_study
from ablate.store.schema.clock import db_now
from ablate.store.schema.models import AttemptRow, RunRow, StudyRow, StudyRunRow, VariantRow
from ablate.store.schema.statements import chunks
from ablate.store.writing import leases
from ablate.store.writing.orphans import lock_plans


def apply_plan(
    connection: Connection,
    plan: Plan,
    source: StudySource | None,
    longer: Sequence[Longer],
    by: str,
) -> tuple[str, ...]:
    """Make the study what the plan says, in this transaction; return the runs that go on."""
    _check(plan)
    lock_plans(connection)  # two plans that share cells must not make the same runs
    configs = {variant.identity: to_json(variant.config) for variant in plan.variants}
    lasting = leases.can_go_on(connection, plan.study, longer, plan.all_seeds)
    moved = leases.go_on(connection, lasting, configs, by)
    _put(connection, plan, source)
    return moved


def _put(connection: Connection, plan: Plan, source: StudySource | None) -> None:
    query = select(StudyRow.id, StudyRow.plan).where(StudyRow.name == plan.study)
    stored = connection.execute(query).one_or_none()
    new_text = plan_text(plan)
    if stored and source:
        change = update(StudyRow).where(StudyRow.id == stored.id)
        connection.execute(change.values(source=source.path, source_sha256=source.sha256))
        touch_study(connection, stored.id)
    if stored and stored.plan == new_text:
        return
    if stored:
        change = update(StudyRow).where(StudyRow.id == stored.id)
        values = {"plan": new_text, "question": plan.question, "updated_at": db_now()}
        connection.execute(change.values(**values))
    study_id = stored.id if stored else _add_study(connection, plan, new_text, source)
    touch_study(connection, study_id)
    variant_ids = _put_variants(connection, study_id, plan.variants)
    run_ids = _put_runs(connection, plan)
    _link(connection, study_id, _wanted(plan, variant_ids, run_ids))


def set_archived(connection: Connection, name: str, is_archived: bool) -> None:
    """Hide a study from lists and claims, or bring it back."""
    change = update(StudyRow).where(StudyRow.name == name).values(is_archived=is_archived)
    study_id = connection.execute(change.returning(StudyRow.id)).scalar_one_or_none()
    if study_id is None:
        raise unknown_study(connection, name)
    touch_study(connection, study_id)


def _check(plan: Plan) -> None:
    """Refuse what cannot be stored exactly, before anything is written."""
    check_name(plan.study, "study name")
    check_name(plan.trainer, "trainer")
    check_name(plan.trainer_version, "trainer version")
    for variant in plan.variants:
        check_name(variant.name, "variant name")
    for seed in (*plan.all_seeds, *(cell.seed for cell in plan.imported)):
        if not -(2**63) <= seed < 2**63:
            raise UsageError(f"seed {seed} is too large", hint="use a number below 2**63")
    if "\0" in plan.question:
        raise UsageError("the question contains a NUL character")


def _add_study(
    connection: Connection, plan: Plan, plan_json: str, source: StudySource | None
) -> int:
    statement = insert(StudyRow).values(
        name=plan.study,
        question=plan.question,
        plan=plan_json,
        created_at=db_now(),
        updated_at=db_now(),
        is_archived=False,
        source=source.path if source else None,
        source_sha256=source.sha256 if source else None,
    )
    return connection.execute(statement.returning(StudyRow.id)).scalar_one()


def _put_variants(
    connection: Connection, study_id: int, variants: Iterable[Variant]
) -> dict[str, int]:
    """Add and change variants; return the ids by name."""
    query = select(VariantRow.name, VariantRow.id).where(VariantRow.study_id == study_id)
    ids = _pairs(connection, query)
    rows = [
        {
            "name": variant.name,
            "position": position,
            "identity": variant.identity,
            "config": to_json(variant.config),
            "factors": to_json(variant.factors),
            "is_phase": variant.is_phase,
            "is_baseline": variant.is_baseline,
        }
        for position, variant in enumerate(variants)
    ]
    changed = [{"row_id": ids[row["name"]], **row} for row in rows if row["name"] in ids]
    if changed:
        table = _table(VariantRow)
        connection.execute(update(table).where(table.c.id == bindparam("row_id")), changed)
    added = [{"study_id": study_id, **row} for row in rows if row["name"] not in ids]
    if added:
        connection.execute(insert(VariantRow), added)
        ids = _pairs(connection, query)
    return ids


def _pairs(connection: Connection, query: Select[str, int]) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(query)}


def _table(model: Any) -> Table:
    return model.__table__


def _put_runs(connection: Connection, plan: Plan) -> dict[tuple[str, int], str]:
    """Add the runs that no study has; return the ids by (identity, seed)."""
    ids: dict[tuple[str, int], str] = {}
    identities = {variant.identity: variant for variant in plan.variants}
    for part in chunks({cell.identity for cell in plan.cells}):
        query = select(RunRow.identity, RunRow.seed, RunRow.id).where(RunRow.identity.in_(part))
        ids.update(((identity, seed), id_) for identity, seed, id_ in connection.execute(query))
    missing = dict.fromkeys(
        (cell.identity, cell.seed) for cell in plan.cells if (cell.identity, cell.seed) not in ids
    )
    _refuse_not_imported(plan, ids)
    for identity, seed in missing:
        ids[identity, seed] = secrets.token_hex(8)
    rows: list[dict[str, Any]] = []
    configs = {identity: to_json(variant.config) for identity, variant in identities.items()}
    _retune(connection, configs)
    # A run's parent has to be there before it.
    for identity, seed in sorted(missing, key=lambda cell: _depth(cell[0], identities)):
        start_at = identities[identity].start_at
        rows.append(
            {
                "id": ids[identity, seed],
                "identity": identity,
                "seed": seed,
                "config": configs[identity],
                "trainer": plan.trainer,
                "trainer_version": plan.trainer_version,
                "state": RunState.QUEUED.value,
                "token": 0,
                "parent_id": ids[start_at.identity, seed] if start_at else None,
                "parent_step": start_at.step if start_at else None,
            }
        )
    if rows:
        connection.execute(insert(RunRow).values(created_at=db_now()), rows)
    for row in rows:
        touch_run(connection, row["id"])
    return ids


def _retune(connection: Connection, configs: Mapping[str, str]) -> None:
    """Give runs that never began the config that their variant has now."""
    began = select(AttemptRow.id).where(AttemptRow.run_id == RunRow.id)
    for part in chunks(configs):
        query = select(RunRow.id, RunRow.identity, RunRow.config)
        query = query.where(RunRow.identity.in_(part), ~began.exists())
        for run_id, identity, config in connection.execute(query).all():
            if config != configs[identity]:
                change = update(RunRow).where(RunRow.id == run_id)
                connection.execute(change.values(config=configs[identity]))
                touch_run(connection, run_id)


def _depth(identity: str, variants: Mapping[str, Variant]) -> int:
    """Return how many checkpoints of others lie between a variant and a beginning."""
    start_at = variants[identity].start_at
    return 0 if start_at is None else 1 + _depth(start_at.identity, variants)


def _refuse_not_imported(plan: Plan, ids: Mapping[tuple[str, int], str]) -> None:
    """Refuse a cell that nothing could ever fill: an imported run that is not there."""
    for cell in plan.imported:
        if (cell.identity, cell.seed) not in ids:
            raise UsageError(f"{cell.variant}-s{cell.seed} was not imported yet")


def _wanted(
    plan: Plan, variant_ids: Mapping[str, int], run_ids: Mapping[tuple[str, int], str]
) -> dict[tuple[int, str], int]:
    """Return the position of every (variant, run) that the plan wants."""
    return {
        (variant_ids[cell.variant], run_ids[cell.identity, cell.seed]): position
        for position, cell in enumerate(plan.cells)
    }


def _link(connection: Connection, study_id: int, wanted: Mapping[tuple[int, str], int]) -> None:
    """Link what is wanted, and mark the rest as not wanted any more."""
    query = select(
        StudyRunRow.variant_id, StudyRunRow.run_id, StudyRunRow.position, StudyRunRow.is_wanted
    ).where(StudyRunRow.study_id == study_id)
    stored = {(row.variant_id, row.run_id): row for row in connection.execute(query)}
    added = [
        {
            "study_id": study_id,
            "variant_id": link[0],
            "run_id": link[1],
            "position": position,
            "is_wanted": True,
        }
        for link, position in wanted.items()
        if link not in stored
    ]
    changed = [
        {
            "of_variant": link[0],
            "of_run": link[1],
            "position": wanted.get(link, row.position),
            "is_wanted": link in wanted,
        }
        for link, row in stored.items()
    ]
    if changed:
        table = _table(StudyRunRow)
        change = update(table).where(
            table.c.variant_id == bindparam("of_variant"), table.c.run_id == bindparam("of_run")
        )
        connection.execute(change, changed)
    if added:
        connection.execute(insert(StudyRunRow), added)
