"""A study file as text: YAML 1.2 with the place of every key, so that an error can point at it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from ablate.domain import Json
from ablate.errors import NotFoundError, StudyFileError, UsageError
from ablate.files import read_bounded
from ablate.planning.study_file.bounded import (
    CONSTRUCTION_FAULTS,
    MAX_BYTES,
    LimitError,
    bounded_yaml,
)

KeyPath = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file that remembers where everything stood."""

    name: str
    """The path as shown in messages."""
    lines: tuple[str, ...]
    root: CommentedMap
    """Round-trip form: comments, order and positions are kept in it."""
    data: dict[str, Json]
    """The content as plain Python values."""

    def error(
        self, message: str, path: KeyPath = (), *, at_value: bool = False, hint: str | None = None
    ) -> StudyFileError:
        """Return an error that points at ``path``, or at its nearest ancestor that exists."""
        line, column = self._place(path, at_value)
        return self.error_at(message, line, column, hint=hint)

    def error_at(
        self, message: str, line: int | None, column: int | None, *, hint: str | None = None
    ) -> StudyFileError:
        """Return an error at a 0-based place of this file."""
        has_line = line is not None and line < len(self.lines)
        return StudyFileError(
            message,
            file=self.name,
            line=None if line is None else line + 1,
            column=None if column is None else column + 1,
            source=self.lines[line] if has_line and line is not None else None,
            hint=hint,
        )

    def _place(self, path: KeyPath, at_value: bool) -> tuple[int | None, int | None]:
        node: Any = self.root
        place: tuple[int | None, int | None] = (None, None)
        for index, part in enumerate(path):
            known = _is_in(node, part)
            if not known:
                break
            is_value = at_value and index == len(path) - 1
            if isinstance(node, CommentedMap) and part not in (node.lc.data or ()):
                pass  # merged in by <<: the mapping that has it stands for it
            elif isinstance(node, CommentedMap):
                place = tuple(node.lc.value(part) if is_value else node.lc.key(part))
            else:
                place = tuple(node.lc.item(part))
            node = node[part]
        return place


def read_document(path: Path) -> Document:
    """Read a study file.

    Raises:
        NotFoundError: If there is no such file.
        StudyFileError: If it cannot be read, is not UTF-8, or is not a YAML mapping.
    """
    try:
        raw = read_bounded(path, MAX_BYTES)
    except NotFoundError as error:
        raise NotFoundError(f"there is no study file {path}") from error
    except UsageError as error:
        message = f"cannot read it: {error.message}"
        raise StudyFileError(message, file=str(path), hint=error.hint) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise StudyFileError(
            f"byte {error.start} is not UTF-8", file=str(path), line=line, hint="save it as UTF-8"
        ) from error
    return parse_document(text, name=_shown(path))


def parse_document(text: str, *, name: str) -> Document:
    """Parse the text of a study file; ``name`` is what messages call it.

    Raises:
        StudyFileError: With the place at which the text stops being a YAML mapping.
    """
    # As YAML counts lines, so that its marks fit: a form feed ends none.
    lines = tuple(re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text))
    blank = Document(name, lines, CommentedMap(), {})
    try:
        root = round_trip_yaml().load(io.StringIO(text))
        data = _plain(root)
    except DuplicateKeyError as error:
        raise _marked(blank, error, _duplicate_message(error)) from error
    except MarkedYAMLError as error:
        raise _marked(blank, error, (error.problem or "not YAML").replace("\n", " ")) from error
    except ReaderError as error:
        line = len(re.findall(r"\r\n|[\n\r\x85\u2028\u2029]", text[: error.position]))
        message = f"the character U+{ord(text[error.position]):04X} cannot stand in YAML"
        hint = 'remove it, or write it as "\\x.." in double quotes'
        raise blank.error_at(message, line, None, hint=hint) from error
    except CONSTRUCTION_FAULTS as error:
        raise blank.error_at(f"not YAML: {error}".splitlines()[0], None, None) from error
    if root is None:
        raise blank.error_at("the file is empty", None, None, hint="see: ablate study templates")
    if not isinstance(root, CommentedMap):
        raise blank.error_at(
            "a study file is a mapping of keys", 0, 0, hint="begin with 'study: NAME'"
        )
    return Document(name, lines, root, data)


def round_trip_yaml() -> YAML:
    """Return a YAML 1.2 reader and writer that keeps comments, quotes and order."""
    yaml = bounded_yaml("rt")
    yaml.preserve_quotes = True
    yaml.width = 110
    return yaml


def parse_scalar(text: str) -> Json:
    """Return a flag's value as YAML reads it: ``1e-3`` a number, ``true`` a boolean.

    Raises:
        ValueError: If the text is no YAML value, or several.
    """
    values = parse_values(text) if text.strip() else [""]
    if len(values) != 1:
        raise ValueError(f"'{text}' are {len(values)} values")
    return values[0]


def parse_values(text: str) -> list[Json]:
    """Return the values of ``0,0.01,'a, b'`` as YAML reads them.

    Raises:
        ValueError: If the text is not a YAML list.
    """
    try:
        values = bounded_yaml("safe").load(f"[{text}]")
    except LimitError as error:
        raise ValueError(error.problem) from error
    except CONSTRUCTION_FAULTS as error:
        raise ValueError(f"cannot read the values '{text}'") from error
    return list(values)


_CONFLICT = re.compile(r"(<{7}|>{7})( |$)")


def _marked(document: Document, error: MarkedYAMLError, message: str) -> StudyFileError:
    mark = error.problem_mark or error.context_mark
    hint = error.hint if isinstance(error, LimitError) else None
    if "\\t" in message:
        hint = "indent with spaces"
    elif any(_CONFLICT.match(line) for line in document.lines):
        hint = "the file has marks of a merge conflict (<<<<<<<, >>>>>>>): resolve it first"
    if mark is None:
        return document.error_at(message, None, None, hint=hint)
    return document.error_at(message, mark.line, mark.column, hint=hint)


def _duplicate_message(error: DuplicateKeyError) -> str:
    first = (error.problem or "").split('"')
    key = first[1] if len(first) > 1 else "a key"
    where = (
        ""
        if error.context_mark is None
        else f" in the mapping of line {error.context_mark.line + 1}"
    )
    return f"the key '{key}' is there twice{where}"


def _is_in(node: Any, part: str | int) -> bool:
    if isinstance(node, CommentedMap):
        return part in node
    return isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node)


def _plain(node: Any) -> Any:
    """Return ruamel's node as builtin values; its scalars subclass the builtins."""
    match node:
        case Mapping():
            return {_plain(key): _plain(value) for key, value in node.items()}
        case str():
            return str(node)
        case list() | tuple():
            return [_plain(value) for value in node]
        case bool() | None:
            return node
        case int():
            return int(node)
        case float():
            return float(node)
        case _:
            # ruamel's boolean with an anchor, a date: what is not JSON is refused by the model.
            return bool(node) if type(node).__name__ == "ScalarBoolean" else node


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
