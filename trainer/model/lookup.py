"""What every quantizer answers.

Shapes: `B` batch, `D` code length, `T` time steps, `N` = B * T vectors.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class LayerLookup(NamedTuple):
    """What one codebook did with its input."""

    residual_ND: Tensor
    """Its input, detached."""
    codes_N: Tensor
    """Index of the code chosen for each vector."""


class Quantized(NamedTuple):
    """Result of a quantizer."""

    output_BDT: Tensor
    """Behind affine and gradient copy; what the decoder reads."""
    plain_BDT: Tensor
    """Sum of the chosen codes alone, detached."""
    wanted_BDT: Tensor
    """What the codes stand for, detached: the input, within the quantizer's range."""
    commitment: Tensor
    """Mean over active codebooks, 0-dim."""
    codebook: Tensor
    """Mean over active codebooks, 0-dim."""
    lookups: tuple[LayerLookup, ...]
    """One for each active codebook; empty for a bypass."""


def to_time(vectors_ND: Tensor, like_BDT: Tensor) -> Tensor:
    """Return vectors of consecutive time steps as ``(B, D, T)`` again."""
    batch, dim, steps = like_BDT.shape
    return vectors_ND.reshape(batch, steps, dim).transpose(1, 2)
