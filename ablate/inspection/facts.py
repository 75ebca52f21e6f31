"""What is to be said of a tensor, of a number or of numbers, alone and beside another."""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ablate.attempt.checkpoints.states import torch_module
from ablate.errors import UsageError


def require_torch() -> Any:
    """Return torch, imported if it is not yet.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise UsageError(
            "torch is not installed", hint="pip install 'ablate-studies[train]'"
        ) from error


def named_values(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, tensor, number or list of numbers) for all of a state."""
    if _is_tensor(state) or _is_number(state) or _is_vector(state):
        yield name, state
        return
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(state, Mapping):
        children = cast("Mapping[Any, Any]", state).items()
    elif isinstance(state, list | tuple):
        children = enumerate(cast("Sequence[Any]", state))
    for key, child in children:
        yield from named_values(child, f"{name}.{key}" if name else str(key))


def _is_tensor(value: Any) -> bool:
    torch = torch_module()
    return torch is not None and isinstance(value, torch.Tensor)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_vector(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(map(_is_number, cast("Sequence[Any]", value)))


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorFacts:
    """What is to be said of a tensor, or of a number, which is one of a single element."""

    shape: tuple[int, ...]
    dtype: str
    norm: float
    """L2, as all below, over the finite elements."""
    mean: float | None
    """None, as all below, where no element is finite."""
    deviation: float | None
    low: float | None
    high: float | None
    not_finite: int
    """How many elements are NaN or infinite."""
    zeros: float | None
    """Share of the elements that are exactly 0."""


def tensor_facts(value: Any) -> TensorFacts:
    """Return the facts about a tensor, a number or numbers; complex ones count by their size."""
    if not _is_tensor(value):
        return _plain_facts(value)
    flat = _doubles(value)
    finite = flat[flat.isfinite()]
    has_any = finite.numel() > 0
    low, high = (float(finite.min()), float(finite.max())) if has_any else (None, None)
    # Of equal elements only rounding is left.
    deviation = 0.0 if low == high else float(finite.std(correction=0))
    return TensorFacts(
        shape=tuple(value.shape),
        dtype=str(value.dtype).removeprefix("torch."),
        norm=float(finite.norm()),
        mean=float(finite.mean()) if has_any else None,
        deviation=deviation if has_any else None,
        low=low,
        high=high,
        not_finite=flat.numel() - finite.numel(),
        zeros=float((flat == 0).double().mean()) if flat.numel() else None,
    )


def _plain_facts(value: Any) -> TensorFacts:
    numbers = _floats(value)
    finite = [x for x in numbers if math.isfinite(x)]
    return TensorFacts(
        shape=() if _is_number(value) else (len(numbers),),
        dtype=type(value).__name__,
        norm=math.hypot(*finite),
        mean=statistics.fmean(finite) if finite else None,
        deviation=statistics.pstdev(finite) if finite else None,
        low=min(finite, default=None),
        high=max(finite, default=None),
        not_finite=len(numbers) - len(finite),
        zeros=sum(x == 0 for x in numbers) / len(numbers),
    )


def distance(value: Any, other: Any) -> float | None:
    """Return ``|value - other| / |other|``, None for other shapes or where that is no number."""
    if _is_tensor(value) != _is_tensor(other):
        return None
    if _is_tensor(value):
        if value.shape != other.shape:
            return None
        first, second = _doubles(value), _doubles(other)
        gap, size = float((first - second).norm()), float(second.norm())
    else:
        ours, theirs = _floats(value), _floats(other)
        if len(ours) != len(theirs):
            return None
        gap, size = math.dist(ours, theirs), math.hypot(*theirs)
    if gap == 0:
        return 0.0
    return gap / size if size > 0 and math.isfinite(gap / size) else None


def _floats(value: Any) -> list[float]:
    return [float(value)] if _is_number(value) else [float(x) for x in value]


def perplexity(counts: Any) -> float | None:
    """Return how many codes are in use in effect, from how often each is: 1 to their number."""
    shares = _doubles(counts).clamp_min(0)
    total = float(shares.sum())
    if not 0 < total < math.inf:
        return None
    shares = shares / total
    return math.exp(-float((shares * shares.clamp_min(1e-300).log()).sum()))


def _doubles(tensor: Any) -> Any:
    torch = torch_module()
    assert torch is not None
    flat = tensor.detach().reshape(-1)
    return (flat.abs() if flat.is_complex() else flat).to(torch.float64)
