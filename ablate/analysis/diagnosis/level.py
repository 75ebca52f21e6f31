"""Signs in the output's level: who pulls it down, and what is too weak to hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate import keys
from ablate.analysis.diagnosis.run_view import LEVEL_READS, LOW, RunView, median
from ablate.analysis.diagnosis.signs import Evidence, Sign
from ablate.analysis.wording import number, percent, rough
from ablate.text import listed

WEAK = 10.0
"""A term that the others outweigh by less on the way down is not weak."""
BALANCED = 3.0
"""A term that is outweighed by less over all records of a quiet output is in balance with them."""
DOWN = -0.2
"""Net force over the sum of all sizes, below which the terms pull down in earnest."""
SMALL = 0.1
"""A term with a larger share of the total is not there for the level alone."""
STEADY = 0.8
"""Share of the records with a quiet output in which a term that holds the level pulls louder."""
OFFSET = 0.5
"""Share of the output's power in its mean, above which it is no sound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeakTerms(Evidence):
    """Terms that hold the level, and how much too weak they are."""

    forces: Mapping[str, float]
    """Term -> its scale force on a quiet output; positive is louder."""
    lacks: Mapping[str, float]
    """Term -> the factor by which its force would have to grow."""
    shares: Mapping[str, float]
    """Term -> its share of the total, where that is known."""
    level: float
    """The output's level over the target's."""

    @property
    def strongest(self) -> str:
        """The term that pulls a quiet output louder most."""
        return max(self.lacks, key=lambda name: self.forces.get(name, -math.inf))

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        found: dict[str, float] = {}
        for name, lack in self.lacks.items():
            if name in self.forces:
                found[keys.FORCE.key(name)] = self.forces[name]
            found[f"{name} is weaker by"] = lack
            if name in self.shares:
                found[f"share of {name}"] = self.shares[name]
        return {**found, "level": self.level}


def _weak_terms(view: RunView) -> WeakTerms | None:
    """Return the terms that are too weak to hold the level.

    There is none where another term holds it, well or badly, or where a term that is there for
    more than the level pulls louder than they do.
    """
    if not view.is_too_quiet:
        return None
    records = _quiet(view)
    fall, quiet = _fall(records), [forces for _, forces in records]
    louder = _louder(quiet)
    strongest = max(_names(quiet), key=lambda name: _typical(quiet, name), default="")
    if strongest not in louder or any(_is_balanced(quiet, name) for name in louder):
        return None
    if (_share(view, strongest) or 0.0) >= SMALL:
        return None
    shares = {name: _share(view, name) for name in louder}
    lacks = {name: _lack(fall, name) for name in louder}
    weak = [n for n in louder if lacks[n] >= WEAK and (shares[n] or 0.0) < SMALL]
    if not weak:
        return None
    return WeakTerms(
        forces={name: _typical(quiet, name) for name in weak},
        lacks={name: lacks[name] for name in weak},
        shares={name: share for name in weak if (share := shares[name]) is not None},
        level=view.level or 0.0,
    )


def _tell_weak(found: WeakTerms, _: Sequence[RunView]) -> str:
    name = found.strongest
    text = (
        f"{name} is too weak to hold the level: it pulls a quiet output louder, but "
        f"{rough(found.lacks[name])} times more weakly than the others together pull it quieter; "
        "its weight would have to grow by that factor"
    )
    if (share := found.shares.get(name)) is not None:
        text += f"; it is {percent(share, signed=False)} of the total"
    if others := [f"{n} {rough(k)} times" for n, k in found.lacks.items() if n != name]:
        text += f" (weak too: {listed(others)})"
    return text + f"; the level is at {number(found.level, 2)} of the target level"


WEAK_LEVEL_TERM = Sign(
    name="level term too weak",
    reads=(*LEVEL_READS, keys.FORCE.pattern, keys.WEIGHTED.pattern, keys.TOTAL),
    look=_weak_terms,
    tell=_tell_weak,
    subject=lambda found: found.strongest,
)
"""A term that pulls a quiet output louder, far more weakly than others pull it quieter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DownwardPull(Evidence):
    """Forces on an output that is too quiet already."""

    forces: Mapping[str, float]
    """Term -> its scale force, of those that have one; negative is quieter."""
    net: float
    level: float
    """The output's level over the target's."""

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        forces = {keys.FORCE.key(name): force for name, force in self.forces.items()}
        return {**forces, "net force": self.net, "level": self.level}


def _downward_pull(view: RunView) -> DownwardPull | None:
    # Near its level an output is pulled both ways, and healthy runs come to it from below.
    is_far = view.is_too_quiet and (view.level or 0.0) < LOW
    quiet = _quiet(view) if is_far else []
    late = [_direction(forces) for _, forces in quiet[len(quiet) // 2 :]]
    if not (fall := _fall(quiet)) or (median(late) or 0.0) > DOWN:
        return None
    forces = {name: _typical(fall, name) for name in _names(fall)}
    return DownwardPull(
        forces={name: force for name, force in forces.items() if force},
        net=median(sum(forces.values()) for forces in fall) or 0.0,
        level=view.level or 0.0,
    )


def _tell_pull(found: DownwardPull, _: Sequence[RunView]) -> str:
    strongest = min(found.forces, key=found.forces.__getitem__)
    return (
        "the terms themselves pull the output quieter than the target: net force "
        f"{number(found.net)} while it is too quiet already, most of all "
        f"{strongest} ({number(found.forces[strongest])}); the level is "
        f"at {number(found.level, 2)} of the target level"
    )


PULLED_QUIETER = Sign(
    name="terms pull quieter",
    reads=(*LEVEL_READS, keys.FORCE.pattern),
    look=_downward_pull,
    tell=_tell_pull,
)
"""Terms that together pull the output quieter although it is too quiet already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offset(Evidence):
    """A level with and without its mean."""

    rms: float
    rms_ac: float

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        return {keys.RMS: self.rms, keys.RMS_AC: self.rms_ac}


