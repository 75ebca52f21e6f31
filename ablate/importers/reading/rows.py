"""Rows with named columns (CSV, JSONL, an export of ``scan_history``) as runs.

Wide rows have a column for each metric; long ones have a column with the metric's name and one with
its value. Columns that are not metrics are known by name, or by ``--map COLUMN=ROLE``. Columns of
the role ``config`` tell runs apart where no name does; where there are no steps each row is a run.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ablate.domain import POINT_COLUMNS, AttemptState, Json, Kind, RunState
from ablate.errors import UsageError
from ablate.importers.base import (
    ImportRequest,
    Reading,
    SourceRun,
    ending,
    file_digest,
    storable,
    unfinished,
)
from ablate.importers.names import CONFIG
from ablate.importers.points import REPLACED, Points
from ablate.planning.configs import whole_seed
from ablate.text import from_csv_text

_ALIASES: dict[str, tuple[str, ...]] = {
    "step": (
        *("step", "_step", "global_step", "train_step", "total_steps"),
        *("total_timesteps", "total timesteps", "num_timesteps", "timesteps_total", "timesteps"),
        *("iteration", "iter", "itr", "epoch"),
    ),
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
_OWN = frozenset(POINT_COLUMNS)
"""Columns of our own export."""
_NO_ROW = "no row"
_FIRST_MOMENT = 1e8
"""Unix seconds of 1973: what is smaller is no time at which anything was logged."""
_LISTED = 3
_ONLY_STEP = 1
"""Of a table without steps; step 0 is that of an untrained model."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf|infinity)", re.I)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")


_MOST_LEVELS = 50
"""Different texts of a column that may be levels of something; more are names or remarks."""


