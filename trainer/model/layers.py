"""Convolutions that the codec is made of.

Shapes: `B` batch, `C` channels, `T` time steps of the layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PaddedConv(nn.Module):
    """1-d convolution whose output has ``T / stride`` steps, causal or centred.

    Args:
        in_channels: Width of the input.
        out_channels: Width of the output.
        kernel_size: Taps.
        stride: Divides ``T``.
        dilation: Distance of the taps.
        causal: Whether an output sees only its own and earlier input.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation
        )
        missing = (kernel_size - 1) * dilation + 1 - stride
        self._right = 0 if causal else missing // 2
        self._left = missing - self._right

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return the convolved signal."""
        return self.conv(functional.pad(x_BCT, (self._left, self._right)))


class Film(nn.Module):
    """Scales and shifts each channel by what it is told; begins without effect.

    Source: Perez et al. 2018, arXiv:1709.07871.
    """

    def __init__(self, condition_dim: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(condition_dim, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x_BCT: Tensor, told_BS: Tensor) -> Tensor:
        """Return an array of the input's shape."""
        scale_BC1, shift_BC1 = self.affine(told_BS).unsqueeze(2).chunk(2, dim=1)
        return x_BCT * (1 + scale_BC1) + shift_BC1


class ConditionedSequential(nn.Sequential):
    """Layers in a row; those that listen are told the speaker."""

    def forward(self, x_BCT: Tensor, told_BS: Tensor | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return what the last layer makes."""
        for layer in self:
            listens = isinstance(layer, ResidualUnit | NormedUnit | ConditionedSequential)
            x_BCT = layer(x_BCT, told_BS) if listens else layer(x_BCT)
        return x_BCT


class ResidualUnit(nn.Module):
    """ELU, dilated convolution, ELU, 1x1 convolution, added to the input.

    Args:
        channels: Width.
        kernel_size: Taps of the dilated convolution.
        dilation: Their distance.
        causal: Whether it sees the past alone.
        condition_dim: Length of what it is told by `Film` before the second ELU; 0 for nothing.

    Source: SEANet, Tagliasacchi et al. 2020, arXiv:2009.02095; without weight normalisation.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int,
        dilation: int,
        causal: bool,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.spread = PaddedConv(
            channels, channels, kernel_size=kernel_size, dilation=dilation, causal=causal
        )
        self.mix = nn.Conv1d(channels, channels, 1)
        self.film = Film(condition_dim, channels) if condition_dim else None

    def forward(self, x_BCT: Tensor, told_BS: Tensor | None = None) -> Tensor:
        """Return an array of the input's shape."""
        inner = self.spread(functional.elu(x_BCT))
        if self.film is not None and told_BS is not None:
            inner = self.film(inner, told_BS)
        return x_BCT + self.mix(functional.elu(inner))


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each time step.

    Source: Ba et al. 2016, arXiv:1607.06450.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return an array of the input's shape."""
        return self.norm(x_BCT.transpose(1, 2)).transpose(1, 2)


class NormedConv(nn.Module):
    """Convolution, normalisation over channels, SiLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            PaddedConv(
                in_channels,
                out_channels,
                kernel_size=kernel_size,
                stride=stride,
                dilation=dilation,
                causal=causal,
            ),
            ChannelNorm(out_channels),
            nn.SiLU(),
        )

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return ``(B, out_channels, T / stride)``."""
        return self.layers(x_BCT)


class NormedUnit(nn.Module):
    """`NormedConv`, `Film` where it is told something, a 1x1 convolution; added to the input."""

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int,
        dilation: int,
        causal: bool,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.inner = NormedConv(
            channels, channels, kernel_size=kernel_size, dilation=dilation, causal=causal
        )
        self.mix = nn.Conv1d(channels, channels, 1)
        self.film = Film(condition_dim, channels) if condition_dim else None

    def forward(self, x_BCT: Tensor, told_BS: Tensor | None = None) -> Tensor:
        """Return an array of the input's shape."""
        inner = self.inner(x_BCT)
        if self.film is not None and told_BS is not None:
            inner = self.film(inner, told_BS)
        return x_BCT + self.mix(inner)


class TransposedUpsample(nn.Module):
    """Transposed convolution over two input steps, then a convolution; linear."""

    def __init__(self, channels: int, *, factor: int, kernel_size: int, causal: bool) -> None:
        super().__init__()
        self._factor = factor
        self.spread = nn.ConvTranspose1d(channels, channels, 2 * factor, stride=factor)
        self.smooth = PaddedConv(channels, channels, kernel_size=kernel_size, causal=causal)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return ``(B, C, T * factor)``; the overhang behind the end is cut off."""
        spread = self.spread(x_BCT)[..., : x_BCT.shape[-1] * self._factor]
        return self.smooth(spread)


class PatchUpsample(nn.Module):
    """Makes ``factor`` steps of one: a convolution at the low rate whose channels become time.

    Source: sub-pixel convolution, Shi et al. 2016, arXiv:1609.05158, in one dimension.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, factor: int, kernel_size: int, causal: bool
    ) -> None:
        super().__init__()
        self.factor = factor
        self.patches = PaddedConv(
            in_channels, out_channels * factor, kernel_size=kernel_size, causal=causal
        )

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return ``(B, out_channels, T * factor)``."""
        return unfold_patches(self.patches(x_BCT), self.factor)


def unfold_patches(patches_BCT: Tensor, factor: int) -> Tensor:
    """Return ``(B, C / factor, T * factor)``: groups of ``factor`` channels become time."""
    batch, channels, steps = patches_BCT.shape
    grouped = patches_BCT.reshape(batch, channels // factor, factor, steps)
    return grouped.transpose(2, 3).reshape(batch, channels // factor, steps * factor)


def standardise_over_time(x_BCT: Tensor) -> Tensor:
    """Return each channel with mean 0 and deviation 1 over time; sees the whole segment."""
    centred = x_BCT - x_BCT.mean(dim=-1, keepdim=True)
    return centred / (centred.std(dim=-1, keepdim=True) + 1e-5)


def residual_stack(
    channels: int, *, units: int, kernel_size: int, causal: bool, condition_dim: int = 0
) -> ConditionedSequential:
    """Return ``units`` residual units with dilations 1, 3, 9, ..."""
    return ConditionedSequential(
        *(
            ResidualUnit(
                channels,
                kernel_size=kernel_size,
                dilation=3**i,
                causal=causal,
                condition_dim=condition_dim,
            )
            for i in range(units)
        )
    )


def rms(x: Tensor) -> Tensor:
    """Return the root mean square over all elements, 0-dim."""
    return torch.sqrt(torch.mean(torch.square(x)))
