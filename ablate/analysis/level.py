"""Signs in the output's level: who pulls it down, and what is too weak to hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ablate.analysis.run_view import RunView, middle
from ablate.analysis.signs import Sign, seen
from ablate.analysis.wording import listed, number, percent

WEAK = 5.0
"""A term that the others outweigh by less is not weak: it has found its balance with them."""
SMALL = 0.1
"""A term with a larger share of the total is not there for the level alone."""
STEADY = 0.8
"""Share of the records with a quiet output in which a term that holds the level pulls louder."""
LOUD = 2.0
"""An output above this multiple of the target's level is too loud."""
OFFSET = 0.5
"""Share of the output's power in its mean, above which it is no sound."""


def weak_level_term(views: Sequence[RunView]) -> Sign | None:
    """A term that pulls a quiet output louder, far more weakly than others pull it quieter."""

    def look(view: RunView) -> dict[str, float] | None:
        if not view.is_too_quiet:
            return None
        quiet = _quiet(view)
        fall = _fall(quiet)
        lacks = {
            name: lack
            for name in _louder([forces for _, forces in quiet])
            if (lack := _lack(fall, name)) >= WEAK and (_share(view, name) or 0.0) < SMALL
        }
        if not lacks:
            return None
        return (
            {f"train/force/{name} weaker by": lack for name, lack in lacks.items()}
            | {
                f"share of {name}": share
                for name in lacks
                if (share := _share(view, name)) is not None
            }
            | {"level": view.level or 0.0}
        )

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    lacks = {
        key.removeprefix("train/force/").removesuffix(" weaker by"): value
        for key, value in evidence.items()
        if key.endswith(" weaker by")
    }
    name = min(lacks, key=lacks.__getitem__)
    text = (
        f"{name} is too weak to hold the level: it pulls a quiet output louder, but "
        f"{number(lacks[name], 2)} times more weakly than the others together pull it quieter; its "
        "weight would have to grow by that factor"
    )
    if (share := evidence.get(f"share of {name}")) is not None:
        text += f"; it is {percent(share, signed=False)} of the total"
    if others := [f"{n} {number(k, 2)} times" for n, k in lacks.items() if n != name]:
        text += f" (weaker still: {listed(others)})"
    text += f"; the level ends at {number(evidence['level'], 2)} of the target level"
    return Sign(name="level term too weak", sentence=text, evidence=evidence, runs=runs)


def pulled_quieter(views: Sequence[RunView]) -> Sign | None:
    """Terms that together pull the output quieter although it is too quiet already."""

    def look(view: RunView) -> dict[str, float] | None:
        if not view.is_too_quiet or not (fall := _fall(_quiet(view))):
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
        f"{strongest.removeprefix('train/force/')} ({number(forces[strongest])}); the level ends "
        f"at {number(evidence['level'], 2)} of the target level"
    )
    return Sign(name="terms pull quieter", sentence=text, evidence=evidence, runs=runs)


def offset(views: Sequence[RunView]) -> Sign | None:
    """A level that is made of a constant."""

    def look(view: RunView) -> dict[str, float] | None:
        whole, sound = view.recent("train/audio/rms"), view.recent("train/audio/rms_ac")
        if whole is None or sound is None or not whole > 0 or view.is_too_quiet:
            return None
        if 1 - (sound / whole) ** 2 < OFFSET:
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
        level = view.level
        return {"level": level} if level is not None and level > LOUD else None

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    text = f"the output is too loud: {number(evidence['level'])} times the target level"
    return Sign(name="too loud", sentence=text, evidence=evidence, runs=runs)


_Forces = Mapping[str, float]
"""Term -> scale force at one step; positive is louder."""


def _quiet(view: RunView) -> list[tuple[float, _Forces]]:
    """Return (level, forces) wherever the output was quieter than the target."""
    names = [name for name in view.data.names_in("train/force") if name != "total"]
    curves = {name: view.history(f"train/force/{name}") for name in names}
    steps = sorted({step for curve in curves.values() for step in curve})
    levels = view.levels()
    return [
        (levels[step], {name: curve[step] for name, curve in curves.items() if step in curve})
        for step in steps
        if levels.get(step, 1.0) < 1
    ]


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


def _share(view: RunView, name: str) -> float | None:
    part, total = view.recent(f"train/weighted/{name}"), view.recent("train/loss/total")
    return None if part is None or not total else part / total
