"""Signs that the optimizer, a part of the model or the codes do not learn as they should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.analysis.run_view import RunView, middle
from ablate.analysis.signs import Sign, seen
from ablate.analysis.wording import listed, number
from ablate.domain import RunState

HEALTHY = 1e-3
"""Length of an optimizer step over that of the weights, where training goes well."""
ABSURD = 0.03
"""Steps as long as this in most of the run leave nothing of what was learned."""
IDLE = 1e-6
"""Steps as short as this in most of the run lead nowhere."""
EXPLAINED = 0.25
"""A quantizer that explains less of the variance of its input passes on noise."""
STILL = 1e-3
"""Codes that changed by less than this fraction have not been fitted to anything."""
FEW_CODES = 0.03
"""A batch that uses a smaller share of the codes has in effect none."""


def rate_too_high(views: Sequence[RunView]) -> Sign | None:
    """Steps far longer than weights can bear, in most of the run."""

    def look(view: RunView) -> dict[str, float] | None:
        steps = _step_lengths(view)
        size = middle(steps.values())
        if size is None or size < ABSURD:
            return None
        evidence = {f"train/update/{part}": value for part, value in steps.items()}
        evidence["diverged"] = float(view.run.state == RunState.DIVERGED)
        for key in ("train/optim/clip_fraction", "train/optim/lr"):
            if (value := view.recent(key)) is not None:
                evidence[key] = value
        return {**evidence, "median step": size}

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    size = evidence["median step"]
    text = (
        f"the learning rate is too high: a step moves the weights by {number(size)} of their own "
        f"length (about {HEALTHY:g} is healthy)"
    )
    if (rate := evidence.get("train/optim/lr")) is not None:
        text += f" at train/optim/lr {number(rate)}"
    if (clipped := evidence.get("train/optim/clip_fraction")) is not None:
        text += f", train/optim/clip_fraction {number(clipped)}"
    if evidence["diverged"]:
        text += ", and the loss diverged"
    text += f"; a rate {number(size / HEALTHY, 1)} times lower would be usual"
    return Sign(name="learning rate too high", sentence=text, evidence=evidence, runs=runs)


def rate_too_low(views: Sequence[RunView]) -> Sign | None:
    """Steps too short to lead anywhere, in most of the run."""

    def look(view: RunView) -> dict[str, float] | None:
        size = middle(_step_lengths(view).values())
        return {"median step": size} if size is not None and 0 < size < IDLE else None

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    text = (
        f"the learning rate is too low: a step moves the weights by "
        f"{number(evidence['median step'])} of their own length (about {HEALTHY:g} is healthy)"
    )
    return Sign(name="learning rate too low", sentence=text, evidence=evidence, runs=runs)


def _step_lengths(view: RunView) -> dict[str, float]:
    """Return part -> the median length of its steps; parts that stand still say nothing of it."""
    found: dict[str, float] = {}
    for part in view.data.names_in("train/update"):
        size = middle(view.history(f"train/update/{part}").values())
        if size is not None and size > 0:
            found[part] = size
    return found


def part_still(views: Sequence[RunView]) -> Sign | None:
    """A part or parameter that never moves while others do."""

    def look(view: RunView) -> dict[str, float] | None:
        moves = _movements(view)
        still = {key: 0.0 for key, moved in moves.items() if not moved}
        return still if still and any(moves.values()) else None

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    names = [key.split("/")[-1] for key in evidence]
    # A part says it for its parameters.
    parts = [n for n in names if not any(n != o and n.startswith(o) for o in names)]
    verb, they = ("does", "its") if len(parts) == 1 else ("do", "their")
    text = (
        f"{listed(parts)} {verb} not learn: {listed(sorted(evidence))} stayed exactly 0 while "
        f"other parts moved; {they} gradient is cut, or the part is frozen"
    )
    return Sign(name="a part does not learn", sentence=text, evidence=evidence, runs=runs)


def _movements(view: RunView) -> dict[str, bool]:
    """Return metric key -> whether that part or parameter ever moved; codes are not among them."""
    found: dict[str, bool] = {}
    for group in ("train/update", "train/change"):
        for name in view.data.names_in(group):
            key = f"{group}/{name}"
            now = view.recent(key)
            if now is None or _is_of_codes(name):
                continue
            found[key] = now != 0 or any(view.history(key).values())
    return found


def _is_of_codes(name: str) -> bool:
    return name.startswith(("codebook", "quantizer"))


def codebook_still(views: Sequence[RunView]) -> Sign | None:
    """Codes that stay where they began, or where they were first put."""

    def look(view: RunView) -> dict[str, float] | None:
        evidence = {
            key: value
            for key, value in _code_changes(view).items()
            if value < STILL or _stands(view.history(key))
        }
        explained = view.recent("train/rvq/explained_variance")
        if not evidence or len(evidence) < len(_code_changes(view)):
            return None
        if explained is None:
            return evidence
        return {**evidence, "train/rvq/explained_variance": explained}

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    changes = {k: v for k, v in evidence.items() if k.startswith("train/change/")}
    shown = listed([f"{key} {number(value)}" for key, value in changes.items()])
    text = f"the codebooks are never updated: {shown} from the first to the last step"
    if (explained := evidence.get("train/rvq/explained_variance")) is not None:
        text += f", and the quantizer explains {explained:.0%} of the variance of its input"
    return Sign(name="codebook never updated", sentence=text, evidence=evidence, runs=runs)


def _code_changes(view: RunView) -> dict[str, float]:
    """Return key -> how far the codes of each quantizer that is in use are from their start."""
    found: dict[str, float] = {}
    for name in view.data.names_in("train/change"):
        index = name.removeprefix("codebook_q")
        if index != name and view.recent(f"train/rvq/perplexity_q{index}") is not None:
            value = view.recent(f"train/change/{name}")
            if value is not None:
                found[f"train/change/{name}"] = value
    return found


def _stands(values: Mapping[int, float]) -> bool:
    """Whether codes that were put somewhere at the first step stayed there to the bit."""
    return len(values) > 2 and len(set(values.values())) == 1


def codes_explain_little(views: Sequence[RunView]) -> Sign | None:
    """Codes that move but do not fit what they stand for."""

    def look(view: RunView) -> dict[str, float] | None:
        explained = view.recent("train/rvq/explained_variance")
        if explained is None or explained >= EXPLAINED:
            return None
        return {"train/rvq/explained_variance": explained}

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    explained = evidence["train/rvq/explained_variance"]
    text = (
        f"the codes do not fit their input: the quantizer explains {number(explained, 2)} of its "
        "variance (train/rvq/explained_variance), so most of what it passes on is noise"
    )
    return Sign(name="codes explain little", sentence=text, evidence=evidence, runs=runs)


def codes_collapsed(views: Sequence[RunView]) -> Sign | None:
    """Hardly any code in use in the first codebook."""

    def look(view: RunView) -> dict[str, float] | None:
        usage, codes = view.recent("train/rvq/usage_q0"), view.recent("train/rvq/perplexity_q0")
        if usage is None or codes is None or usage >= FEW_CODES:
            return None
        return {"train/rvq/usage_q0": usage, "train/rvq/perplexity_q0": codes}

    if (found := seen(views, look)) is None:
        return None
    evidence, runs = found
    text = (
        f"few codes are in use: {evidence['train/rvq/usage_q0']:.1%} of the first codebook, "
        f"perplexity {number(evidence['train/rvq/perplexity_q0'])}"
    )
    return Sign(name="codes collapsed", sentence=text, evidence=evidence, runs=runs)
