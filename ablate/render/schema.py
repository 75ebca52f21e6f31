"""The state of a database as sentences."""

from __future__ import annotations

from ablate.auditing import Audit
from ablate.store.migrate import SchemaStatus

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
    wrong = [f"{m.run.study}/{m.run.label}: " + _why(m.differences) for m in audit.mislabelled]
    lines = _findings("not what it is called", tuple(wrong))
    if not wrong:
        lines.append(f"configs: {audit.checked} runs were looked at, each is what it is called")
    return lines + [f"not looked at: {text}" for text in audit.unknown]


def _why(differences: tuple[str, ...]) -> str:
    if not differences:
        return "its config is not the one that its identity stands for"
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return "; ".join(differences[:3]) + more
