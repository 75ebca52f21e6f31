"""Which pieces of a source are one run: what has one id, what one folder holds, what was resumed.

Ids are believed. Files named for splits (``RUN/train``, ``RUN/validation``) are one run. Two other
pieces are parts of a run when their names differ in a number or a word such as ``resumed``, or
their rows say the same run, when nothing in their configs differs, and when the steps of the later
begin where those of the earlier end.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from ablate.errors import UsageError
from ablate.importers.base import SourceRun
from ablate.importers.names import in_split, is_generic
from ablate.importers.points import Extent, Points
from ablate.importers.seeds import split_seed
from ablate.keys import SPLITS
from ablate.planning.configs import differing, trained_with
from ablate.text import few, listed

_TOKEN = re.compile(r"\d+\.\d+|\d+|[a-z]+|[^a-z\d]+")
_RESUMED = re.compile(r"resumed?|restart(ed)?|cont(inued?)?")
_NUMBERED = re.compile(r"v|version|part|run|attempt|try|job|session|exp|slurm|output|logs?|metrics")
"""Words before a number that counts parts; behind others, as ``lr``, a number is a setting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """Runs, and a line for each decision."""

    runs: list[SourceRun]
    notes: list[str]


def join(
    pieces: Sequence[SourceRun], *, together: Sequence[str] = (), is_separate: bool = False
) -> Joined:
    """Return the runs that pieces are parts of.

    Args:
        pieces: In the order in which they were read.
        together: Patterns of titles or places: what fits one of them is one run.
        is_separate: Leave apart what has no id in common and is not typed as together.

    Raises:
        UsageError: If nothing fits a pattern.
    """
    joined = _same_id(Joined(runs=list(pieces), notes=[]))
    for pattern in together:
        joined = _typed(joined, pattern)
    return joined if is_separate else _continued(_splits(joined))


def merged(parts: Sequence[SourceRun]) -> SourceRun:
    """Return parts as one run; they are given the earliest first, and the later ones count."""
    run = parts[0]
    sources = dict.fromkeys(source for part in parts for source in part.parts or (part.source,))
    for later in parts[1:]:
        run = replace(
            run,
            points=run.points.continued_by(later.points),
            said_seed=later.said_seed if run.said_seed is None else run.said_seed,
            config={**run.config, **later.config},
            state=later.state,
            reason=later.reason,
            files={**run.files, **later.files},
            parts=tuple(sources) if len(sources) > 1 else (),
        )
    return run


def by_time(parts: Sequence[SourceRun]) -> list[SourceRun]:
    """Return parts of one run in the order of their times, else of their places."""
    if all(part.points.has_times for part in parts):
        return sorted(parts, key=lambda part: part.points.span)
    return sorted(parts, key=lambda part: _natural(part.place))


def _same_id(joined: Joined) -> Joined:
    by_id: dict[str, list[SourceRun]] = {}
    for run in joined.runs:
        by_id.setdefault(run.source, []).append(run)
    notes = [
        f"{parts[0].title or parts[0].place}: {len(parts)} parts with the id "
        f"{source.partition(':')[2]} are one run ({_steps(by_time(parts))})"
        for source, parts in by_id.items()
        if len(parts) > 1
    ]
    runs = [merged(by_time(parts)) for parts in by_id.values()]
    return Joined(runs=runs, notes=[*joined.notes, *notes])


def _typed(joined: Joined, pattern: str) -> Joined:
    found = [run for run in joined.runs if _fits(run, pattern)]
    if not found:
        known = ", ".join(run.place or run.title for run in joined.runs[:12])
        raise UsageError(f"--join {pattern}: no run fits", hint=f"there are: {known}")
    begins = {name: extent.first for name, extent in found[0].points.extents.items()}
    parts = by_time(found)
    if any(_begins_again(run, begins) for run in found[1:]):
        parts = [_under_own_name(run) for run in found]
    run = replace(merged(parts), place=_common(found))
    rest = [each for each in joined.runs if not _fits(each, pattern)]
    note = f"{_names(found)} are one run, as typed"
    return Joined(runs=[*rest, run], notes=[*joined.notes, note])


