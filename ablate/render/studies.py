"""Studies, plans and runs as tables and sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ablate.attempt.artifacts import Artifact
from ablate.domain import Copy, Json, Plan, Run, Study, Variant
from ablate.identity import canonical_json, flatten
from ablate.planning.diff import PlanDiff
from ablate.provenance import ABSENT_MEANS
from ablate.render.runs.sentences import some
from ablate.render.runs.table import count_states
from ablate.render.tables import Cell, Column, Table, count_cell
from ablate.text import counted, listed, written

if TYPE_CHECKING:
    from ablate.app.creating import FileChange
    from ablate.planning.study_file.spec import StudySpec


def variants_table(plan: Plan) -> Table:
    """Return a study's variants: from which each starts, and what it changes there."""
    columns = (
        Column("variant", is_fixed=True),
        Column("kind"),
        Column("from"),
        *([Column("start_at")] if _branches(plan.variants) else []),
        Column("changes", is_below=True),
    )
    by_name = {v.name: v for v in plan.variants}
    rows: list[tuple[Cell, ...]] = []
    for variant in plan.variants:
        parent = by_name.get(_parent_name(plan, variant) or "", plan.baseline)
        start = "-" if parent is variant else parent.name
        changes = _differences(variant, flatten(parent.config))
        cells = [Cell(variant.name, tone="strong"), Cell(_kind(variant)), Cell(start)]
        if _branches(plan.variants):
            cells.append(Cell(variant.start_at.label if variant.start_at else ""))
        rows.append((*cells, Cell(changes)))
    imported = len({cell.variant for cell in plan.imported})
    copies = [v.copy for v in plan.variants if v.copy]
    parts: list[str] = []
    if trained := len(plan.variants) - len(copies) - imported:
        seeds = ", ".join(map(str, plan.seeds))
        parts.append(
            f"{counted(trained, 'variant')} x {counted(len(plan.seeds), 'seed')} ({seeds})"
        )
        parts += _further_seeds(plan)
        parts += _copies(copies)
    if imported:
        runs = counted(len(plan.imported), "imported run")
        parts.append(f"{runs} of {counted(imported, 'variant')}")
    note = f"{' + '.join(parts) or 'nothing imported yet'} = {counted(len(plan.cells), 'run')}"
    return Table(f"{plan.study}: {plan.question}".rstrip(": "), columns, tuple(rows), (note,))


def _further_seeds(plan: Plan) -> list[str]:
    """Return ``seed 2 of base and phase_a``, what some have beside the seeds of all."""
    by_seed: dict[int, list[str]] = {}
    for name, seeds in plan.more_seeds.items():
        for seed in seeds:
            by_seed.setdefault(seed, []).append(name)
    return [f"seed {seed} of {listed(names)}" for seed, names in by_seed.items()]


def _copies(copies: Sequence[Copy]) -> list[str]:
    """Return ``2 copies of base with 3 seeds each, from 1000000 on``."""
    return [
        f"{counted(count, 'copy', 'copies')} of {name} with "
        f"{counted(len(copies[0].seeds), 'seed')} each, from {copies[0].seeds[0]} on"
        for name, count in Counter(copy.of for copy in copies).items()
    ]


def _branches(variants: Sequence[Variant]) -> bool:
    return any(variant.start_at for variant in variants)


def _parent_name(plan: Plan, variant: Variant) -> str | None:
    if variant.copy:
        return variant.copy.of
    if variant.is_phase:
        return plan.spec.get("phases", {}).get(variant.name, {}).get("from")
    return plan.spec.get("design", {}).get("from")


def _kind(variant: Variant) -> str:
    if variant.is_baseline:
        return "baseline"
    if variant.copy:
        return "copy"
    return "phase" if variant.is_phase else "level"


def _differences(variant: Variant, base: Mapping[str, Json]) -> str:
    own = flatten(variant.config)
    changed = [
        f"{key}={written(own[key])}"
        for key in own
        if key not in base or canonical_json(own[key]) != canonical_json(base[key])
    ]
    unset = [f"{key} unset" for key in base if key not in own and not _is_beside(key, own)]
    return "  ".join(changed + unset) or "-"


def _is_beside(key: str, own: Mapping[str, Json]) -> bool:
    """Whether a key above or below is set, which says what became of this one."""
    return any(f"{other}.".startswith(f"{key}.") or key.startswith(f"{other}.") for other in own)


