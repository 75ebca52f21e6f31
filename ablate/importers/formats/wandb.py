"""W&B: the offline file ``run-*.wandb``, or an export of ``scan_history`` as JSON lines.

Metrics as they were logged, not the 500 samples that ``history`` gives.

Source: LevelDB's log format (blocks of 32 KiB, records in fragments), which W&B writes with CRC-32
of zlib and a header of its own, and ``wandb_internal.proto``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablate.domain import AttemptState
from ablate.errors import UsageError
from ablate.importers.base import (
    Importer,
    ImportRequest,
    Reading,
    SourceRun,
    file_digest,
    has_suffix,
    plain_config,
    unfinished,
)
from ablate.importers.formats import jsonl
from ablate.importers.formats.jsonl import flat
from ablate.importers.points import Counts, Points
from ablate.importers.reading.protobuf import Malformed, fields, message_of, signed, text_of
from ablate.importers.reading.rows import number_of, read_each, whole_step
from ablate.planning.study_file.bounded import plain_json

HEADER = b":W&B" + (0xBEE1).to_bytes(2, "little") + b"\0"
BLOCK = 32768
_HEAD = 7
_WORDS = ("NaN", "Infinity", "-Infinity")
"""Numbers that JSON lacks."""
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read(request: ImportRequest) -> Reading:
    """Return the run of each ``.wandb`` file; any other file is read as JSON lines.

    Raises:
        UsageError: If a file is neither.
    """
    if not all(path.suffix == ".wandb" for path in request.files):
        return jsonl.read(request, kind="wandb")
    return read_each(request, lambda request, path: Reading(runs=[_Offline(request, path).run()]))


class _Offline:
    """One file, record by record."""

    def __init__(self, request: ImportRequest, path: Path) -> None:
        self._request = request
        self._path = path
        self._points = Points(time=path.stat().st_mtime)
        self._config: dict[str, Any] = {}
        self._texts: dict[int, str] = {}
        self._exit: int | None = None

    def run(self) -> SourceRun:
        """Return the run of the file."""
        for record in records(self._path, self._points.counts):
            try:
                for number, value in fields(record):
                    self._take(number, value)
            except Malformed:
                self._points.counts.skip("record that cannot be read")
        self._points.settle()
        state, reason = self._ending()
        # run_id, entity, project, display_name of a RunRecord
        ids = [self._texts[n] for n in (2, 3, 1) if self._texts.get(n)]
        config = plain_config({k: v for k, v in self._config.items() if k != "_wandb"})
        shown = self._request.relative(self._path)
        return SourceRun(
            source="wandb:" + ("/".join(ids) or shown),
            title=self._texts.get(8) or self._texts.get(1) or "",
            points=self._points,
            config=config,
            state=state,
            reason=reason,
            place=self._request.place(self._path.with_suffix("")),
            folder=self._path.parent,
            files={shown: file_digest(self._path)},
        )

    def _ending(self) -> tuple[AttemptState, str | None]:
        if self._exit is None:
            return unfinished(self._points, self._request.now)
        if self._exit:
            return AttemptState.FAILED, f"its process ended with code {self._exit}"
        return AttemptState.SUCCEEDED, None

    def _take(self, number: int, value: Any) -> None:
        if number == 2:
            self._take_history(message_of(value))
        elif number == 5:
            self._take_config(message_of(value))
        elif number == 17:
            for field, inner in fields(message_of(value)):
                if field in (1, 2, 3, 8):
                    self._texts[field] = text_of(inner)
                elif field == 4:
                    self._take_config(message_of(inner))
        elif number == 18:
            self._exit = signed(dict(fields(message_of(value))).get(1, 0))

    def _take_history(self, message: bytes) -> None:
        row: dict[str, Any] = {}
        step = 0
        for number, value in fields(message):
            if number == 1:
                key, content = _item(message_of(value))
                row[key] = content
            elif number == 2:
                step = signed(dict(fields(message_of(value))).get(1, 0))
        step, time = whole_step(row.get("_step", step)), number_of(row.get("_timestamp"))
        for name, value in flat({k: v for k, v in row.items() if not k.startswith("_")}):
            self._take_value(name, value, step, time)

    def _take_value(self, name: str, value: Any, step: int | None, time: float | None) -> None:
        is_number = isinstance(value, bool | int | float)
        number = number_of(value) if is_number or value in _WORDS else None
        if number is None:
            self._points.counts.skip("not a number")
        elif step is None:
            self._points.counts.skip("without a step that is a whole number")
        else:
            self._points.add(name, step, number, time)

    def _take_config(self, message: bytes) -> None:
        for number, value in fields(message):
            if number == 1:
                key, content = _item(message_of(value))
                self._config[key] = content
            elif number == 2:
                self._config.pop(_item(message_of(value))[0], None)


def _item(message: bytes) -> tuple[str, Any]:
    """Return name and value; nested names are joined by slashes."""
    parts: list[str] = []
    content = "null"
    for number, value in fields(message):
        if number in (1, 2):
            parts.append(text_of(value))
        elif number == 16:
            content = text_of(value)
    try:
        return "/".join(part for part in parts if part), plain_json(content)
    except ValueError as error:
        raise Malformed(str(error)) from error


def records(path: Path, counts: Counts) -> Iterator[bytes]:
    """Yield the good records of a file; what is cut or damaged at the end is counted.

    Raises:
        UsageError: If it is no such file.
    """
    with path.open("rb") as file:
        head = file.read(len(HEADER))
        if len(head) < len(HEADER) and HEADER.startswith(head):
            return  # its process ended before it wrote anything
        if head != HEADER:
            raise UsageError(f"{path} is no W&B file", hint="its first bytes are not :W&B")
        parts: list[bytes] = []
        at = len(HEADER)
        while True:
            room = BLOCK - at % BLOCK
            if room < _HEAD:
                at += len(file.read(room))
                continue
            head = file.read(_HEAD)
            if not head:
                break
            size = int.from_bytes(head[4:6], "little")
            data = file.read(size)
            is_good = zlib.crc32(head[6:7] + data) == int.from_bytes(head[:4], "little")
            if len(data) < size or not is_good:
                parts = []
                counts.skip("cut or damaged: the rest of the file cannot be read")
                break
            at += _HEAD + size
            if head[6] in (FULL, FIRST):
                parts = []
            parts.append(data)
            if head[6] in (FULL, LAST):
                yield b"".join(parts)
                parts = []
        if parts:
            counts.skip("cut or damaged: the rest of the file cannot be read")


IMPORTER = Importer(read, "*.wandb", has_suffix(".wandb"))