def _fits(run: SourceRun, pattern: str) -> bool:
    names = (run.place, PurePosixPath(run.place).name, run.title)
    return any(fnmatch.fnmatchcase(name, pattern) for name in names if name)


def _begins_again(run: SourceRun, begins: dict[str, int]) -> bool:
    extents = run.points.extents.items()
    return any(extent.first <= begins[name] for name, extent in extents if name in begins)


def _under_own_name(run: SourceRun) -> SourceRun:
    """Return a run whose metrics have its folder's name, so that no other's have the same."""
    folder = PurePosixPath(run.place).name or run.title
    return replace(run, points=run.points.under(lambda name: f"{folder}/{name}"))


def _common(runs: Sequence[SourceRun]) -> str:
    """Return the folders that all places have in common, else the first place."""
    paths = [PurePosixPath(run.place).parts for run in runs]
    shared: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return str(PurePosixPath(*shared)) if shared else runs[0].place


def _splits(joined: Joined) -> Joined:
    """Join what lies in files or folders named for splits, side by side or below their run."""
    notes = list(joined.notes)
    by_folder: dict[str, list[SourceRun]] = {}
    for run in joined.runs:
        if not run.title and _split_of(run.place):
            by_folder.setdefault(str(PurePosixPath(run.place).parent), []).append(run)
    whole: dict[int, SourceRun | None] = {}
    joined_folders: list[str] = []
    for folder, parts in by_folder.items():
        above = [run for run in joined.runs if run.place == folder and not run.title]
        if len({_split_of(part.place) for part in parts}) < len(parts) or len(parts + above) < 2:
            continue
        pieces = [*above, *parts]
        if twice := _logged_twice(pieces, folder):
            notes.append(f"{_names(pieces)} all log {twice}: runs of their own; --join joins them")
            continue
        joined_folders.append(folder)
        renamed = [*above, *map(_in_its_split, parts)]
        whole |= dict.fromkeys(map(id, pieces))
        whole[id(pieces[0])] = replace(merged(renamed), place=folder)
    if joined_folders:
        notes.append(
            f"one run each, with what lies there in folders or files named for splits: "
            f"{few(joined_folders, 4)}; --separate keeps them apart"
        )
    runs = [whole.get(id(run), run) for run in joined.runs]
    return Joined(runs=[run for run in runs if run is not None], notes=notes)


def _split_of(place: str) -> str | None:
    """Return the split that the last part of a path says, beside words that say nothing."""
    words = re.findall(r"[a-z]+|\d+", PurePosixPath(place).name.lower())
    telling = [word for word in words if not is_generic(word)]
    return SPLITS.get(telling[0]) if len(telling) == 1 else None


def _in_its_split(run: SourceRun) -> SourceRun:
    split = _split_of(run.place) or ""
    return replace(run, points=run.points.under(lambda name: in_split(name, split)))


def _logged_twice(pieces: Sequence[SourceRun], folder: str) -> str | None:
    """Return a name that two pieces would have in common."""
    names = [
        name if run.place == folder else in_split(name, _split_of(run.place) or "")
        for run in pieces
        for name in run.points.names
    ]
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _continued(joined: Joined) -> Joined:
    """Join what a resumed run wrote into another folder or file beside its first."""
    chains: list[list[SourceRun]] = []
    notes = list(joined.notes)
    for run in sorted(joined.runs, key=_beginning):
        before = [chain for chain in chains if _continues(chain[-1], run)]
        fitting = [chain for chain in before if not _differences(chain[-1], run)]
        if len(fitting) == 1:
            fitting[0].append(run)
            continue
        if before:
            notes.append(_why_not(before, fitting, run))
        chains.append([run])
    later = {id(part) for chain in chains for part in chain[1:]}
    notes += [
        f"{_names(chain)} are one run: the later begins where the earlier ends ({_steps(chain)}); "
        "--separate keeps them apart"
        for chain in chains
        if len(chain) > 1
    ]
    firsts = {id(chain[0]): chain for chain in chains}
    runs = [merged(firsts[id(run)]) for run in joined.runs if id(run) not in later]
    return Joined(runs=runs, notes=notes)


