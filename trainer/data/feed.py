"""Training batches on the device, the next one on its way while a step is computed."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.data.batches import Batch, SegmentSampler


class Feed:
    """Draws batches in order; on a GPU each is copied during the step before.

    Args:
        sampler: Draws on the CPU.
        device: Where batches are wanted.
    """

    def __init__(self, sampler: SegmentSampler, device: torch.device) -> None:
        self._sampler = sampler
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._coming: Batch | None = None
        self._state_before: Tensor | None = None
        """Of the sampler, before it drew the batch that is coming."""

    def take(self) -> Batch:
        """Return the next batch."""
        if self._stream is None:
            return self._sampler.draw().shared().to(self._device)
        batch = self._coming or self._send(self._stream)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for tensor in batch:
            if tensor is not None:
                # Its memory may be given away only when the step that reads it is done.
                tensor.record_stream(current)
        self._state_before = self._sampler.state()
        self._coming = self._send(self._stream)
        return batch

    def peek(self) -> Batch:
        """Return the next batch without taking it."""
        now = self._sampler.state()
        self._sampler.restore(self.state())
        batch = self._sampler.draw().to(self._device)
        self._sampler.restore(now)
        return batch

    def _send(self, stream: torch.cuda.Stream) -> Batch:
        with torch.cuda.stream(stream):
            return self._sampler.draw().shared().pinned().to(self._device)

    def state(self) -> Tensor:
        """Return what `restore` needs: where the next batch is drawn from."""
        if self._coming is None or self._state_before is None:
            return self._sampler.state()
        return self._state_before

    def restore(self, state: Tensor) -> None:
        """Go on where ``state`` was taken."""
        self._coming = None
        self._sampler.restore(state)