def diff_lines(
    diff: PlanDiff, *, is_new: bool, can_go_on: Sequence[str] = (), go_on: bool = False
) -> list[str]:
    """Return what creating the study changes, a line for each kind of change.

    Args:
        diff: Between the stored plan and the new one.
        is_new: Whether there is no stored plan.
        can_go_on: Labels of the runs that can be trained on from their checkpoints.
        go_on: Whether they are to be.
    """
    if is_new or diff.is_empty:
        return []
    lines = [f"unchanged   {diff.unchanged_runs} runs"]
    kept = set(can_go_on) if go_on else set[str]()
    lines += _listed("added      ", [label for label in diff.added_runs if label not in kept])
    gone = [label for label in diff.orphaned_runs if label not in kept]
    orphaned = _listed("orphaned   ", gone)
    lines += [f"{line} (ablate clean shows them)" for line in orphaned]
    lines += _listed("renamed    ", diff.renamed)
    lines += _listed("redefined  ", diff.redefined)
    lines += _longer_lines(diff, can_go_on, go_on=go_on)
    lines += _new_key_lines(diff)
    lines += [f"trainer     {diff.trainer}"] if diff.trainer else []
    lines += _listed("settings   ", diff.retuned)
    lines += _listed("rules      ", diff.rules)
    return lines


def _longer_lines(diff: PlanDiff, can_go_on: Sequence[str], *, go_on: bool) -> list[str]:
    if not diff.longer:
        return []
    lines = _listed("longer     ", [f"{one.variant} ({one.change})" for one in diff.longer])
    if go_on:
        return [*lines, *_listed("continued  ", can_go_on)]
    if can_go_on:
        runs = f"{len(can_go_on)} trained run{'s' * (len(can_go_on) != 1)}"
        return [*lines, f"            {runs} can go on from checkpoints: --continue, not --update"]
    return [*lines, "            no run can go on: not saved, ended badly, or wanted elsewhere"]


def _new_key_lines(diff: PlanDiff) -> list[str]:
    if not diff.new_keys:
        return []
    keys = ", ".join(f"{key}: {written(value)}" for key, value in diff.new_keys.items())
    lines = [f"new keys    {keys}"]
    if diff.is_own_trainer:
        lines.append(
            "            if runs without them trained just so, say it in the trainer's module and "
            f"they stay: {ABSENT_MEANS} = {dict(diff.new_keys)!r}"
        )
    return lines


def change_line(change: FileChange) -> str:
    """Return that a study has changed, what of it, and how the change is applied."""
    apply = f"ablate study create {change.study} --update"
    if change.diff is None:
        return f"{change.what} has changed, and is refused: {change.fault}"
    diff = change.diff
    parts = [
        f"{len(labels)} {word}"
        for labels, word in (
            (diff.added_runs, "runs added"),
            (diff.orphaned_runs, "runs no longer wanted"),
            (diff.renamed, "renamed"),
            (diff.longer, "longer"),
            (tuple(diff.new_keys), "new config keys"),
            (diff.retuned, "settings"),
        )
        if labels
    ]
    parts += [", ".join(diff.rules)] if diff.rules else []
    longer = " (--continue instead trains longer runs on)" if diff.longer else ""
    return f"{change.what} has changed ({'; '.join(parts)}); apply it with: {apply}{longer}"


def _listed(word: str, labels: Sequence[str]) -> list[str]:
    if not labels:
        return []
    return [f"{word} {len(labels)}: {some(labels)}"]


def studies_table(studies: Sequence[Study], runs: Mapping[str, Sequence[Run]]) -> Table:
    """Return the studies and how far each is."""
    columns = (
        Column("study", is_fixed=True),
        Column("variants", is_number=True),
        Column("runs", is_number=True),
        Column("states", is_below=True),
        Column("question", is_below=True),
    )
    rows = tuple(
        (
            Cell(study.name, tone="muted" if study.is_archived else "strong"),
            count_cell(sum(v.copy is None for v in study.plan.variants)),
            count_cell(len(runs[study.name])),
            Cell(count_states(runs[study.name])),
            Cell(study.plan.question),
        )
        for study in studies
    )
    return Table("", columns, rows)


def templates_table(specs: Mapping[str, StudySpec]) -> Table:
    """Return the shipped studies and what they ask."""
    columns = (
        Column("template", is_fixed=True),
        Column("phases", is_below=True),
        Column("factors", is_below=True),
        Column("question", is_below=True),
    )
    rows = tuple(
        (
            Cell(name, tone="strong"),
            Cell(", ".join(spec.phases)),
            Cell(", ".join(spec.factors) or "-"),
            Cell(spec.question),
        )
        for name, spec in specs.items()
    )
    return Table("", columns, rows)


def artifacts_table(artifacts: Sequence[Artifact]) -> Table:
    """Return a row for each kept file."""
    columns = (
        Column("name", is_fixed=True),
        Column("bytes", is_number=True),
        Column("attempt", is_number=True),
        Column("path", is_below=True),
    )
    rows = tuple(
        (
            Cell(artifact.name),
            count_cell(artifact.path.stat().st_size),
            count_cell(artifact.attempt),
            Cell(str(artifact.path)),
        )
        for artifact in artifacts
    )
    return Table("", columns, rows)
