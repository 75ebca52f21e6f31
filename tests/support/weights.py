"""The weights that runs ended with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.support.projects import Project

if TYPE_CHECKING:
    from torch import Tensor


def weights(project: Project) -> dict[tuple[str, int], str]:
    """Return (phase, seed) -> digest of all tensors in the newest checkpoint of each run."""
    import torch

    digests = {}
    for run, variant, seed in project.rows(
        "select r.id, v.name, r.seed from runs r join study_runs s on s.run_id = r.id "
        "join variants v on v.id = s.variant_id where r.state = 'succeeded'"
    ):
        newest = max((project.folder / ".ablate" / "runs" / run).rglob("*.ckpt"))
        state = torch.load(newest, weights_only=True)
        digest = hashlib.sha256()
        for name, tensor in sorted(tensors(state)):
            digest.update(name.encode() + tensor.numpy().tobytes())
        digests[variant, seed] = digest.hexdigest()
    return digests


def tensors(state: object, path: str = "") -> Iterator[tuple[str, Tensor]]:
    import torch

    if isinstance(state, torch.Tensor):
        yield path, state
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from tensors(value, f"{path}/{key}")
    elif isinstance(state, (list, tuple)):
        for index, value in enumerate(state):
            yield from tensors(value, f"{path}/{index}")
