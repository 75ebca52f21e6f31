"""The spool: an append-only file for each attempt, which survives SIGKILL of every process.

Each call of a writer is one ``write`` of whole frames: what returned is in the kernel's hands. The
first byte of a frame says what it holds. Keys are spelled once, in a layout frame that goes out in
the same ``write`` as the first points that use it. A tail that is not a whole frame is not there
yet; the next writer cuts it off.

This module knows nothing of SQL: the training process imports it.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from ablate.domain import AttemptState, Checkpoint, Event
from ablate.errors import StoreError
from ablate.files import force_to_disk
from ablate.provenance import Code
from ablate.spool.batch import Ending, SpoolBatch, StepValues
from ablate.spool.frames import (
    HEADER_BYTES,
    Frame,
    framed,
    header,
    read_attempt_id,
    read_frames,
    unavailable,
)
from ablate.storable import from_json, name_fault, to_json

_UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, RecursionError, struct.error)
"""What comes of a record that is not as we write it."""
MAX_LAYOUTS = 4096
"""How many sets of keys have a number at one time; then numbers are given anew from 0."""

_POINTS, _LAYOUT, _EVENT, _CHECKPOINT, _STARTED, _ENDED, _CODE, _PRUNED = range(1, 9)
_NUMBER = struct.Struct("<BH")


class _Layout:
    """A set of keys in one order, and how the points of one step of them are packed."""

    __slots__ = ("frame", "keys", "number")

    def __init__(self, number: int, keys: tuple[str, ...]) -> None:
        self.number = number
        self.keys = keys
        self.frame = struct.Struct(f"<BHqd{len(keys)}d")

    def definition(self) -> bytes:
        return framed(_NUMBER.pack(_LAYOUT, self.number) + to_json(self.keys).encode())


class SpoolWriter:
    """Appends to the spool of one attempt. One writer at a time; not for several threads.

    Opening a file that exists cuts off a torn tail. `checkpoint` and `ended` are forced to the
    disk; for the rest a power cut may cost what was written since the last `sync`.

    Args:
        path: The file; its folder must exist.
        attempt_id: Whose spool it is.

    Raises:
        StoreError: If the file belongs to another attempt or is damaged.
        StoreUnavailableError: If it cannot be opened or written; every method raises it too.
            What was acknowledged before stays, and the call can be repeated.
    """

    def __init__(self, path: Path, *, attempt_id: int) -> None:
        self._path = path
        self._layouts: dict[tuple[str, ...], _Layout] = {}
        """Those that are in the file."""
        self._keys: tuple[str, ...] | None = None
        self._layout = _Layout(0, ())
        self._definition = b""
        self._end = HEADER_BYTES
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            self._fail(error)
        try:
            self._recover(attempt_id)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    def points(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """Append the values of one step.

        Args:
            step: From 0.
            time: Unix seconds.
            values: Metric key -> anything that ``float`` takes without parsing text.

        Raises:
            TypeError: If a value is not a number; it names the key.
            ValueError: If the step is out of range, or a key cannot be stored.
        """
        keys = tuple(values)
        if keys != self._keys:
            self._use(keys)
        layout = self._layout
        try:
            payload = layout.frame.pack(_POINTS, layout.number, step, time, *values.values())
        except (struct.error, OverflowError, TypeError) as error:
            _refuse(step, values, error)
        if step < 0:
            _refuse(step, values, None)
        frame = framed(payload)
        if not self._definition:
            self._write(frame)
        else:
            self._write(self._definition + frame)
            self._layouts[keys], self._definition = layout, b""

    def event(self, event: Event) -> None:
        """Append an event."""
        fault = name_fault(event.name)
        if fault:
            raise ValueError(f"event name {event.name!a} {fault}")
        record = {"name": event.name, "step": event.step, "data": event.data, "time": event.time}
        self._record(_EVENT, record)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Append that a checkpoint was written and verified, and force the file to the disk."""
        self._record(_CHECKPOINT, asdict(checkpoint))
        self.sync()

    def pruned(self, paths: Sequence[str]) -> None:
        """Append that checkpoints were deleted, those of earlier attempts too."""
        self._record(_PRUNED, {"paths": list(paths)})

    def started(
        self, start_step: int | None, inexact: str | None, first_step: int | None = None
    ) -> None:
        """Append from where the attempt trains; this comes before its first point.

        Args:
            start_step: The step of the checkpoint resumed from, None for the beginning.
            inexact: Why the resume is not exact, None when it is.
            first_step: From where its points count; None for behind ``start_step``.
        """
        record = {"start_step": start_step, "inexact": inexact, "first_step": first_step}
        self._record(_STARTED, record)

    def code(self, code: Code) -> None:
        """Append what the attempt is trained by; the latest counts."""
        self._record(_CODE, code.to_json())

    def ended(self, ending: Ending) -> None:
        """Append how the attempt ended, and force the file to the disk."""
        self._record(_ENDED, asdict(ending))
        self.sync()

    def sync(self) -> None:
        """Force what was written to the disk: it then survives a power cut."""
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Force what was written to the disk and close the file; a second call does nothing."""
        if self._file >= 0:
            file, self._file = self._file, -1
            try:
                os.fdatasync(file)
            except OSError as error:
                self._fail(error)
            finally:
                os.close(file)

    def _use(self, keys: tuple[str, ...]) -> None:
        layout, self._definition = self._layouts.get(keys), b""
        if layout is None:
            _check_keys(keys)
            if len(self._layouts) == MAX_LAYOUTS:
                self._layouts.clear()
            layout = _Layout(len(self._layouts), keys)
            self._definition = layout.definition()
        self._layout, self._keys = layout, keys

    def _record(self, kind: int, value: Mapping[str, object]) -> None:
        self._write(framed(bytes((kind,)) + to_json(value).encode()))

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._file, data)
            while written < len(data):  # the disk is full: the next write says so, or goes on
                written += os.write(self._file, data[written:])
            self._end += written
        except BaseException as error:
            self._undo()
            if isinstance(error, OSError):
                self._fail(error)
            raise

    def _undo(self) -> None:
        """Cut off what was half written, so that the call can be repeated."""
        self._layouts.clear()
        self._keys = None
        with suppress(OSError):
            self._cut_tail()

    def _cut_tail(self) -> None:
        for frame in read_frames(self._file, self._path, self._end):
            self._end = frame.end
        os.ftruncate(self._file, self._end)

    def _recover(self, attempt_id: int) -> None:
        """Find where to go on writing: after the last whole frame, or after a new header."""
        try:
            found = read_attempt_id(self._file, self._path)
            if found is None:
                os.ftruncate(self._file, 0)
                os.write(self._file, header(attempt_id))
                force_to_disk(self._path.parent)
            elif found != attempt_id:
                raise StoreError(f"spool {self._path} is of attempt {found}, not {attempt_id}")
            self._cut_tail()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> NoReturn:
        unavailable(self._path, "written", error)


def _check_keys(keys: tuple[str, ...]) -> None:
    for key in keys:
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - trainers
            raise TypeError(f"metric key {key!r} is not a string")
        fault = name_fault(key)
        if fault:
            raise ValueError(f"metric key {key[:60]!a} {fault}")


def _refuse(step: int, values: Mapping[str, float], error: Exception | None) -> NoReturn:
    """Say which part of a step cannot be packed."""
    for key, value in values.items():
        try:
            math.isfinite(value)
        except TypeError as fault:
            raise TypeError(f"value {value!r} of metric {key!r} is not a number") from fault
        except OverflowError as fault:
            raise ValueError(f"value of metric {key!r} is too large for a float") from fault
    raise ValueError(f"step {step!r} is not an integer in [0, 2**63)") from error


@dataclass(slots=True)
class _Content:
    """What the frames of a batch say, as it is gathered."""

    logs: list[StepValues] = field(default_factory=list[StepValues])
    events: list[Event] = field(default_factory=list[Event])
    checkpoints: list[Checkpoint] = field(default_factory=list[Checkpoint])
    pruned: list[str] = field(default_factory=list[str])
    started: dict[str, Any] | None = None
    code: Code | None = None
    ending: Ending | None = None
    n_points: int = 0

    def batch(self, start_offset: int, end_offset: int) -> SpoolBatch:
        started = self.started or {}
        return SpoolBatch(
            start_offset=start_offset,
            end_offset=end_offset,
            logs=tuple(self.logs),
            events=tuple(self.events),
            checkpoints=tuple(self.checkpoints),
            pruned=tuple(self.pruned),
            has_started=self.started is not None,
            start_step=started.get("start_step"),
            first_step=started.get("first_step"),
            inexact=started.get("inexact"),
            code=self.code,
            ending=self.ending,
        )


class SpoolReader:
    """Reads the spool of one attempt, also while it is written and before it exists.

    Args:
        path: The file.
        offset: Where to start: 0, or the ``end_offset`` of an earlier batch.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._file = -1
        self._layouts: dict[int, _Layout] = {}
        self._next = offset
        self._known = 0
        """Up to here the layouts were read; less than `_next` after a start in the middle."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def offset(self) -> int:
        """Where the next batch starts, in bytes."""
        return self._next

    def seek(self, offset: int) -> None:
        """Make the next batch start at ``offset``: 0, or the end of an earlier batch."""
        if offset != self._next:
            self._next, self._known = offset, 0
            self._layouts.clear()

    def attempt_id(self) -> int | None:
        """Return whose spool it is, or None when it does not exist yet."""
        return read_attempt_id(self._file, self._path) if self._open() else None

    def read(self, max_points: int = 50_000, *, until: int | None = None) -> SpoolBatch:
        """Return the next whole frames; an empty batch when there are none yet.

        Frames before a damaged one are returned first, then the damage is raised.

        Args:
            max_points: After so many the batch ends, at the end of a frame.
            until: Where it ends at the latest, in bytes; None for the file's end.

        Raises:
            StoreError: If the file is damaged, or the offset is no frame's end.
            StoreUnavailableError: If the file cannot be read.
        """
        start = self._next
        content = _Content()
        try:
            if not self._open() or not self._catch_up():
                return content.batch(start, start)
            for frame in read_frames(self._file, self._path, self._known):
                if until is not None and frame.end > until:
                    break
                self._take(frame, content)
                self._known = frame.end
                if content.n_points >= max_points:
                    break
        except OSError as error:
            unavailable(self._path, "read", error)
        except StoreError:
            if self._known <= max(start, HEADER_BYTES):
                raise  # else what is before the damage comes first
        self._next = self._known
        return content.batch(start, self._next)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> bool:
        if self._file < 0:
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        return True

    def _catch_up(self) -> bool:
        """Read the header, and the layouts before the offset; False if there is nothing yet."""
        if self._known and self._known == self._next:
            return True
        if read_attempt_id(self._file, self._path) is None:
            if self._next:
                self._no_frame_ends()
            return False
        self._known = HEADER_BYTES
        if self._next > self._known:
            for frame in read_frames(self._file, self._path, self._known):
                if frame.payload[:1] == bytes([_LAYOUT]):
                    self._take(frame, _Content())
                self._known = frame.end
                if self._known >= self._next:
                    break
        if self._next not in (0, self._known):
            self._no_frame_ends()
        return True

    def _no_frame_ends(self) -> NoReturn:
        self._known = 0
        raise StoreError(
            f"spool {self._path} was read up to byte {self._next} before, where now no frame ends",
            hint="the file was replaced or cut; its run can be retried from a checkpoint",
        )

    def _take(self, frame: Frame, content: _Content) -> None:
        """Take a frame whose checksum is right; its writer may have been another than ours."""
        try:
            self._take_payload(frame.payload, content)
        except _UNREADABLE as error:
            raise StoreError(
                f"spool {self._path} has a record that cannot be read, before byte {frame.end}",
                hint="what is before it is stored; `ablate retry RUN` goes on from a checkpoint",
            ) from error

    def _take_payload(self, payload: bytes, content: _Content) -> None:
        kind = payload[0]
        if kind == _POINTS:
            layout = self._layouts[_NUMBER.unpack_from(payload)[1]]
            _, _, step, time, *values = layout.frame.unpack(payload)
            content.logs.append(StepValues(step, time, layout.keys, tuple(values)))
            content.n_points += len(values)
        elif kind == _LAYOUT:
            self._define(payload)
        else:
            _take_record(kind, from_json(payload[1:]), content)

    def _define(self, payload: bytes) -> None:
        number = _NUMBER.unpack_from(payload)[1]
        keys: Any = from_json(payload[_NUMBER.size :])
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):  # pyright: ignore[reportUnknownVariableType]
            raise ValueError("keys are a list of texts")
        self._layouts[number] = _Layout(number, tuple(keys))  # pyright: ignore[reportUnknownArgumentType]


def _take_record(kind: int, value: dict[str, Any], content: _Content) -> None:
    if kind == _EVENT:
        content.events.append(Event(**value))
    elif kind == _CHECKPOINT:
        content.checkpoints.append(Checkpoint(**value))
    elif kind == _PRUNED:
        content.pruned += value["paths"]
    elif kind == _STARTED:
        content.started = value
    elif kind == _CODE:
        content.code = Code.from_json(value)
    elif kind == _ENDED:
        state = AttemptState(value.pop("state"))
        content.ending = Ending(state=state, **value)
