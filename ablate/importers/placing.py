"""Which variant of a study each imported run becomes, and at which seed: on evidence. Pure.

Two runs are seeds of one variant when the source says so, by a column or a config, when their names
differ in a seed alone, or when their configs agree in all but the seed. All others are variants of
their own, each with a line that says why. A run that was read from a copy is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ablate.domain import Json
from ablate.errors import UsageError
from ablate.identity import canonical_json
from ablate.importers.base import SourceRun
from ablate.importers.names import kept_name
from ablate.importers.seeds import are_seeds, is_automatic, says_seed, split_number, split_seed
from ablate.planning.configs import differing, trained_with
from ablate.planning.study_file.names import cleaned_name
from ablate.text import few

SeedRule = Literal["auto", "names", "none"]
"""By evidence; by any number at the end of a name; each run a variant of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """What is known of a run, be it new or in the study already."""

    source: str
    title: str
    said_seed: int | None
    says_variant: bool
    config: Mapping[str, Json]
    content: str
    values: str
    """Digest of its points without their times; empty for none."""
    variant: str = ""
    """Where it is; empty for a new run."""
    seed: int = -1

    @property
    def label(self) -> str:
        """``base-s0``."""
        return f"{self.variant}-s{self.seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What was typed."""

    variant: str | None = None
    seed: int | None = None
    seeds: SeedRule = "auto"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run goes."""

    run: SourceRun
    variant: str
    seed: int


@dataclass(slots=True)
class Placement:
    """Where all go, and a line for each decision."""

    places: list[Place] = field(default_factory=list[Place])
    notes: list[str] = field(default_factory=list[str])


def member_of(run: SourceRun) -> Member:
    """Return what is known of a run that a source has."""
    has_points = run.points.counts.kept > 0
    return Member(
        source=run.source,
        title=run.title,
        said_seed=run.said_seed,
        says_variant=run.says_variant,
        config=trained_with(run.config),
        content=run.content if has_points else "",
        values=run.points.digest(with_times=False).hex() if has_points else "",
    )


def place(
    runs: Sequence[SourceRun], known: Sequence[Member], wishes: Wishes, trained: Collection[str]
) -> Placement:
    """Give each run its variant and seed: those it has, those asked for, else by evidence.

    Args:
        runs: Of the source.
        known: The imported runs of the study.
        wishes: What was typed.
        trained: Variants that the study trains itself.

    Raises:
        UsageError: If a variant is trained, a typed seed is taken, or every run is a copy.
    """
    placement = Placement()
    kept = _without_copies(runs, known, placement)
    placer = _Placer(kept, known, wishes, trained, placement)
    for run in kept:
        placer.place(run)
    placer.tell()
    return placement


def _without_copies(
    runs: Sequence[SourceRun], known: Sequence[Member], placement: Placement
) -> list[SourceRun]:
    first = {member.content: member for member in known if member.content}
    for run in sorted(runs, key=lambda run: len(run.source)):  # `base.csv` before `base copy.csv`
        first.setdefault(member_of(run).content, member_of(run))
    sources = {member.source for member in known}
    kept: list[SourceRun] = []
    for run in runs:
        member = member_of(run)
        other = first[member.content] if member.content else member
        if other.source == run.source or run.source in sources:
            kept.append(run)
            continue
        where = f", which is here as {other.label}" if other.variant else ""
        placement.notes.append(
            f"{run.source} is a copy of {other.source}{where}: left out, it is no second seed"
        )
    if not kept:
        raise UsageError(placement.notes[0], hint="nothing else is there to import")
    return kept


class _Group:
    """The runs of one variant."""

    def __init__(self, variant: str, stem: str) -> None:
        self.variant = variant
        self.stem = stem
        self.members: list[Member] = []
        self.new = 0
        self.why = ""

    def free(self, wish: int | None) -> int:
        """Return the wished seed if no run has it, else the first that none has."""
        taken = {member.seed for member in self.members}
        wishes = [] if wish is None else [wish]
        return next(seed for seed in [*wishes, *range(len(taken) + 1)] if seed not in taken)


class _Placer:
    """Places one run after the other."""

    def __init__(
        self,
        runs: Sequence[SourceRun],
        known: Sequence[Member],
        wishes: Wishes,
        trained: Collection[str],
        placement: Placement,
    ) -> None:
        self._wishes = wishes
        self._trained = trained
        self._placement = placement
        self._known = {member.source: member for member in known}
        self._groups: dict[str, _Group] = {}
        self._equal: dict[str, list[str]] = {}
        self._apart: dict[tuple[str, str], list[str]] = {}
        everyone = [*known, *map(member_of, runs)]
        self._stems = _stems(everyone, wishes.seeds, placement)
        staying = {run.source for run in runs}
        self._twins = {m.values: m for m in known if m.values and m.source not in staying}
        for member in known:
            group = self._groups.setdefault(
                member.variant, _Group(member.variant, self._stem(member)[0] or member.variant)
            )
            group.members.append(member)

    def _stem(self, member: Member) -> tuple[str, int | None]:
        stem, seed = self._stems[member.title, member.says_variant]
        return stem, seed if member.said_seed is None else member.said_seed

    def place(self, run: SourceRun) -> None:
        """Place a run."""
        member = member_of(run)
        before = self._known.get(run.source)
        stem, seed = self._stem(member)
        if self._wishes.variant:
            group = self._group(self._wishes.variant, self._wishes.variant)
            self._leave(before, group)
            seed = self._typed_seed(group, before, seed)
        elif before:
            group = self._groups[before.variant]
            self._leave(before, None)
            seed = before.seed if self._wishes.seed is None else self._typed_seed(group, None, None)
        else:
            group = self._by_evidence(member, stem, seed)
            seed = self._typed_seed(group, None, seed)
        if group.variant in self._trained:
            raise UsageError(
                f"the study trains a variant '{group.variant}' itself",
                hint="give the imported one another name with --variant",
            )
        self._add(group, member, seed, is_new=before is None)
        self._placement.places.append(Place(run, group.variant, seed))

    def _leave(self, before: Member | None, group: _Group | None) -> None:
        """Take a run out of where it was; it is placed anew."""
        if before is None:
            return
        old = self._groups[before.variant]
        old.members = [m for m in old.members if m.source != before.source]
        if group is not None and not old.members and old is not group:
            del self._groups[old.variant]

    def _group(self, variant: str, stem: str) -> _Group:
        return self._groups.setdefault(variant, _Group(variant, stem))

    def _typed_seed(self, group: _Group, before: Member | None, seed: int | None) -> int:
        wish = self._wishes.seed
        if wish is None:
            return group.free(before.seed if before else seed)
        if other := next((m for m in group.members if m.seed == wish), None):
            raise UsageError(
                f"{group.variant}-s{wish} is there already, from {other.source}",
                hint="choose another --seed",
            )
        return wish

    def _by_evidence(self, member: Member, stem: str, seed: int | None) -> _Group:
        same = [group for group in self._groups.values() if group.stem == stem]
        if self._wishes.seeds == "none":
            return self._new(member, stem, [])
        automatic = [
            group
            for group in self._groups.values()
            if is_automatic(stem)
            and is_automatic(group.stem)
            and group not in same
            and member.config
            and seed is not None
        ]
        objections: list[str] = []
        for group in same:
            objection, why = self._judged(group, member, seed)
            if objection is None:
                group.why = group.why or why
                return group
            objections.append(objection)
        for group in automatic:
            objection, why = self._judged(group, member, seed)
            if objection is None and group.members[0].config:
                group.why = group.why or why
                return group
        return self._new(member, stem, objections)

    def _judged(self, group: _Group, member: Member, seed: int | None) -> tuple[str | None, str]:
        """Return what speaks against a run as a seed of a variant, else what speaks for it."""
        why = "the source says so"
        for other in group.members:
            theirs = self._stem(other)[1]
            if keys := differing(other.config, member.config) if _both(other, member) else []:
                return f"they differ in {_values(keys, other.config, member.config)}", ""
            if seed is not None and seed == theirs:
                return f"both say seed {seed}, so one repeats the other", ""
            if other.says_variant and member.says_variant:
                continue
            if _both(other, member):
                why = "their configs agree" + (" in all but the seed" if seed is not None else "")
            elif seed is None or theirs is None:
                return "nothing says that they are seeds of one variant", ""
            elif other.said_seed is None or member.said_seed is None:
                why = "their names differ in the seed only"
        return None, why

    def _new(self, member: Member, stem: str, objections: Sequence[str]) -> _Group:
        name = kept_name(stem) if member.says_variant else cleaned_name(stem)
        taken = {**self._groups, **dict.fromkeys(self._trained if objections else ())}
        if name not in taken:
            return self._group(name, stem)
        first = next((g for g in self._groups.values() if g.stem == stem), None)
        wished = _described(name, first.members[0], member) if first and first.members else name
        variant = wished
        number = 2
        while variant in taken:
            variant, number = f"{name}-{number}", number + 1
        why = (
            objections[0] if objections else f"'{stem}' is another name than '{self._other(name)}'"
        )
        self._apart.setdefault((name, why), []).append(variant)
        return self._group(variant, stem)

    def _other(self, variant: str) -> str:
        return self._groups[variant].stem if variant in self._groups else variant

    def _add(self, group: _Group, member: Member, seed: int, *, is_new: bool) -> None:
        placed = replace(member, variant=group.variant, seed=seed)
        group.members.append(placed)
        group.new += is_new
        twin = self._twins.setdefault(placed.values, placed) if placed.values else placed
        if twin.source != placed.source:
            self._equal.setdefault(twin.label, []).append(placed.label)

    def tell(self) -> None:
        """Say what is no seed of what, which runs are equal, and why others are seeds."""
        for (name, why), variants in self._apart.items():
            verb = "is not a seed" if len(variants) == 1 else "are not seeds"
            self._placement.notes.append(f"{few(variants)} {verb} of {name}: {why}")
        for label, others in self._equal.items():
            self._placement.notes.append(
                f"{few([label, *others])} are equal in every value, to the bit"
            )
        alike: dict[str, list[str]] = {}
        for group in self._groups.values():
            if group.new and len(group.members) > 1:
                why = "as typed" if self._wishes.variant else group.why
                seeds = ", ".join(str(seed) for seed in sorted(m.seed for m in group.members))
                alike.setdefault(f"seeds {seeds}; {why}", []).append(group.variant)
        self._placement.notes += [f"{few(names)}: {said}" for said, names in alike.items()]


def _both(one: Member, other: Member) -> bool:
    return bool(one.config) and bool(other.config)


def _values(keys: Sequence[str], one: Mapping[str, Json], other: Mapping[str, Json]) -> str:
    shown = [f"{key} ({_shown(one, key)}, {_shown(other, key)})" for key in keys]
    return few(shown, 3)


def _shown(config: Mapping[str, Json], key: str) -> str:
    if key not in config:
        return "unset"
    value = config[key]
    return value if isinstance(value, str) else canonical_json(value)


def _described(name: str, first: Member, member: Member) -> str:
    """Return a name that says in what a run differs, if that is little."""
    keys = differing(first.config, member.config) if _both(first, member) else []
    if not 0 < len(keys) <= 2:
        return name
    parts = [f"{key.rpartition('.')[2]}={_shown(member.config, key)}" for key in keys]
    return cleaned_name("-".join([name, *parts]))


def _stems(
    members: Sequence[Member], rule: SeedRule, placement: Placement
) -> dict[tuple[str, bool], tuple[str, int | None]]:
    """Return (title, whether it is a variant's) -> its part without a seed, and that seed."""
    stems: dict[tuple[str, bool], tuple[str, int | None]] = {}
    doubtful: dict[str, list[Member]] = {}
    for member in members:
        key = member.title, member.says_variant
        if rule == "none" or member.says_variant:
            stems[key] = member.title, None
        elif rule == "names":
            stems[key] = split_number(member.title)
        else:
            stems[key] = split_seed(member.title)
            if stems[key][1] is not None and not says_seed(member.title):
                doubtful.setdefault(stems[key][0], []).append(member)
    for stem, group in doubtful.items():
        numbers = {number for m in group if (number := split_seed(m.title)[1]) is not None}
        if are_seeds(numbers) or all(m.said_seed == split_seed(m.title)[1] for m in group):
            continue
        titles = list(dict.fromkeys(m.title for m in group))
        stems |= {(title, False): (title, None) for title in titles}
        if any(not m.variant for m in group):
            placement.notes.append(
                f"{', '.join(titles[:6])}: variants, as their numbers may be sizes of {stem}; "
                "--seeds names takes them for seeds"
            )
    return stems
