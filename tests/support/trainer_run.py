"""A `Run` in memory for trainers under test: logs into dicts, checkpoints into bytes."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainer.loop import train
from trainer.spec import BUNDLED

TINY = {
    "steps": 6,
    "log_every": 2,
    "valid_every": 4,
    "diagnostics_every": 3,
    "checkpoint_every": 100,
    "data.batch_size": 2,
    "data.segment_s": 0.1,
    "data.synthetic_s": 6,
    "data.valid_s": 0.4,
    "optim.warmup_steps": 2,
}
FITTED = {"quantizer.update": "ema", "quantizer.init": "kmeans", "quantizer.commitment": "standard"}
PRE_OUTPUT = {"preset": "pre_output", "quantizer.codebook_size": 16}
PHASE_A = {
    **PRE_OUTPUT,
    "quantizer.ste": "consistent",
    "quantizer.post_affine": True,
    "model.final_conv": "default",
}
GAN = {"discriminator.enabled": True, "discriminator.channels": 4, "discriminator.n_ffts": [256]}


class MemoryRun:
    """Implements `ablate.protocol.Run`.

    Args:
        seed: Of the run.
        stop_at: Logged step at or after which the run is asked to stop, or None.
        checkpoint: Bytes of an earlier `MemoryRun`'s last checkpoint to resume from.
    """

    device: str = "cpu"
    threads = 1
    checkpoint_steps: frozenset[int] = frozenset()
    processes = 1

    def __init__(
        self, seed: int = 0, *, stop_at: int | None = None, checkpoint: bytes | None = None
    ) -> None:
        self.seed_number = seed
        self.stop_at = stop_at
        self.checkpoint = checkpoint
        self.curves: dict[str, dict[int, float]] = {}
        self.events: list[tuple[str, int, dict[str, Any]]] = []
        self.saved_steps: list[int] = []
        self.artifacts: dict[str, bytes] = {}
        self._step = 0

    @property
    def dir(self) -> Path:
        raise NotImplementedError("nothing of a run in memory is on the disk")

    @property
    def should_stop(self) -> bool:
        return self.stop_at is not None and self._step >= self.stop_at

    def seed(self, stream: str | None = None, *, bits: int = 63) -> int:
        digest = hashlib.sha256(f"{self.seed_number}/{stream}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> (64 - bits)

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        self._step = max(self._step, step)
        for key, value in metrics.items():
            assert key.count("/") >= 2, key
            self.curves.setdefault(key, {})[step] = float(value)

    def event(self, name: str, step: int, **data: Any) -> None:
        self.events.append((name, step, data))

    def save(self, step: int, state: Any) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.checkpoint = buffer.getvalue()
        self.saved_steps.append(step)

    def resume(self) -> Any | None:
        if self.checkpoint is None:
            return None
        return torch.load(io.BytesIO(self.checkpoint), weights_only=True)

    def artifact(self, path: Path | str, name: str | None = None) -> None:
        self.artifacts[name or Path(path).name] = Path(path).read_bytes()

    def last(self, key: str) -> float:
        return self.curves[key][max(self.curves[key])]

    def first(self, key: str) -> float:
        return self.curves[key][min(self.curves[key])]

    def weights_sha256(self) -> str:
        """Return a digest of the last checkpoint's model weights and buffers."""
        assert self.checkpoint is not None
        state = torch.load(io.BytesIO(self.checkpoint), weights_only=True)
        sha = hashlib.sha256()
        for name in sorted(state["codec"]):
            sha.update(name.encode() + state["codec"][name].cpu().contiguous().numpy().tobytes())
        return sha.hexdigest()

    def is_finite(self) -> bool:
        return all(math.isfinite(v) for curve in self.curves.values() for v in curve.values())


def run_for(overrides: Mapping[str, Any], run: MemoryRun | None = None) -> MemoryRun:
    run = run or MemoryRun(seed=3)
    train(BUNDLED.resolve({**TINY, **overrides}), run)
    return run
