"""Text that a training script printed: ``step 10 loss 0.3``, ``iter 100: train loss 2.1, lr 1e-3``.

A line counts if it says a step and a value. The step stands behind ``step``, ``iter`` or
``iteration``, else ``epoch``; in ``Epoch: [3][ 10/500]`` it is counted over the epochs. A value is
a name and a number with ``:``, ``=`` or a blank between them. Where no line has both, a line as
``Epoch 3/10`` says the step of those behind it, as Keras prints it. For other lines there is
``--pattern``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ablate.errors import UsageError
from ablate.importers.base import (
    Importer,
    ImportRequest,
    Reading,
    SourceRun,
    ending,
    file_digest,
    has_suffix,
)
from ablate.importers.points import MAX_STEP, Points
from ablate.importers.reading.patience import time_limit
from ablate.importers.reading.rows import number_of, read_each
from ablate.keys import SPLITS

_LONGEST = 2000
"""Characters of a line that a person would have printed; looking through longer ones takes long."""
_PATIENCE_S = 2.0
"""For a typed pattern and one line: a pattern may need longer than anybody waits."""
_DIGITS = 19
"""Of a step."""
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,6}))?")
_NOISE = re.compile(
    r"\b(?:TRACE|DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL)\b|(?<![\w/.-])[\w/.-]+\.py:\d+|['\"{}|]",
    re.I,
)
"""Levels and places that loggers put in front, and what dictionaries and tables are drawn with."""
_COUNT = r"(\d[\d,]*)(?![\d.]*\.\d)"
_OF_EPOCH = re.compile(
    rf"\b(?:epoch|train)\w*[\s:\[]*(\d+)[\s\]]*\[\s*{_COUNT}\s*/\s*{_COUNT}", re.I
)
_STEPS = tuple(
    re.compile(rf"\b(?:{words})\b[\s:=#\[(]*{_COUNT}(?:\s*/\s*{_COUNT})?[\])]?", re.I)
    for words in (
        r"global[ _]?step",
        r"num_updates",
        r"steps?",
        r"iterations?|iters?|it",
        r"epochs?|ep",
    )
)
_EPOCH_ALONE = re.compile(rf"[\W_]*epochs?[\s:#\[(]*{_COUNT}(?:\s*/\s*{_COUNT})?[\W_]*", re.I)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)(?![a-z])"
_WORD = r"[A-Za-z_][\w./@-]*"
_PAIR = re.compile(
    rf"(?P<first>{_WORD} )?(?P<name>{_WORD})(?P<sign>\s*[:=]\s*|\s+)(?P<number>{_NUMBER})"
    r"(?P<unit>[^\s,;()\]]*)",
    re.I,
)


def read(request: ImportRequest) -> Reading:
    """Return a run for each file.

    Raises:
        UsageError: If the pattern cannot be read, or no line of a file has a step and a value.
    """
    if request.pattern is not None:
        _compiled(request.pattern)
    return read_each(request, _read)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of what another Python may read otherwise
            compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"--pattern {pattern}: {error}") from error
    if "step" not in compiled.groupindex or len(compiled.groupindex) < 2:
        raise UsageError(
            f"--pattern {pattern}: it needs a group (?P<step>...) and one for each value",
            hint=r"as in: it (?P<step>\d+) .* loss (?P<loss>\S+)",
        )
    return compiled


def _read(request: ImportRequest, path: Path) -> Reading:
    for lines in (_typed,) if request.pattern else (_found, _below_epochs):
        points = Points(time=path.stat().st_mtime)
        used = 0
        with path.open(encoding="utf-8", errors="replace") as file:
            for step, values, time in lines(request, _short(file, points), points):
                used += 1
                for name, value in values:
                    points.add(name, step, value, time)
        if used:
            break
    else:
        raise UsageError(
            f"{path} has no line with a step and a value",
            hint="say how its lines look with --pattern, a regular expression with named groups",
        )
    points.settle()
    shown = request.relative(path)
    state, reason = ending(points, request.now)
    run = SourceRun(
        source=f"text:{shown}",
        points=points,
        state=state,
        reason=reason,
        place=request.place(path.with_suffix("")),
        folder=path.parent,
        files={shown: file_digest(path)},
    )
    return Reading(
        runs=[run],
        notes=[f"{path}: {used} lines have a step and a value: {', '.join(points.names[:12])}"],
    )


def _short(lines: TextIO, points: Points) -> Iterator[str]:
    """Yield the lines but those that are too long, which are counted."""
    while line := lines.readline(_LONGEST):
        if len(line) < _LONGEST:
            yield line
            continue
        points.counts.skip("line that is too long")
        while line and not line.endswith("\n"):
            line = lines.readline(1 << 20)


_Line = tuple[int, list[tuple[str, float]], float | None]


def _typed(request: ImportRequest, lines: Iterator[str], points: Points) -> Iterator[_Line]:
    """Yield what a pattern finds: the step, and a value for each other group."""
    pattern = _compiled(request.pattern or "")
    for line in lines:
        try:
            with time_limit(_PATIENCE_S):
                found = pattern.search(_ANSI.sub("", line))
        except TimeoutError as error:
            raise UsageError(
                f"--pattern {request.pattern}: it needs more than {_PATIENCE_S:g} s for one line",
                hint=f"write it without repeats within repeats, as (a+)+; the line: {line[:80]!r}",
            ) from error
        if found is None:
            continue
        groups = {name: text for name, text in found.groupdict().items() if text is not None}
        step = groups.pop("step", "").replace(",", "")
        values = [(name, v) for name, text in groups.items() if (v := _value(text)) is not None]
        if len(values) < len(groups):
            points.counts.skip("not a number", len(groups) - len(values))
        if step.isdecimal() and values:
            yield _whole(step), values, None


def _value(text: str) -> float | None:
    return number_of(text) if re.fullmatch(_NUMBER, text, re.I) else None


def _found(request: ImportRequest, lines: Iterator[str], points: Points) -> Iterator[_Line]:
    """Yield what lines say in one of the usual ways."""
    base: int | None = None
    for line in lines:
        text, moment = _without_head(line)
        if found := _OF_EPOCH.search(text):
            epoch, size = _whole(found[1]), _whole(found[3])
            base = epoch if base is None else base
            step = (epoch - base) * size + _whole(found[2])
        elif found := next((f for steps in _STEPS if (f := steps.search(text))), None):
            step = _whole(found[1])
        else:
            continue
        rest = f"{text[: found.start()]} ; {text[found.end() :]}"
        if values := list(_values(rest, points)):
            yield step, values, moment


def _below_epochs(request: ImportRequest, lines: Iterator[str], points: Points) -> Iterator[_Line]:
    """Yield what lines say behind one that says the epoch alone."""
    epoch: int | None = None
    for line in lines:
        text, moment = _without_head(line)
        if found := _EPOCH_ALONE.fullmatch(text):
            epoch = _whole(found[1])
        elif epoch is not None and (values := list(_values(text, points))):
            yield epoch, values, moment


def _without_head(line: str) -> tuple[str, float | None]:
    """Return a line without its colours and what a logger put in front, and the time it says."""
    text = _ANSI.sub("", line)
    return _NOISE.sub(" ", _MOMENT.sub(" ", text)), _time(_MOMENT.search(text))


def _whole(text: str) -> int:
    """Return a step; one of too many digits is too large for one, whatever it is."""
    digits = text.replace(",", "")
    return int(digits) if len(digits) <= _DIGITS else MAX_STEP + 1


def _time(moment: re.Match[str] | None) -> float | None:
    if moment is None:
        return None
    text = f"{moment[1]}T{moment[2]}.{(moment[3] or '0').ljust(6, '0')}"
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _values(text: str, points: Points) -> Iterator[tuple[str, float]]:
    for found in _PAIR.finditer(text):
        unit = found["unit"]
        if unit.startswith("/"):
            continue  # how far it is, as 10/500
        if unit not in ("", "%"):
            points.counts.skip("a number with a unit")
            continue
        first = (found["first"] or "").strip()
        is_split = first.lower() in SPLITS
        if is_split or (first and found["sign"].strip()):
            name = f"{first}_{found['name']}"
        else:
            name = found["name"]
        number = number_of(found["number"])
        if number is None:
            points.counts.skip("not a number")
        else:
            yield name, number


IMPORTER = Importer(read, "*.log, *.txt, *.out", has_suffix(".log", ".txt", ".out"))
