"""What a run is called that its place alone names: the part of its path that tells it apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ablate.importers.base import SourceRun
from ablate.importers.names import is_generic
from ablate.keys import SPLITS

_Path = tuple[str, ...]


def titled(runs: Sequence[SourceRun]) -> list[SourceRun]:
    """Return the runs, those without a title with one that their places give."""
    places = list(dict.fromkeys(tuple(run.place.split("/")) for run in runs if not run.title))
    titles = dict(zip(places, _told_apart(places), strict=True))
    return [
        run if run.title else replace(run, title="/".join(titles[tuple(run.place.split("/"))]))
        for run in runs
    ]


def _told_apart(places: Sequence[_Path]) -> list[_Path]:
    """Return paths without what all have in common, and without words that say nothing.

    Of a single path its last word that says something stays.
    """
    if len(places) <= 1:
        return [_without_generic(path)[-1:] for path in places]
    paths = _without_common_start(_without_common_end(places))
    short = [_without_generic(path) for path in paths]
    if max(Counter(short).values(), default=1) == 1:
        paths = short
    return _without_common_start(paths)


def _without_common_end(paths: Sequence[_Path]) -> list[_Path]:
    while all(len(path) > 1 and path[-1] == paths[0][-1] for path in paths):
        paths = [path[:-1] for path in paths]
    return list(paths)


def _without_common_start(paths: Sequence[_Path]) -> list[_Path]:
    while all(len(path) > 1 and path[0] == paths[0][0] for path in paths):
        paths = [path[1:] for path in paths]
    return list(paths)


def _without_generic(path: _Path) -> _Path:
    while len(path) > 1 and _says_nothing(path[-1], beside=path[-2]):
        path = path[:-1]
    return path


def _says_nothing(name: str, *, beside: str) -> bool:
    return is_generic(name) or name.lower() in SPLITS or name == beside