class RowReader:
    """Turns rows into runs.

    Args:
        request: What is read.
        kind: Of the source: ``csv``, ``jsonl``; the first part of every run's source id.
        path: The file; its time stands in where a row says none.
        columns: Those that may be there; for rows without a header, those of the first.
    """

    def __init__(
        self, request: ImportRequest, kind: str, path: Path, columns: Iterable[str]
    ) -> None:
        self._request = request
        self._kind = kind
        self._path = path
        self._time = path.stat().st_mtime
        self._points: dict[str, Points] = {}
        self._cells: dict[str, dict[str, str]] = {}
        self._configs: dict[str, dict[str, Json]] = {}
        self._rows: Counter[tuple[str, str]] = Counter()
        self._states: dict[str, str] = {}
        self._texts: dict[str, set[str]] = {}
        self.reading = Reading()
        self.take_header(columns)

    def take_header(self, columns: Iterable[str]) -> None:
        """Read the rows that follow under these names.

        Raises:
            UsageError: If a typed column is not there, one is there twice, or there are no steps.
        """
        columns = list(columns)
        self._is_own = set(columns) >= _OWN
        self._roles = _roles(columns, self._request.roles, str(self._path))
        self._of_role = {role: column for column, role in self._roles.items()}
        self._in_config = [column for column in columns if self._roles.get(column) == CONFIG]

    def is_header(self, cells: Sequence[str]) -> bool:
        """Whether a row names columns, as where a writer that was started again wrote its own."""
        names = [cell.strip() for cell in cells if cell.strip()]
        steps = {self._of_role.get("step", "").lower(), *_ALIASES["step"]}
        has_step = any(name.lower() in steps for name in names)
        return has_step and not any(_NUMBER.fullmatch(name) for name in names)

    def take(self, row: Mapping[str, Any]) -> None:
        """Take a row: one value if it is long, one for each metric if it is wide."""
        step = whole_step(self._cell(row, "step")) if "step" in self._of_role else _ONLY_STEP
        points = self._points_of(row)
        moment = self._cell(row, "time")
        is_duration = self._is_duration(moment)
        time = None if is_duration else time_of(moment)
        if "key" in self._of_role:
            pairs = [(self._name(row, "key"), self._restored(row))]
        else:
            pairs = [(name, v) for name, v in row.items() if self._is_metric(name)]
            pairs += [(self._of_role["time"], moment)] if is_duration else []
        for name, value in pairs:
            number = number_of(value)
            if value is None or value == "":
                points.counts.skip("empty")
            elif number is None:
                has_comma = _DECIMAL_COMMA.fullmatch(str(value).strip())
                self._note_text(name, str(value).strip())
                points.counts.skip("with a decimal comma" if has_comma else "not a number")
            elif step is None:
                points.counts.skip("without a step that is a whole number")
            else:
                points.add(name, step, number, time)

    def _note_text(self, column: str, value: str) -> None:
        seen = self._texts.setdefault(column, set())
        if len(seen) <= _MOST_LEVELS:
            seen.add(value)

    def _merged(self) -> Iterator[str]:
        """Yield which columns of text may tell rows apart that were taken for one run."""
        if not any(points.counts.skipped[REPLACED] for points in self._points.values()):
            return
        for column, seen in self._texts.items():
            if 1 < len(seen) <= _MOST_LEVELS:
                yield (
                    f"{self._path.name}: several rows of one run have the same step, and the "
                    f"column '{column}' holds {len(seen)} different texts; if it says what was "
                    f"varied, import with --map {column}=config"
                )

    def _cell(self, row: Mapping[str, Any], role: str) -> Any:
        column = self._of_role.get(role)
        return None if column is None else row.get(column)

    def _name(self, row: Mapping[str, Any], role: str) -> str:
        text = _text(self._cell(row, role))
        return from_csv_text(text) if self._is_own and self._kind == "csv" else text

    def _is_duration(self, moment: Any) -> bool:
        """Whether a column ``time`` holds seconds that a step took, as MMCV writes it."""
        column = self._of_role.get("time", "")
        number = number_of(moment) if column.lower() == "time" else None
        is_typed = column in self._request.roles
        return number is not None and number < _FIRST_MOMENT and not is_typed and not self._is_own

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
        cells = {r: storable(self._name(row, r)) for r in ("run", "variant", "seed")}
        config = {column: _setting(row.get(column)) for column in self._in_config}
        if config and not (cells["run"] or cells["variant"]):
            cells["variant"] = ",".join(f"{column}={_text(row.get(column))}" for column in config)
        if "step" not in self._of_role and not cells["seed"]:  # rows of one name are repeats
            self._rows[cells["run"], cells["variant"]] += 1
            cells["seed"] = str(self._rows[cells["run"], cells["variant"]] - 1)
        part = "#".join(text.replace("#", "##") for text in cells.values() if text)
        if part not in self._points:
            self._points[part] = Points(time=self._time)
            self._cells[part], self._configs[part] = cells, config
        self._refuse_change(part, config)
        if self._is_own:
            self._states[part] = _text(row.get("state"))
        return self._points[part]

    def _refuse_change(self, part: str, config: Mapping[str, Json]) -> None:
        """Refuse a row whose config is not that of the rows of its run before it."""
        for column, value in config.items():
            if value != self._configs[part][column]:
                raise UsageError(
                    f"{self._path}: {column} is {self._configs[part][column]} and {value} in one "
                    f"run, {part}",
                    hint=f"a config does not change; leave out --map {column}={CONFIG}, or give "
                    "each run a name of its own",
                )

    def finish(self) -> Reading:
        """Return the runs."""
        if not self._points:
            self._points_of({})
            self._states[""] = _NO_ROW
        shown = self._request.relative(self._path)
        digest = file_digest(self._path)
        for part, points in self._points.items():
            points.settle()
            cells = self._cells[part]
            state, reason = self._ending(part, points)
            self.reading.runs.append(
                SourceRun(
                    source="#".join(filter(None, [f"{self._kind}:{shown}", part])),
                    title=cells["variant"] or cells["run"],
                    said_seed=whole_seed(cells["seed"]),
                    says_variant=bool(cells["variant"]),
                    config=self._configs[part],
                    points=points,
                    state=state,
                    reason=reason,
                    place=self._request.place(self._path.with_suffix("")),
                    folder=self._path.parent,
                    files={shown: digest},
                    part=part,
                )
            )
        self.reading.notes += self._merged()
        return self.reading

    def _ending(self, part: str, points: Points) -> tuple[AttemptState, str | None]:
        """Return how a run ended; our own export says it in a column."""
        state = self._states.get(part, "")
        if state == _NO_ROW:
            return AttemptState.FAILED, "its file has a header and no row"
        if state in ("queued", "running"):
            return unfinished(points, self._request.now)
        if state in (each.value for each in RunState):
            return AttemptState(state), None
        return ending(points, self._request.now)


