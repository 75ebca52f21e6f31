"""The state of a database as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.app.auditing import Audit
from ablate.app.imports.imported import Imported
from ablate.app.recovery import Recovered
from ablate.store.upkeep.migrate import SchemaStatus
from ablate.store.upkeep.verify import Verification
from ablate.text import counted, listed

_SHOWN = 5


def status_lines(status: SchemaStatus) -> list[str]:
    """Return what is right and wrong with a database, the schema first."""
    lines = [status.url, schema_line(status)]
    lines += _findings("schema differs", status.differences)
    lines += _findings("damaged", status.damage)
    if status.foreign_tables:
        lines.append(f"not ours, left alone: {', '.join(status.foreign_tables)}")
    if status.is_good:
        lines.append("whole: the tables are as this version expects, nothing is damaged")
    return lines


def schema_line(status: SchemaStatus) -> str:
    """Return which schema is there and which is needed."""
    if status.revision == status.head:
        return f"schema {status.revision}, the newest"
    return f"schema {status.revision or 'none'}, this version needs {status.head}"


def _findings(word: str, found: tuple[str, ...]) -> list[str]:
    more = [f"{word}: and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return [f"{word}: {text}" for text in found[:_SHOWN]] + more


def verification_lines(found: Verification) -> list[str]:
    """Return where the database differs from its second copy, and what has none."""
    lines = _findings("differs", found.differences)
    compared = f"{found.whole} of {found.runs} runs were compared with their spools"
    if not lines:
        lines = [f"copies: {compared}, nothing differs"]
    return lines + _findings("not compared", found.not_compared)


def recovery_lines(found: Recovered) -> tuple[list[str], bool]:
    """Return what was made anew and what is lacking, and whether nothing is."""
    restored = found.restored
    lines = [f"the damaged database is kept as {restored.set_aside}"] if restored.set_aside else []
    lines += [f"the journal is {found.journal}"] if found.journal else []
    for run in restored.runs:
        points = counted(run.points, "point")
        lines.append(f"{run.label}: {points} of {counted(run.attempts, 'attempt')}")
        lines += [f"{run.label}: lacks {fault}" for fault in run.faults]
    lines += [f"another journal of this place: --journal {path}" for path in found.others]
    lines += [f"lacks: {text}" for text in found.lacking]
    lines += [f"create again, its runs are there: ablate study create {s}" for s in found.studies]
    points = sum(run.points for run in restored.runs)
    studies = "1 study" if restored.studies == 1 else f"{restored.studies} studies"
    runs = counted(len(restored.runs), "run")
    lines.append(f"{studies}, {runs}, {counted(points, 'point')}")
    is_whole = not (found.lacking or found.studies or any(run.faults for run in restored.runs))
    return lines, is_whole


def audit_lines(audit: Audit) -> list[str]:
    """Return which runs are not what they are called, and what could not be looked at."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for wrong in audit.mislabelled:
        place = f"{wrong.run.study}/{wrong.run.variant}"
        seeds.setdefault((place, _why(wrong.differences)), []).append(wrong.run.seed)
    lines = [
        f"not what it is called: {place} at seed{'' if len(at) == 1 else 's'} "
        f"{listed([str(seed) for seed in at])}: {why}"
        for (place, why), at in seeds.items()
    ]
    if not lines:
        lines = [f"configs: {audit.checked} runs were looked at, each is what it is called"]
    if audit.by_name:
        lines += [f"seeds by their name alone: {_sources(group)}" for group in audit.by_name]
        lines.append("an import into a new study takes runs for seeds on evidence alone")
    return lines + [f"not looked at: {text}" for text in audit.unknown]


def _sources(group: Sequence[Imported]) -> str:
    sources = listed([f"s{each.run.seed} from {each.note.source}" for each in group])
    return f"{group[0].run.study}/{group[0].run.variant}: {sources}"


def _why(differences: tuple[str, ...]) -> str:
    if not differences:
        return "its config is not the one that its identity stands for"
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return "; ".join(differences[:3]) + more