def _why_not(
    before: Sequence[list[SourceRun]], fitting: Sequence[list[SourceRun]], run: SourceRun
) -> str:
    earlier = before[0][-1]
    text = f"{_name(run)} begins where {_name(earlier)} ends, but "
    if len(fitting) > 1:
        text += f"so it does where {_name(fitting[1][-1])} ends"
    else:
        text += f"they differ in {', '.join(_differences(earlier, run)[:3])}"
    return f"{text}: two runs; --join makes them one"


def _differences(one: SourceRun, other: SourceRun) -> list[str]:
    seeds = [] if one.said_seed == other.said_seed else ["their seeds"]
    both = one.config and other.config
    keys = differing(trained_with(one.config), trained_with(other.config)) if both else []
    return [*seeds, *keys]


def _continues(earlier: SourceRun, later: SourceRun) -> bool:
    is_same = earlier.part == later.part
    if not is_same or not (later.part or _are_siblings(earlier.place, later.place)):
        return False
    one, two = earlier.points, later.points
    if one.has_times and two.has_times and two.span[0] < one.span[1]:
        return False  # they were trained side by side
    return _steps_continue(one, two)


def _are_siblings(one: str, other: str) -> bool:
    """Whether two paths differ in one part, and there in what counts the parts of a run."""
    first, second = PurePosixPath(one).parts, PurePosixPath(other).parts
    if len(first) != len(second):
        return False
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    if len(pairs) != 1:
        return False
    (a, b) = pairs[0]
    return _stem(a) == _stem(b)


def _stem(name: str) -> str:
    """Return a name without the words and numbers that count the parts of a run.

    A seed is kept: runs that differ in it are no parts of one.
    """
    rest, seed = split_seed(name.lower())
    kept: list[str] = []
    before = ""
    for token in _TOKEN.findall(rest):
        if not token[0].isalnum():
            continue
        is_count = token.isdecimal() and (not before or _NUMBERED.fullmatch(before))
        if not is_count and not _RESUMED.fullmatch(token):
            kept.append(token)
        if not token.isdecimal():  # a date is several numbers
            before = token if not _RESUMED.fullmatch(token) else ""
    counted = [word for word in kept if not _NUMBERED.fullmatch(word)]
    return f"{'-'.join(counted)}@{seed}"


def _steps_continue(earlier: Points, later: Points) -> bool:
    old, new = earlier.extents, later.extents
    shared = [name for name in new if name in old and old[name].gap]
    return bool(shared) and all(_follows(old[name], new[name]) for name in shared)


def _follows(old: Extent, new: Extent) -> bool:
    """Whether steps begin within the old ones or right behind, and not where those began."""
    return old.first + old.gap < new.first <= old.last + 2 * old.gap


def _beginning(run: SourceRun) -> tuple[int, list[list[tuple[int, str]]]]:
    """Return what sorts runs by their first step, and ``version_10`` behind ``version_9``."""
    return min((e.first for e in run.points.extents.values()), default=0), _natural(run.place)


def _natural(place: str) -> list[list[tuple[int, str]]]:
    return [
        [(int(p), "") if p.isdigit() else (-1, p) for p in re.findall(r"\d+|\D+", part)]
        for part in PurePosixPath(place).parts
    ]


def _name(run: SourceRun) -> str:
    return run.place or run.title


def _names(runs: Sequence[SourceRun]) -> str:
    return listed([_name(run) for run in runs])


def _steps(parts: Sequence[SourceRun]) -> str:
    texts: list[str] = []
    for part in parts:
        extents = part.points.extents.values()
        if extents:
            first, last = min(e.first for e in extents), max(e.last for e in extents)
            texts.append(f"{first} to {last}")
    return "steps " + ", ".join(texts) if texts else "no steps"
