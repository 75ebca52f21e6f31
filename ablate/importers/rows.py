"""Rows with named columns (CSV, JSONL, an export of ``scan_history``) as runs.

Wide rows have a column for each metric; long ones have a column with the metric's name and one with
its value. Columns that are not metrics are known by name, or by ``--map COLUMN=ROLE``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ablate.domain import Kind
from ablate.errors import UsageError
from ablate.importers.base import Points, Reading, Request, SourceRun

_ALIASES: dict[str, tuple[str, ...]] = {
    "step": ("step", "_step", "global_step", "iteration", "iter", "epoch"),
    "time": ("time", "_timestamp", "timestamp", "wall_time", "wall time"),
    "run": ("run", "run_id"),
    "variant": ("variant",),
    "seed": ("seed",),
    "key": ("key", "metric", "tag"),
    "value": ("value",),
    "kind": ("kind",),
}
"""Role -> names of columns, the likeliest first; without regard to case."""
_IGNORED = frozenset({"study"})
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf|infinity)", re.I)
_MAX_SEED = 2**31


class RowReader:
    """Turns rows into runs.

    Args:
        request: What is read, under which names.
        kind: Of the source: ``csv``, ``jsonl``; the first part of every run's source id.
        columns: Those that may be there; for rows without a header, those of the first.
        time: Stands in where a row says none.
    """

    def __init__(self, request: Request, kind: str, columns: Iterable[str], *, time: float) -> None:
        self._request = request
        self._kind = kind
        self._time = time
        self._points: dict[tuple[str, ...], Points] = {}
        self.reading = Reading()
        self.take_header(columns)

    def take_header(self, columns: Iterable[str]) -> None:
        """Read the rows that follow under these names.

        Raises:
            UsageError: If a typed column is not there, one is there twice, or there are no steps.
        """
        typed = self._request.names.roles
        self._roles = _roles(list(columns), typed, self._request.source)
        self._of_role = {role: column for column, role in self._roles.items()}

    def is_header(self, cells: Sequence[str]) -> bool:
        """Whether a row names columns, as where a writer that was started again wrote its own."""
        names = [cell.strip() for cell in cells if cell.strip()]
        steps = {self._of_role["step"].lower(), *_ALIASES["step"]}
        has_step = any(name.lower() in steps for name in names)
        return has_step and not any(_NUMBER.fullmatch(name) for name in names)

    def take(self, row: Mapping[str, Any]) -> None:
        """Take a row: one value if it is long, one for each metric if it is wide."""
        step = _step(self._cell(row, "step"))
        points = self._points_of(row)
        time = _time(self._cell(row, "time"))
        if "key" in self._of_role:
            pairs = [(_text(self._cell(row, "key")), self._restored(row))]
        else:
            pairs = [(name, v) for name, v in row.items() if self._is_metric(name)]
        for name, value in pairs:
            number = _number(value)
            if value is None or value == "":
                points.counts.skip("empty")
            elif number is None:
                points.counts.skip("not a number")
            elif step is None:
                points.counts.skip("without a step that is a whole number")
            else:
                points.add(name, step, number, time)

    def _cell(self, row: Mapping[str, Any], role: str) -> Any:
        column = self._of_role.get(role)
        return None if column is None else row.get(column)

    def _restored(self, row: Mapping[str, Any]) -> Any:
        """Return a long row's value; ``kind`` says which number an empty one stands for."""
        value, kind = self._cell(row, "value"), self._cell(row, "kind")
        if value in (None, "") and kind in {"nan", "+inf", "-inf"}:
            return Kind(kind).restore(None)
        return value

    def _is_metric(self, name: str) -> bool:
        is_own = name.startswith("_") and "step" in self._of_role  # W&B's _runtime and the like
        return (
            bool(name) and name not in self._roles and name.lower() not in _IGNORED and not is_own
        )

    def _points_of(self, row: Mapping[str, Any]) -> Points:
        """Return where a row's values go: by run, variant and seed, as far as it has them."""
        place = tuple(_text(self._cell(row, role)) for role in ("run", "variant", "seed"))
        if place not in self._points:
            self._points[place] = Points(self._request.names, time=self._time)
        return self._points[place]

    def finish(self, name: str) -> Reading:
        """Return the runs.

        Args:
            name: Of a run that the rows do not name.
        """
        where = f"{self._kind}:{self._request.relative(self._request.source)}"
        for (run, variant, seed), points in self._points.items():
            points.settle()
            place = "#".join(part for part in (where, run, variant, seed) if part)
            self.reading.runs.append(
                SourceRun(
                    source=place,
                    name=variant or run or name,
                    seed=_seed(seed),
                    points=points,
                )
            )
        return self.reading


def _roles(columns: list[str], typed: Mapping[str, str], where: str) -> dict[str, str]:
    """Return column -> role.

    Raises:
        UsageError: If a typed column is not there, or there is no column of steps.
    """
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise UsageError(
            f"{where}: the column '{twice[0]}' is there {columns.count(twice[0])} times",
            hint="give each column a name of its own in the header",
        )
    roles = {}
    for column, role in typed.items():
        if column not in columns:
            raise UsageError(
                f"--map {column}={role}: there is no such column",
                hint="columns: " + ", ".join(columns[:20]),
            )
        roles[column] = role
    lower = {column.lower(): column for column in reversed(columns)}
    for role, names in _ALIASES.items():
        found = next((lower[n] for n in names if n in lower and lower[n] not in roles), None)
        if role not in roles.values() and found is not None:
            roles[found] = role
    has_key = {"key", "value"} <= set(roles.values())
    if not has_key:  # a column `value` alone is a metric, as in TensorBoard's own CSV files
        roles = {c: r for c, r in roles.items() if r not in ("key", "value", "kind")}
    if "step" not in roles.values():
        raise UsageError(
            f"{where}: there is no column of steps",
            hint="name it with --map COLUMN=step; columns: " + ", ".join(columns[:20]),
        )
    return roles


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _number(value: Any) -> float | None:
    """Return a cell as a float, None for what is none."""
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    text = str(value).strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _step(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    number = _number(value)
    is_whole = number is not None and math.isfinite(number) and number.is_integer()
    return int(number) if is_whole and number is not None else None


def _time(value: Any) -> float | None:
    """Return Unix seconds for those, or for ISO 8601; without a zone it is UTC."""
    if value is None or value == "":
        return None
    number = _number(value)
    if number is not None:
        return number if math.isfinite(number) else None
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _seed(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,10}", text) and int(text) < _MAX_SEED else None
