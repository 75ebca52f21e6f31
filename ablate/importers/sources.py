"""Which files a source has, and which importer reads them."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlparse

from ablate.errors import AblateError, NotFoundError, UsageError, closest
from ablate.importers.base import Importer, ImportRequest, Reading
from ablate.importers.formats import mlflow
from ablate.planning.configs import seed_of
from ablate.planning.plugins import PluginGroup
from ablate.planning.study_file.bounded import plain_json

_URI = re.compile(r"[a-z][a-z0-9+.-]*:/.*")


MAX_FILES = 100_000
"""Below a folder: one with more, such as a home, is not meant."""
IMPORTERS = PluginGroup(
    "ablate.importers",
    "importer",
    {
        name: f"ablate.importers.formats.{module}:IMPORTER"
        for name, module in {
            "wandb": "wandb",
            "tensorboard": "tensorboard",
            "huggingface": "huggingface",
            "mlflow": "mlflow",
            "jsonl": "jsonl",
            "csv": "csv",
            "parquet": "parquet",
            "text": "textlog",
        }.items()
    },
)


@cache
def importers() -> Mapping[str, Importer]:
    """Return kind -> importer, our own first.

    Of a folder with several kinds the first is read: it says most of a run. One of another package
    that cannot be imported is left out, so that it stands in no other's way; `importer_of` and
    `ablate doctor` say why.
    """
    found: dict[str, Importer] = {}
    for name in IMPORTERS.names():
        with suppress(AblateError):
            found[name] = IMPORTERS.load(name)
    return found


def importer_of(kind: str) -> Importer:
    """Return the importer of a kind.

    Raises:
        NotFoundError: If there is none.
        AblateError: If the package that brings it cannot be imported.
    """
    return importers().get(kind) or IMPORTERS.load(kind)


def read_source(kind: str, request: ImportRequest) -> Reading:
    """Return the runs of a request; a run of which only the config says the seed has that seed.

    Raises:
        NotFoundError: If there is no such kind.
        UsageError: If a file is none of this kind.
    """
    reading = importer_of(kind).read(request)
    reading.runs = [
        replace(run, said_seed=seed_of(run.config)) if run.said_seed is None else run
        for run in reading.runs
    ]
    return reading


@dataclass(frozen=True, slots=True)
class Source:
    """What one importer is to read."""

    kind: str
    root: Path
    files: tuple[Path, ...] = ()
    uri: str = ""
    """Of a tracking server."""
    note: str | None = None
    """What else is there and is not read."""


def _meant(text: str, path: Path) -> str:
    """Return what may have been meant by the path of no file."""
    if kind := closest(text, importers()):
        return f"did you mean the kind '{kind}'?"
    folder = path.parent
    beside = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    if name := closest(path.name, beside):
        return f"did you mean {Path(text).with_name(name)}?"
    return f"looked in {folder.absolute()}" if folder.is_dir() else f"there is no folder {folder}"


def find_source(text: str, kind: str | None) -> Source:
    """Return what was typed: a file, a folder or the URI of a tracking server.

    Args:
        text: As typed.
        kind: Which importer, None to see for oneself.

    Raises:
        NotFoundError: If there is no such file, or none in the folder that the importer reads.
        UsageError: If no importer reads such a file.
    """
    path = _path_of(text)
    if _URI.fullmatch(text) or (kind == "mlflow" and not path.exists()):
        return Source("mlflow", Path(), uri=text)
    if not path.exists():
        raise NotFoundError(f"there is no file {text}", hint=_meant(text, path))
    if path.is_dir():
        return _in_folder(path, kind)
    if not path.is_file():
        raise UsageError(
            f"{text} is no file", hint="a pipe is read once only: write it to a file first"
        )
    kind = kind or _kind_of(path)
    if kind is None:
        known = "; ".join(f"{name}: {each.files}" for name, each in importers().items())
        raise UsageError(f"{text}: of which kind?", hint=f"ablate import KIND {text}; {known}")
    return Source(kind, path, (path,))


def _path_of(text: str) -> Path:
    try:
        found = unquote(urlparse(text).path) if text.startswith(mlflow.FILES) else text
        if found.strip():
            return Path(found).expanduser()
    except (ValueError, RuntimeError) as error:  # no address, no such user
        raise UsageError(f"{text}: {error}", hint="name a file or a folder") from error
    raise UsageError("the name of a file is empty", hint="name a file or a folder; . is this one")


def _kind_of(path: Path) -> str | None:
    found = next((name for name, each in importers().items() if each.fits(path)), None)
    return found or ("jsonl" if path.suffix == ".json" and _holds_json(path) else None)


def _holds_json(path: Path) -> bool:
    """Whether a file is JSON, or has an object on its first line."""
    with path.open("rb") as file:
        first = file.readline()
        for text in (first, first + file.read()):
            try:
                return isinstance(plain_json(text), dict | list)
            except ValueError:
                continue
    return False


def _in_folder(folder: Path, kind: str | None) -> Source:
    there = files_below(folder)
    kinds = importers() if kind is None else {kind: importer_of(kind)}
    found = {name: tuple(f for f in there if each.fits(f)) for name, each in kinds.items()}
    found = {name: files for name, files in found.items() if files}
    if not found:
        wanted = "; ".join(each.files for each in kinds.values())
        raise NotFoundError(f"there are no logs in {folder}", hint=f"looked for {wanted}")
    first, *others = found
    return Source(first, folder, found[first], note=_left_out(folder, found, others))


def _left_out(
    folder: Path, found: Mapping[str, Sequence[Path]], others: Sequence[str]
) -> str | None:
    if not others:
        return None
    what = ", ".join(f"{len(found[kind])} of {kind}" for kind in others)
    return (
        f"{folder}: other files that may be logs were left out ({what}); name a kind to read them"
    )


def files_below(folder: Path) -> list[Path]:
    """Return the files in and below a folder, those behind symbolic links too, each once.

    Where a file can be reached twice, as through ``latest-run``, its own place counts.
    """
    found: dict[str, Path] = {}
    for with_links in (False, True):
        for path in _walk(folder, with_links=with_links):
            found.setdefault(os.path.realpath(path), path)
            if len(found) > MAX_FILES:
                raise UsageError(
                    f"{folder} holds more than {MAX_FILES} files", hint="name a folder below it"
                )
    return sorted(found.values())


def _walk(folder: Path, *, with_links: bool) -> Iterator[Path]:
    """Yield the files, those near the folder first, so that the shortest way to one counts."""
    seen: set[str] = set()
    waiting = deque([folder])
    while waiting:
        place = waiting.popleft()
        real = os.path.realpath(place)
        if real in seen:  # a link led back
            continue
        seen.add(real)
        folders, files = _inside(place, with_links=with_links)
        waiting += folders
        yield from files


def _inside(folder: Path, *, with_links: bool) -> tuple[list[Path], list[Path]]:
    """Return the folders and the files in a folder; pipes and sockets are neither."""
    try:
        there = [p for p in sorted(folder.iterdir()) if with_links or not p.is_symlink()]
        return [p for p in there if p.is_dir()], [p for p in there if p.is_file()]
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}") from error