def empty_run(request: ImportRequest, kind: str, path: Path) -> SourceRun:
    """Return the run of a file with no byte, which a process left that ended before it logged."""
    shown = request.relative(path)
    return SourceRun(
        source=f"{kind}:{shown}",
        points=Points(time=path.stat().st_mtime),
        state=AttemptState.FAILED,
        reason="its file is empty",
        place=request.place(path.with_suffix("")),
        folder=path.parent,
        files={shown: file_digest(path)},
    )


def read_each(request: ImportRequest, read: Callable[[ImportRequest, Path], Reading]) -> Reading:
    """Return what is in the files; below a folder, those that are no logs are left out and told.

    Raises:
        UsageError: For a file that was typed, or if no file of a folder can be read.
    """
    whole = Reading()
    refused: list[UsageError] = []
    for path in request.files:
        try:
            whole.add(read(request, path))
        except UsageError as error:
            refused.append(error)
        except OSError as error:  # it vanished meanwhile, or may not be read
            refused.append(UsageError(f"{path} cannot be read: {error.strerror}"))
    if refused and (len(refused) == len(request.files) or request.root.is_file()):
        raise refused[0]
    whole.notes = _shortened(whole.notes, "such files were read")
    whole.notes += _shortened(
        [f"left out: {error.message}" for error in refused], "files were left out, for such reasons"
    )
    return whole


def _shortened(notes: Sequence[str], rest: str) -> list[str]:
    """Return the first notes of one kind, and how many more there are."""
    more = len(notes) - _LISTED
    return [*notes[:_LISTED], *([f"{more} more {rest}"] if more > 0 else [])]


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
    last = {name.rpartition("/")[2]: column for name, column in lower.items()}
    if not any(name in lower for name in _ALIASES["step"]):  # `time/total_timesteps`
        lower |= {name: last[name] for name in _ALIASES["step"] if name in last}
    for role, names in _ALIASES.items():
        found = next((lower[n] for n in names if n in lower and lower[n] not in roles), None)
        if role not in roles.values() and found is not None:
            roles[found] = role
    has_key = {"key", "value"} <= set(roles.values())
    if not has_key:  # a column `value` alone is a metric, as in TensorBoard's own CSV files
        roles = {c: r for c, r in roles.items() if r not in ("key", "value", "kind")}
    if "step" not in roles.values() and CONFIG not in roles.values():
        raise UsageError(
            f"{where}: there is no column of steps",
            hint="name it with --map COLUMN=step; columns: " + ", ".join(columns[:20]),
        )
    return roles


def _setting(value: Any) -> Json:
    """Return a cell as a config holds it: a number, a truth value or a text."""
    text = storable(_text(value))
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    number = number_of(text)
    if number is None or not math.isfinite(number):
        return text or None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def number_of(value: Any) -> float | None:
    """Return a value as a float, None for what is none; one beyond all floats is none either."""
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    text = str(value).strip()
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return None if math.isinf(number) and "inf" not in text.lower() else number


def whole_step(value: Any) -> int | None:
    """Return a step; None for what is no whole number, or has more digits than any step."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    text = str(value).strip()
    if re.fullmatch(r"[-+]?\d{1,20}", text):
        return int(text)
    number = number_of(value)
    is_whole = number is not None and math.isfinite(number) and number.is_integer()
    return int(number) if is_whole and number is not None else None


def time_of(value: Any) -> float | None:
    """Return Unix seconds for those, or for ISO 8601; without a zone it is UTC."""
    if value is None or value == "":
        return None
    number = number_of(value)
    if number is not None:
        return number if math.isfinite(number) else None
    try:
        moment = datetime.fromisoformat(str(value).strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