def _offset(view: RunView) -> Offset | None:
    whole, sound = view.settled(keys.RMS), view.settled(keys.RMS_AC)
    if whole is None or sound is None or not whole > 0 or view.is_too_quiet:
        return None
    share = sound / whole
    return Offset(rms=whole, rms_ac=sound) if 1 - share * share >= OFFSET else None


def _tell_offset(found: Offset, _: Sequence[RunView]) -> str:
    return (
        f"most of the level is a constant, no sound: {keys.RMS} {number(found.rms)}, without its "
        f"mean {number(found.rms_ac)} ({keys.RMS_AC})"
    )


CONSTANT_OFFSET = Sign(
    name="constant offset",
    reads=(*LEVEL_READS, keys.RMS_AC),
    look=_offset,
    tell=_tell_offset,
)
"""A level that is made of a constant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loudness(Evidence):
    """A level far above the target's."""

    level: float
    """The output's over the target's."""

    def numbers(self) -> dict[str, float]:
        """See `Evidence`."""
        return {"level": self.level}


TOO_LOUD = Sign(
    name="too loud",
    reads=LEVEL_READS,
    look=lambda view: Loudness(level=view.level or 0.0) if view.is_too_loud else None,
    tell=lambda found, _: f"the output is too loud: {number(found.level)} times the target level",
)
"""An output far louder than its target."""


_Forces = Mapping[str, float]
"""Term -> scale force at one step; positive is louder."""


def _quiet(view: RunView) -> list[tuple[float, _Forces]]:
    """Return (level, forces) wherever the output was quieter than the target; none from one record.

    A single record shows where an output is, not where it is pulled to.
    """
    names = [name for name in view.data.names_in(keys.FORCE) if name != keys.TOTAL_NAME]
    curves = {name: view.history(keys.FORCE.key(name)) for name in names}
    steps = sorted({step for curve in curves.values() for step in curve})
    levels = view.levels()
    found: list[tuple[float, _Forces]] = [
        (levels[step], {name: curve[step] for name, curve in curves.items() if step in curve})
        for step in steps
        if levels.get(step, 1.0) < 1
    ]
    return found if len(found) > 1 else []


def _fall(quiet: Sequence[tuple[float, _Forces]]) -> list[_Forces]:
    """Return the forces where the quiet output was pulled quieter still.

    Only the upper half of the way down counts, where there is one: near the end of a fall all
    forces fade together, and say nothing of what would have held the level.
    """
    found = [(level, forces) for level, forces in quiet if sum(forces.values()) < 0]
    if not found:
        return []
    floor = math.sqrt(max(min(level for level, _ in found), 1e-9))
    return [f for level, f in found if level >= floor] or [f for _, f in found]


def _names(fall: Sequence[_Forces]) -> list[str]:
    return sorted({name for forces in fall for name in forces})


def _typical(fall: Sequence[_Forces], name: str) -> float:
    return median(forces.get(name, 0.0) for forces in fall) or 0.0


def _louder(quiet: Sequence[_Forces]) -> list[str]:
    """Return the terms that steadily pull a quiet output louder."""
    return [
        name
        for name in _names(quiet)
        if sum(forces.get(name, 0.0) > 0 for forces in quiet) >= STEADY * len(quiet)
    ]


def _lack(fall: Sequence[_Forces], name: str) -> float:
    """Return by what a term's force would have to grow to stand against all others."""
    ratios = [
        (forces[name] - sum(forces.values())) / forces[name]
        for forces in fall
        if forces.get(name, 0.0) > 0
    ]
    return median(ratios) or 0.0


def _is_balanced(quiet: Sequence[_Forces], name: str) -> bool:
    """Whether a term has as good as found its balance with what pulls a quiet output quieter."""
    against = median(-sum(force for force in forces.values() if force < 0) for forces in quiet)
    return (against or 0.0) < BALANCED * _typical(quiet, name)


def _direction(forces: _Forces) -> float:
    """Return the net force over the sum of all sizes: -1 where all pull quieter."""
    sizes = sum(map(abs, forces.values()))
    return sum(forces.values()) / sizes if sizes else 0.0


def _share(view: RunView, name: str) -> float | None:
    part, total = view.recent(keys.WEIGHTED.key(name)), view.recent(keys.TOTAL)
    return None if part is None or not total else part / total
