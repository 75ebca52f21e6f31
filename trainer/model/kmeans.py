"""k-means for the first codes.

Shapes: `N` vectors, `D` their length, `V` codes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MAX_VECTORS = 20_000
MAX_ITERATIONS = 10
_CHUNK = 4096


class Clusters(NamedTuple):
    """Result of `kmeans`."""

    centres_VD: Tensor
    counts_V: Tensor
    """Vectors of each cluster."""


def nearest(vectors_ND: Tensor, codes_VD: Tensor) -> Tensor:
    """Return for each vector the index of the code at the smallest Euclidean distance, ``(N,)``."""
    # argmin |v - c|^2 = argmax v.c - |c|^2 / 2. In chunks, so that the scores stay in the cache.
    halves_V = codes_VD.square().sum(dim=1) / 2
    return torch.cat(
        [(part @ codes_VD.T).sub_(halves_V).argmax(dim=1) for part in vectors_ND.split(_CHUNK)]
    )


def cell_sums(vectors_ND: Tensor, codes_N: Tensor, n_codes: int) -> Clusters:
    """Return the sum and the number of the vectors at each code; sums stand where centres would."""
    sums = torch.zeros(n_codes, vectors_ND.shape[1], device=vectors_ND.device)
    counts = torch.zeros(n_codes, device=vectors_ND.device)
    sums.index_add_(0, codes_N, vectors_ND)
    counts.index_add_(0, codes_N, torch.ones_like(codes_N, dtype=counts.dtype))
    return Clusters(sums, counts)


def kmeans(
    vectors_ND: Tensor,
    n_clusters: int,
    generator: torch.Generator,
    *,
    iterations: int = MAX_ITERATIONS,
) -> Clusters:
    """Return the clusters of at most `MAX_VECTORS` of the vectors.

    Starts from random vectors; a cluster that becomes empty keeps its centre. With fewer vectors
    than clusters, centres repeat.

    Args:
        vectors_ND: Finite, any scale.
        n_clusters: At least 1.
        generator: On the CPU; draws the subset and the first centres.
        iterations: At least 0; with 0 the centres are vectors of the subset.

    Source: Lloyd 1982, "Least squares quantization in PCM".
    """
    order = torch.randperm(len(vectors_ND), generator=generator).to(vectors_ND.device)
    subset = vectors_ND[order[:MAX_VECTORS]]
    repeats = -(-n_clusters // len(subset))
    centres = subset.repeat(repeats, 1)[:n_clusters].clone()
    counts = torch.ones(n_clusters, device=subset.device)
    for _ in range(iterations):
        sums, counts = cell_sums(subset, nearest(subset, centres), n_clusters)
        filled = (counts > 0).unsqueeze(1)
        centres = torch.where(filled, sums / counts.clamp_min(1).unsqueeze(1), centres)
    return Clusters(centres, counts * (len(vectors_ND) / len(subset)))
