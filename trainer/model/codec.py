"""The two codecs: quantizer at the bottleneck, or at the sample rate before the read-out.

Shapes: `B` batch, `C` channels, `D` code length, `T` time steps (samples for audio).
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainer.config import Config, ModelConfig
from trainer.model.layers import (
    NormedConv,
    NormedUnit,
    PaddedConv,
    PatchUpsample,
    TransposedUpsample,
    residual_stack,
    standardise_over_time,
    unfold_patches,
)
from trainer.model.quantizer import Quantized, ResidualQuantizer


class CodecOutput(NamedTuple):
    """What a codec made of a batch."""

    audio_BT: Tensor
    quantized: Quantized
    stages: Mapping[str, Tensor]
    """Stage name -> its activations, in the order of the signal path."""


class Codec(nn.Module, abc.ABC):
    """Encoder, quantizer, decoder. Subclasses are the topologies."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.quantizer = ResidualQuantizer(config.quantizer)
        self.encoder = self._build_encoder(config.model)
        self.pre_rvq = nn.Conv1d(self._quantizer_channels(), config.quantizer.dim, 1)

    @abc.abstractmethod
    def _build_encoder(self, model: ModelConfig) -> nn.Module:
        """Return what makes frames of ``(B, 1, T)``."""

    @abc.abstractmethod
    def _quantizer_channels(self) -> int:
        """Return the width of what `_before_quantizer` returns."""

    def latents(self, audio_BT: Tensor) -> Tensor:
        """Return what the quantizer is given, ``(B, D, T')``."""
        raw = self.pre_rvq(self._before_quantizer(audio_BT))
        if self.config.quantizer.prenorm == "time":
            return standardise_over_time(raw)
        return raw

    def _before_quantizer(self, audio_BT: Tensor) -> Tensor:
        return self.encoder(audio_BT.unsqueeze(1))

    def forward(self, audio_BT: Tensor, n_active: int) -> CodecOutput:
        """Encode, quantize with ``n_active`` codebooks, decode."""
        latents = self.latents(audio_BT)
        quantized = self.quantizer(latents, n_active)
        stages = {"pre_rvq": latents, "rvq": quantized.plain_BDT}
        if self.config.quantizer.post_affine:
            stages["affine"] = quantized.output_BDT
        audio = self._decode(quantized.output_BDT, stages)
        stages["out"] = audio
        return CodecOutput(audio, quantized, stages)

    @abc.abstractmethod
    def _decode(self, latents_BDT: Tensor, stages: dict[str, Tensor]) -> Tensor:
        """Return audio ``(B, T)``, and add to ``stages`` what is passed on the way."""

    @property
    @abc.abstractmethod
    def read_out(self) -> nn.Conv1d:
        """The last layer, linear."""

    @torch.no_grad()
    def scale_read_out(self, factor: Tensor) -> None:
        """Multiply the output by ``factor``."""
        for parameter in self.read_out.parameters():
            parameter.mul_(factor)

    def tracked(self) -> dict[str, nn.Parameter]:
        """Return the parameters whose norms are watched, under the names they are logged by."""
        watched = {"pre_rvq": self.pre_rvq, "out_proj": self.read_out}
        return {
            f"{name}_{kind}": parameter
            for name, layer in watched.items()
            for kind, parameter in layer.named_parameters()
        }


