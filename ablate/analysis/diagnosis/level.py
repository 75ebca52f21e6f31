"""Signs in the output's level: who pulls it down, and what is too weak to hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ablate.analysis.diagnosis.run_view import LOW, RunView, middle
from ablate.analysis.diagnosis.signs import Sign, seen
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


def weak_level_term(views: Sequence[RunView]) -> Sign | None:
    """A term that pulls a quiet output louder, far more weakly than others pull it quieter."""
    found = seen(views, _weak_terms)
    if found is None:
        return None
    evidence, runs = found
    lacks = {k.removesuffix(_LACKS): v for k, v in evidence.items() if k.endswith(_LACKS)}
    name = max(lacks, key=lambda name: evidence[f"train/force/{name}"])
    text = (
        f"{name} is too weak to hold the level: it pulls a quiet output louder, but "
        f"{rough(lacks[name])} times more weakly than the others together pull it quieter; its "
        "weight would have to grow by that factor"
    )
    if (share := evidence.get(f"share of {name}")) is not None:
        text += f"; it is {percent(share, signed=False)} of the total"
    if others := [f"{n} {rough(k)} times" for n, k in lacks.items() if n != name]:
        text += f" (weak too: {listed(others)})"
    text += f"; the level is at {number(evidence['level'], 2)} of the target level"
    return Sign(
        name="level term too weak", sentence=text, evidence=evidence, runs=runs, subject=name
    )


_LACKS = " is weaker by"


def _weak_terms(view: RunView) -> dict[str, float] | None:
    """Return force, lack and share of the terms that are too weak to hold the level.

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
    found: dict[str, float] = {}
    for name in louder:
        share, lack = _share(view, name), _lack(fall, name)
        if lack < WEAK or (share or 0.0) >= SMALL:
            continue
        found |= {f"train/force/{name}": _typical(quiet, name), f"{name}{_LACKS}": lack}
        if share is not None:
            found[f"share of {name}"] = share
    return {**found, "level": view.level or 0.0} if found else None


def pulled_quieter(views: Sequence[RunView]) -> Sign | None:
    """Terms that together pull the output quieter although it is too quiet already."""

    def look(view: RunView) -> dict[str, float] | None:
        # Near its level an output is pulled both ways, and healthy runs come to it from below.
        is_far = view.is_too_quiet and (view.level or 0.0) < LOW
        quiet = _quiet(view) if is_far else []
        late = [_direction(forces) for _, forces in quiet[len(quiet) // 2 :]]
        if not (fall := _fall(quiet)) or (middle(late) or 0.0) > DOWN:
            return None
        forces = {name: _typical(fall, name) for name in _names(fall)}
        net = middle(sum(forces.values()) for forces in fall)
        evidence = {f"train/force/{name}": force for name, force in forces.items() if force}
        return {**evidence, "net force": net or 0.0, "level": view.level or 0.0}

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    forces = {k: v for k, v in evidence.items() if k.startswith("train/force/")}
    strongest = min(forces, key=forces.__getitem__)
    text = (
        "the terms themselves pull the output quieter than the target: net force "
        f"{number(evidence['net force'])} while it is too quiet already, most of all "
        f"{strongest.removeprefix('train/force/')} ({number(forces[strongest])}); the level is "
        f"at {number(evidence['level'], 2)} of the target level"
    )
    return Sign(name="terms pull quieter", sentence=text, evidence=evidence, runs=runs)


def offset(views: Sequence[RunView]) -> Sign | None:
    """A level that is made of a constant."""

    def look(view: RunView) -> dict[str, float] | None:
        whole, sound = view.settled("train/audio/rms"), view.settled("train/audio/rms_ac")
        if whole is None or sound is None or not whole > 0 or view.is_too_quiet:
            return None
        share = sound / whole
        if 1 - share * share < OFFSET:
            return None
        return {"train/audio/rms": whole, "train/audio/rms_ac": sound}

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    text = (
        "most of the level is a constant, no sound: train/audio/rms "
        f"{number(evidence['train/audio/rms'])}, without its mean "
        f"{number(evidence['train/audio/rms_ac'])} (train/audio/rms_ac)"
    )
    return Sign(name="constant offset", sentence=text, evidence=evidence, runs=runs)


def too_loud(views: Sequence[RunView]) -> Sign | None:
    """An output far louder than its target."""

    def look(view: RunView) -> dict[str, float] | None:
        return {"level": view.level or 0.0} if view.is_too_loud else None

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    text = f"the output is too loud: {number(evidence['level'])} times the target level"
    return Sign(name="too loud", sentence=text, evidence=evidence, runs=runs)


_Forces = Mapping[str, float]
"""Term -> scale force at one step; positive is louder."""


def _quiet(view: RunView) -> list[tuple[float, _Forces]]:
    """Return (level, forces) wherever the output was quieter than the target; none from one record.

    A single record shows where an output is, not where it is pulled to.
    """
    names = [name for name in view.data.names_in("train/force") if name != "total"]
    curves = {name: view.history(f"train/force/{name}") for name in names}
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
    return middle(forces.get(name, 0.0) for forces in fall) or 0.0


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
    return middle(ratios) or 0.0


def _is_balanced(quiet: Sequence[_Forces], name: str) -> bool:
    """Whether a term has as good as found its balance with what pulls a quiet output quieter."""
    against = middle(-sum(force for force in forces.values() if force < 0) for forces in quiet)
    return (against or 0.0) < BALANCED * _typical(quiet, name)


def _direction(forces: _Forces) -> float:
    """Return the net force over the sum of all sizes: -1 where all pull quieter."""
    sizes = sum(map(abs, forces.values()))
    return sum(forces.values()) / sizes if sizes else 0.0


def _share(view: RunView, name: str) -> float | None:
    part, total = view.recent(f"train/weighted/{name}"), view.recent("train/loss/total")
    return None if part is None or not total else part / total
