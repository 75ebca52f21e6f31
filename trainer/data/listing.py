"""A folder of recordings by its names alone: files, speakers, units. Imports no torch."""

from __future__ import annotations

import functools
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ablate.protocol import ConfigError
from trainer.config.config import UNIT_S

AUDIO_SUFFIXES = (".flac", ".ogg", ".wav")
"""What `data.source: folder` reads."""
UNITS_PER_S = round(1 / UNIT_S)
"""Rate of a units file."""


def is_audio(path: Path) -> bool:
    """Return whether the file's name says that it holds audio."""
    return path.suffix.lower() in AUDIO_SUFFIXES


def speaker_of(path: str, pattern: str) -> str | None:
    """Return who speaks in the file, or None where the pattern does not say.

    Args:
        path: Relative to the folder, with ``/``.
        pattern: Regular expression, found anywhere in ``path``, with a group ``speaker``; empty:
            the speaker is the folder that holds the file.
    """
    if not pattern:
        return PurePosixPath(path).parent.as_posix()
    found = re.search(pattern, path)
    return (found["speaker"] or None) if found else None


def too_few(folder: str, usable: int, unusable: Sequence[tuple[str, str]]) -> ConfigError:
    """Return the error for a folder with fewer than two usable recordings.

    Args:
        folder: As the user wrote it.
        usable: How many there are.
        unusable: (file, why) for the others.
    """
    message = f"{folder} holds {usable} usable recordings; training and held-out set need one each"
    if not unusable:
        return ConfigError("data.path", message)
    name, reason = unusable[0]
    return ConfigError("data.path", f"{message}; {name} {reason}")


@dataclass(frozen=True, slots=True)
class Listing:
    """Files of a folder, with relative paths in their order."""

    audio: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    """(first file of its kind, why it is not read) for each suffix that is no audio."""


def list_folder(root: Path) -> Listing:
    """Return what lies under ``root`` at any depth."""
    paths = sorted((p for p in root.rglob("*") if p.is_file()), key=lambda p: p.as_posix())
    audio: list[str] = []
    others: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        name = path.relative_to(root).as_posix()
        if is_audio(path):
            audio.append(name)
        else:
            others[path.suffix.lower()].append(name)
    reason = f"is not {', '.join(AUDIO_SUFFIXES)}"
    return Listing(tuple(sorted(audio)), tuple(one_for_all(v, reason) for v in others.values()))


def one_for_all(names: Sequence[str], reason: str) -> tuple[str, str]:
    """Return the first of ``names`` with a reason that counts the others.

    A folder may hold a text beside each recording: thousands of events would say no more.
    """
    more = f" ({len(names) - 1} more like it)" if len(names) > 1 else ""
    return names[0], reason + more


@dataclass(frozen=True, slots=True)
class UnitLine:
    """Content units of one recording."""

    number: int
    """Line of the file, from 1."""
    units: array[int]
    """int16, `UNITS_PER_S` of them a second."""


def read_units(file: str, n_units: int) -> Mapping[str, UnitLine]:
    """Return relative path -> units, from lines ``relative/path<TAB>u1 u2 ...``.

    Args:
        file: Path of the text file, UTF-8; empty lines are passed over.
        n_units: Units are whole numbers from 0 to ``n_units - 1``.

    Raises:
        ConfigError: If the file cannot be read, or for the first line that cannot be understood;
            it names file, line and value.
    """
    path = Path(file).expanduser()
    try:
        stat = path.stat()
        return _read_units(path, n_units, (stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        raise ConfigError("data.units_file", f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError("data.units_file", f"{file} is not a text in UTF-8") from error


@functools.lru_cache(maxsize=1)
def _read_units(path: Path, n_units: int, _version: tuple[int, int]) -> Mapping[str, UnitLine]:
    # Kept, because planning resolves every variant of a study.
    with path.open(encoding="utf-8") as lines:
        return _parse_units(path, n_units, lines)


def _parse_units(path: Path, n_units: int, lines: Iterable[str]) -> Mapping[str, UnitLine]:
    found: dict[str, UnitLine] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        name, tab, text = line.rstrip("\r\n").partition("\t")
        if not tab or not text.strip():
            raise ConfigError(
                "data.units_file", f"{where}: {line.strip()[:60]!r} is not a path, a tab and units"
            )
        if name in found:
            raise ConfigError(
                "data.units_file", f"{where}: {name} stands in line {found[name].number} already"
            )
        found[name] = UnitLine(number, array("h", _checked(where, text, n_units)))
    return found


def _checked(where: str, text: str, n_units: int) -> list[int]:
    units: list[int] = []
    for word in text.split():
        # Not `int` alone, which also reads 1_0 and +1.
        if not (word.isascii() and word.isdigit()):
            raise ConfigError("data.units_file", f"{where}: {word!r} is not a whole number")
        if int(word) >= n_units:
            raise ConfigError(
                "data.units_file",
                f"{where}: unit {word} is out of range; model.content_units is {n_units}",
            )
        units.append(int(word))
    return units
