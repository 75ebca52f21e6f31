"""Which variants were trained by other code than the baseline, and which by more than one code.

It follows from what is stored with the attempts, so it is the same on every machine; how the code
is on the disk now is the business of `ablate.app.code_check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from ablate.analysis.curves.study_data import StudyData
from ablate.domain import Run
from ablate.provenance import Code, changes
from ablate.text import few, listed

_LISTED = 6
"""Seeds that a note lists before it only counts."""

Files = tuple[str, ...]
"""What differs: files, or ``VERSION 1 -> 2``; sorted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeFindings:
    """In what the code of a study's variants differs."""

    other: Mapping[str, Files] = field(default_factory=dict[str, Files])
    """Variant -> in what its runs differ from the baseline's; empty where in nothing."""
    mixed: Mapping[str, Files] = field(default_factory=dict[str, Files])
    """Variant -> in what its runs, or attempts of one, differ from each other."""
    notes: tuple[str, ...] = ()
    """The same as sentences, each fact once."""


@dataclass(frozen=True, slots=True)
class _Trained:
    """A run with the codes of its attempts."""

    run: Run
    codes: Sequence[Code]
    within: Files
    """In what its attempts differ."""
    against: Files
    """In what it differs from the baseline, beside that."""


def code_findings(data: StudyData) -> CodeFindings:
    """Return which variants do not differ by their configs alone.

    A run is held against the baseline's run of the same seed, with which it is paired; without
    one, against all of the baseline's. Runs whose code is not known say nothing.
    """
    if not data.codes:
        return CodeFindings()
    look = _Look(data)
    trained = {
        name: [look.at(run) for run in data.runs_of(name) if run.id in data.codes]
        for name in data.names
    }
    mixed = {name: look.between(c for t in of for c in t.codes) for name, of in trained.items()}
    told = {name: {f for t in of for f in (*t.within, *t.against)} for name, of in trained.items()}
    untold = {name: files for name, files in mixed.items() if not told[name].issuperset(files)}
    return CodeFindings(
        other={name: _union(look.from_baseline(t.run) for t in of) for name, of in trained.items()},
        mixed=mixed,
        notes=(
            *_within_notes([t for of in trained.values() for t in of]),
            *_against_notes(data.baseline, trained),
            *_mixed_notes({name: look.groups(trained[name]) for name in untold}, untold),
        ),
    )


class _Look:
    """Compares codes, each two of them once.

    Args:
        data: Whose runs are looked at.
    """

    def __init__(self, data: StudyData) -> None:
        self._codes = data.codes
        self._baseline = {
            run.seed: data.codes[run.id]
            for run in data.runs_of(data.baseline)
            if run.id in data.codes
        }
        self._known: dict[tuple[int, int], Files] = {}

    def at(self, run: Run) -> _Trained:
        """Return what there is to say of a run."""
        codes = self._codes[run.id]
        within = self.between(codes)
        against = tuple(what for what in self.from_baseline(run) if what not in within)
        return _Trained(run, codes, within, against)

    def from_baseline(self, run: Run) -> Files:
        """Return in what a run's codes differ from those that the baseline was trained by."""
        every = [code for codes in self._baseline.values() for code in codes]
        wanted = self._baseline.get(run.seed, every)
        return _union(
            self._changes(wanted[-1], code)
            for code in (self._codes[run.id] if wanted else ())
            if all(self._changes(old, code) for old in wanted)
        )

    def between(self, codes: Iterable[Code]) -> Files:
        """Return in what any two of these differ."""
        distinct = {id(code): code for code in codes}
        return _union(self._changes(old, new) for old, new in combinations(distinct.values(), 2))

    def groups(self, trained: Sequence[_Trained]) -> list[list[int]]:
        """Return the seeds of a variant, those together that ended under the same code."""
        found: list[tuple[Code, list[int]]] = []
        for one in trained:
            code = one.codes[-1]
            alike = (seeds for first, seeds in found if not self._changes(first, code))
            if (seeds := next(alike, None)) is None:
                found.append((code, [one.run.seed]))
            else:
                seeds.append(one.run.seed)
        return [seeds for _, seeds in found]

    def _changes(self, old: Code, new: Code) -> Files:
        pair = id(old), id(new)
        if pair not in self._known:
            self._known[pair] = () if old is new else changes(old, new)
        return self._known[pair]


def _within_notes(trained: Sequence[_Trained]) -> Iterable[str]:
    for files, runs in _by_files((one.within, one.run.label) for one in trained).items():
        yield f"the code changed between the attempts of {few(runs)} ({', '.join(files)})"


def _against_notes(baseline: str, trained: Mapping[str, Sequence[_Trained]]) -> Iterable[str]:
    found: list[tuple[Files, str]] = []
    for name, runs in trained.items():
        if len({one.against for one in runs}) == 1:
            found.append((runs[0].against, name))
        else:
            found += [(one.against, one.run.label) for one in runs]
    for files, names in _by_files(found).items():
        yield f"{few(names)}: trained by other code than {baseline} ({', '.join(files)})"


def _mixed_notes(
    groups: Mapping[str, Sequence[Sequence[int]]], mixed: Mapping[str, Files]
) -> Iterable[str]:
    parts = {name: listed([_seeds(seeds) for seeds in found]) for name, found in groups.items()}
    for text in dict.fromkeys(parts.values()):
        names = [(mixed[name], name) for name in parts if parts[name] == text]
        for files, alike in _by_files(names).items():
            yield f"{few(alike)}: {text} were trained by different code ({', '.join(files)})"


def _by_files(found: Iterable[tuple[Files, str]]) -> dict[Files, list[str]]:
    """Return files -> names; what differs in nothing is left out."""
    grouped: dict[Files, list[str]] = {}
    for files, name in found:
        if files:
            grouped.setdefault(files, []).append(name)
    return grouped


def _seeds(seeds: Sequence[int]) -> str:
    more = f" and {len(seeds) - _LISTED} more" if len(seeds) > _LISTED else ""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds[:_LISTED]))}{more}"


def _union(found: Iterable[Files]) -> Files:
    return tuple(sorted({what for files in found for what in files}))
