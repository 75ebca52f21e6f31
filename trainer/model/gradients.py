"""How a gradient gets past a choice that has none.

Shapes: `N` vectors, `D` their length.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def copied(vectors_ND: Tensor, code_ND: Tensor) -> Tensor:
    """Return the code with the gradient of the identity.

    Source: Bengio et al. 2013, arXiv:1308.3432 (straight-through estimator).
    """
    return vectors_ND + (code_ND - vectors_ND).detach()


def rotated(vectors_ND: Tensor, code_ND: Tensor) -> Tensor:
    """Return the code as the vector turned and stretched onto it, both held constant.

    Source: Fifty et al. 2024, arXiv:2410.06424, equation for the rotation trick.
    """
    length = vectors_ND.norm(dim=1, keepdim=True).clamp_min(1e-6).detach()
    stretch = code_ND.norm(dim=1, keepdim=True).detach() / length
    start = (vectors_ND / length).detach()
    end = functional.normalize(code_ND.detach(), dim=1, eps=1e-6)
    middle = functional.normalize(start + end, dim=1, eps=1e-6)
    mirrored = vectors_ND - 2 * (vectors_ND * middle).sum(dim=1, keepdim=True) * middle
    turned = mirrored + 2 * (vectors_ND * start).sum(dim=1, keepdim=True) * end
    return stretch * turned
