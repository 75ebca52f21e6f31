"""Finite scalar quantization: every channel is rounded to one of a few levels.

Shapes: `B` batch, `C` channels, `T` time steps, `N` = B * T vectors, `G` groups.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.config.config import QuantizerConfig
from trainer.model.gradients import copied
from trainer.model.lookup import LayerLookup, Quantized, to_time

_SQUEEZE = 1e-3
"""Keeps the outermost levels within reach of the tanh."""


class ScalarQuantizer(nn.Module):
    """Groups of channels, each of which makes one code; there are no codes to learn or to lose.

    Source: Mentzer et al. 2023, arXiv:2309.15505, section 3 and its appendix.
    """

    _levels: Tensor
    _strides: Tensor

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self._n_groups = config.n_quantizers
        levels = torch.tensor(config.levels, dtype=torch.float32)
        strides = torch.cat([torch.ones(1), levels[:-1]]).cumprod(0)
        self.register_buffer("_levels", levels.repeat(config.n_quantizers), persistent=False)
        self.register_buffer("_strides", strides.long(), persistent=False)

    def codes(self) -> list[Tensor]:
        """Return nothing: no code is learnt."""
        return []

    def forward(self, input_BCT: Tensor, n_active: int, kept_B: Tensor | None = None) -> Quantized:
        """Quantize; the channels of groups that are not active become 0.

        Args:
            input_BCT: As many channels as all groups have; any scale, 1 fills half of the range.
            n_active: At least 1.
            kept_B: How many groups each item keeps; None for all active ones.
        """
        channels, steps = input_BCT.shape[1:]
        vectors_NC = input_BCT.transpose(1, 2).reshape(-1, channels)
        bounded_NC = self._bound(vectors_NC)
        rounded_NC = bounded_NC.round()
        halves_C = self._levels.div(2, rounding_mode="floor")
        output_NC = copied(bounded_NC, rounded_NC) / halves_C
        width = channels // self._n_groups
        kept_N = torch.full((1,), n_active, device=input_BCT.device)
        if kept_B is not None:
            kept_N = kept_B.repeat_interleave(steps)
        group_C = torch.arange(channels, device=input_BCT.device) // width
        output_NC = output_NC * (group_C < kept_N.unsqueeze(1))
        output_BCT = to_time(output_NC, input_BCT)
        zero = input_BCT.new_zeros(())
        digits_NC = (rounded_NC + halves_C).detach().long()
        wanted_NC = (bounded_NC / halves_C).detach()
        lookups = tuple(
            LayerLookup(part.detach(), (digits * self._strides).sum(dim=1))
            for part, digits in zip(
                vectors_NC.split(width, dim=1)[:n_active],
                digits_NC.split(width, dim=1)[:n_active],
                strict=True,
            )
        )
        return Quantized(
            output_BCT, output_BCT.detach(), to_time(wanted_NC, input_BCT), zero, zero, lookups
        )

    def _bound(self, vectors_NC: Tensor) -> Tensor:
        """Return each channel within its levels: as many whole numbers as it has levels."""
        half_C = (self._levels - 1) * (1 + _SQUEEZE) / 2
        # An even number of levels has none at zero: the tanh is shifted by half a level.
        offset_C = torch.where(self._levels % 2 == 0, 0.5, 0.0)
        shift_C = (offset_C / half_C).atanh()
        return (vectors_NC + shift_C).tanh() * half_C - offset_C


class Bypass(nn.Module):
    """Passes its input on: the control without any quantization."""

    def codes(self) -> list[Tensor]:
        """Return nothing."""
        return []

    def forward(self, input_BCT: Tensor, n_active: int, kept_B: Tensor | None = None) -> Quantized:
        """Return the input, whatever is active or kept."""
        del n_active, kept_B
        zero = input_BCT.new_zeros(())
        still_BCT = input_BCT.detach()
        return Quantized(input_BCT, still_BCT, still_BCT, zero, zero, ())
