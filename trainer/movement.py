"""How far the weights have moved: since the start, and in a single step.

Everything here reads; nothing changes the training or draws random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ablate import keys
from trainer.model import Codec


class InitialWeights:
    """The weights before the first step: norms of all, values of those that are watched."""

    def __init__(self) -> None:
        self.norms: dict[str, float] = {}
        """Full name of each parameter and codebook -> L2 norm."""
        self._watched: dict[str, Tensor] = {}
        self._first_norms: dict[str, float] = {}

    @torch.no_grad()
    def take(self, codec: Codec) -> None:
        """Remember the weights as they are."""
        self.norms = {name: float(value.norm()) for name, value in codec.weights().items()}
        self._keep({name: value.detach().clone() for name, value in codec.watched().items()})

    def _keep(self, watched: dict[str, Tensor]) -> None:
        self._watched = watched
        # Read once: on a GPU, to look at a number is to wait for it.
        self._first_norms = {name: float(value.norm()) for name, value in watched.items()}

    def norm(self, name: str) -> float:
        """Return the first norm of a watched weight, or of any by its full name."""
        return self._first_norms[name] if name in self._first_norms else self.norms[name]

    @torch.no_grad()
    def distances(self, codec: Codec) -> dict[str, Tensor]:
        """Return for each watched weight its norm, and how it changed since the start.

        ``train/norm/<name>``: L2. ``train/drift/<name>``: relative change of the norm.
        ``train/change/<name>``: norm of the difference over the first norm, 0 for what never moved.
        A weight that started at zero has no relative change and gets its norm alone.
        """
        found: dict[str, Tensor] = {}
        for name, value in codec.watched().items():
            norm, first_norm = value.norm(), self._first_norms[name]
            found[keys.NORM.key(name)] = norm
            if first_norm > 0:
                found[keys.DRIFT.key(name)] = norm / first_norm - 1
                found[keys.CHANGE.key(name)] = (value - self._watched[name]).norm() / first_norm
        return found

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"norms": dict(self.norms), "watched": dict(self._watched)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any], codec: Codec) -> None:
        """Go on where ``state`` was taken; weights of another shape begin as they are now."""
        self.take(codec)
        self.norms |= {name: norm for name, norm in state["norms"].items() if name in self.norms}
        self._keep(
            {
                name: earlier.to(now.device)
                if (earlier := state["watched"].get(name)) is not None
                and earlier.shape == now.shape
                else now
                for name, now in self._watched.items()
            }
        )


class StepSize:
    """The length of one step of each part of the codec, relative to the part's own length.

    Args:
        codec: As it is before the step.
    """

    @torch.no_grad()
    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._before = {name: value.detach().clone() for name, value in codec.weights().items()}

    @torch.no_grad()
    def read(self) -> dict[str, Tensor]:
        """Return ``train/update/<part>``: |step| / |weights|; about 1e-3 where all is well."""
        moved: dict[str, list[Tensor]] = {}
        length: dict[str, list[Tensor]] = {}
        for name, value in self._codec.weights().items():
            part = name.split(".")[0]
            before = self._before[name]
            moved.setdefault(part, []).append((value - before).square().sum())
            length.setdefault(part, []).append(before.square().sum())
        return {
            keys.UPDATE.key(part): (
                torch.stack(moved[part]).sum() / torch.stack(length[part]).sum().clamp_min(1e-24)
            ).sqrt()
            for part in moved
        }