class BottleneckCodec(Codec):
    """Quantizes the encoder's frames; a mirrored decoder follows."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        model = config.model
        widths = [*model.channels[::-1]]
        strides = model.strides[::-1]
        self.post_rvq = PaddedConv(
            config.quantizer.dim, widths[0], kernel_size=model.kernel_size, causal=model.causal
        )
        stages: list[nn.Module] = []
        for width, narrower, stride in zip(widths, widths[1:], strides, strict=False):
            stages += [
                _units(width, model),
                nn.ELU(),
                PatchUpsample(width, narrower, factor=stride, kernel_size=3, causal=model.causal),
            ]
        stages += [_units(widths[-1], model), nn.ELU()]
        self.decoder = nn.Sequential(*stages)
        self.out_proj = PaddedConv(widths[-1], strides[-1], kernel_size=3, causal=model.causal)

    def _build_encoder(self, model: ModelConfig) -> nn.Module:
        return _frame_encoder(model)

    def _quantizer_channels(self) -> int:
        return self.config.model.channels[-1]

    def _decode(self, latents_BDT: Tensor, stages: dict[str, Tensor]) -> Tensor:
        hidden = self.decoder(self.post_rvq(latents_BDT))
        stages["decoder"] = hidden
        # No convolution runs at the sample rate: the read-out makes whole patches of samples.
        patches = self.out_proj(hidden)
        return unfold_patches(patches, patches.shape[1]).squeeze(1)

    @property
    def read_out(self) -> nn.Conv1d:
        """The convolution that makes the samples."""
        return self.out_proj.conv


class PreOutputCodec(Codec):
    """Decodes to the sample rate first, quantizes there, and reads the audio out linearly."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        model, dim = config.model, config.quantizer.dim
        self.decoder = _full_rate_decoder(model, dim)
        self.final_conv = None
        if model.final_conv != "none":
            self.final_conv = nn.Conv1d(dim, dim, 1)
        if model.final_conv == "identity":
            _make_identity(self.final_conv)
        self.out_proj = nn.Conv1d(dim, 1, 1)

    def _build_encoder(self, model: ModelConfig) -> nn.Module:
        return _normed_encoder(model)

    def _quantizer_channels(self) -> int:
        return self.config.quantizer.dim

    def _before_quantizer(self, audio_BT: Tensor) -> Tensor:
        return self.decoder(self.encoder(audio_BT.unsqueeze(1)))

    def _decode(self, latents_BDT: Tensor, stages: dict[str, Tensor]) -> Tensor:
        if self.final_conv is not None:
            latents_BDT = self.final_conv(latents_BDT)
            stages["final_conv"] = latents_BDT
        return self.out_proj(latents_BDT).squeeze(1)

    @property
    def read_out(self) -> nn.Conv1d:
        """The 1x1 convolution to one channel."""
        return self.out_proj

    def tracked(self) -> dict[str, nn.Parameter]:
        """Return the parameters whose norms are watched, ``final_conv`` among them."""
        parameters = super().tracked()
        if self.final_conv is not None:
            for kind, parameter in self.final_conv.named_parameters():
                parameters[f"final_conv_{kind}"] = parameter
        return parameters


def build_codec(config: Config) -> Codec:
    """Return an untrained codec; its parameters are drawn from torch's global generator."""
    kind = PreOutputCodec if config.model.topology == "pre_output" else BottleneckCodec
    return kind(config)


def _frame_encoder(model: ModelConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    previous = 1
    for width, stride in zip(model.channels, model.strides, strict=True):
        layers += [
            PaddedConv(previous, width, kernel_size=2 * stride, stride=stride, causal=model.causal),
            _units(width, model),
            nn.ELU(),
        ]
        previous = width
    return nn.Sequential(*layers)


def _normed_encoder(model: ModelConfig) -> nn.Sequential:
    """Return strided layers, then `residual_units` more; each twice as dilated as the last."""
    strides = [*model.strides, *[1] * model.residual_units]
    widths = [*model.channels, *[model.channels[-1]] * model.residual_units]
    layers: list[nn.Module] = []
    for i, (before, width, stride) in enumerate(zip([1, *widths], widths, strides, strict=False)):
        layers.append(
            NormedConv(
                before,
                width,
                kernel_size=model.kernel_size,
                stride=stride,
                dilation=2**i,
                causal=model.causal,
            )
        )
    return nn.Sequential(*layers, nn.Conv1d(widths[-1], widths[-1], 1))


def _full_rate_decoder(model: ModelConfig, dim: int) -> nn.Sequential:
    """Return linear upsampling stages, residual units at the sample rate, two more layers."""
    size, causal = model.kernel_size, model.causal
    stages: list[nn.Module] = [nn.Conv1d(model.channels[-1], dim, 1)]
    stages += [
        TransposedUpsample(dim, factor=stride, kernel_size=size, causal=causal)
        for stride in model.strides[::-1]
    ]
    stages += [
        NormedUnit(dim, kernel_size=size, dilation=2**i, causal=causal)
        for i in range(model.residual_units)
    ]
    stages += [
        PaddedConv(dim, dim, kernel_size=3, causal=causal),
        nn.SiLU(),
        nn.Conv1d(dim, dim, 1),
    ]
    return nn.Sequential(*stages)


def _units(channels: int, model: ModelConfig) -> nn.Sequential:
    return residual_stack(
        channels, units=model.residual_units, kernel_size=model.kernel_size, causal=model.causal
    )


@torch.no_grad()
def _make_identity(conv: nn.Conv1d | None) -> None:
    assert conv is not None
    conv.weight.copy_(torch.eye(conv.out_channels).unsqueeze(-1))
    if conv.bias is not None:
        conv.bias.zero_()
