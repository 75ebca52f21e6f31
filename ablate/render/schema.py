"""The state of a database as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.auditing import Audit
from ablate.imported import Imported
from ablate.store.migrate import SchemaStatus
from ablate.text import listed

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
