"""The two codecs: quantizer at the bottleneck, or at the sample rate before the read-out.

What both can have beside audio in and audio out: a speaker encoder that tells the decoder who
speaks, pitch and energy beside the content, and units that the content encoder learns to name.

Shapes: `B` batch, `C` channels, `D` code length, `S` length of the speaker's embedding, `T` time
steps (samples for audio), `U` content units, `F` frames of 20 ms.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.config.config import Config, ModelConfig
from trainer.model.fsq import Bypass, ScalarQuantizer
from trainer.model.layers import (
    ConditionedSequential,
    NormedConv,
    NormedUnit,
    PaddedConv,
    PatchUpsample,
    TransposedUpsample,
    residual_stack,
    standardise_over_time,
    unfold_patches,
)
from trainer.model.lookup import Quantized
from trainer.model.pitch import N_FEATURES, prosody
from trainer.model.quantizer import ResidualQuantizer
from trainer.model.speaker import SpeakerEncoder


class CodecOutput(NamedTuple):
    """What a codec made of a batch."""

    audio_BT: Tensor
    quantized: Quantized
    stages: Mapping[str, Tensor]
    """Stage name -> its activations, in the order of the signal path."""
    content_logits_BUF: Tensor | None
    """Scores of the units in each frame; None without `model.content_units`."""


class Content(NamedTuple):
    """What is said and how, without who says it."""

    frames_BCT: Tensor
    """Of the content encoder."""
    melody_BCT: Tensor | None
    """Whitened pitch and energy, as often as `frames_BCT`; None where the codec is not told."""
    logits_BUF: Tensor | None
    """Scores of the units."""


class Codec(nn.Module, abc.ABC):
    """Encoder, quantizer, decoder. Subclasses are the topologies."""

    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        model = config.model
        self.quantizer = build_quantizer(config)
        self.encoder = self._build_encoder(model)
        self.pre_rvq = nn.Conv1d(self._quantizer_channels(), config.latent_dim, 1)
        self.content_head = None
        if model.content_units:
            self.content_head = nn.Conv1d(model.channels[-1], model.content_units, 1)
        self.speaker_encoder = None
        if model.speaker_dim:
            self.speaker_encoder = SpeakerEncoder(model.speaker_channels, model.speaker_dim)

    @abc.abstractmethod
    def _build_encoder(self, model: ModelConfig) -> nn.Module:
        """Return what makes frames of ``(B, 1, T)``."""

    @abc.abstractmethod
    def _quantizer_channels(self) -> int:
        """Return the width of what `_before_quantizer` returns."""

    @abc.abstractmethod
    def _before_quantizer(self, content: Content, speaker_BS: Tensor | None) -> Tensor:
        """Return what `pre_rvq` is given."""

    @abc.abstractmethod
    def _decode(
        self,
        latents_BDT: Tensor,
        content: Content,
        speaker_BS: Tensor | None,
        stages: dict[str, Tensor],
    ) -> Tensor:
        """Return audio ``(B, T)``, and add to ``stages`` what is passed on the way."""

    @property
    @abc.abstractmethod
    def read_out(self) -> nn.Conv1d:
        """The last layer, linear."""

    def forward(
        self,
        audio_BT: Tensor,
        n_active: int,
        *,
        kept_B: Tensor | None = None,
        voice_BT: Tensor | None = None,
    ) -> CodecOutput:
        """Encode, quantize with ``n_active`` codebooks, decode.

        Args:
            audio_BT: What is said, and by default who says it.
            n_active: Codebooks in use.
            kept_B: From how many codebooks each item is put together; None for all of them.
            voice_BT: Another utterance of the speaker who is to say it; any length.
        """
        content = self._content(audio_BT)
        speaker_BS = self._speaker(audio_BT if voice_BT is None else voice_BT)
        latents = self._latents(content, speaker_BS)
        with torch.autocast(audio_BT.device.type, enabled=False):
            quantized = self.quantizer(latents, n_active, kept_B)
        stages = {"pre_rvq": latents, "rvq": quantized.plain_BDT}
        if self.config.quantizer.post_affine:
            stages["affine"] = quantized.output_BDT
        audio = self._decode(quantized.output_BDT, content, speaker_BS, stages).float()
        stages["out"] = audio
        return CodecOutput(audio, quantized, stages, content.logits_BUF)

    def latents(self, audio_BT: Tensor) -> Tensor:
        """Return what the quantizer is given, ``(B, D, T')``, float32."""
        return self._latents(self._content(audio_BT), self._speaker(audio_BT))

    def _latents(self, content: Content, speaker_BS: Tensor | None) -> Tensor:
        raw = self.pre_rvq(self._before_quantizer(content, speaker_BS)).float()
        if self.config.quantizer.prenorm == "time":
            return standardise_over_time(raw)
        return raw

    def _content(self, audio_BT: Tensor) -> Content:
        frames_BCT = self.encoder(audio_BT.unsqueeze(1))
        logits = None
        if self.content_head is not None:
            # As often as the units: the mean over the frames of 20 ms, each a soft vote.
            together = self.config.frames_per_unit
            logits = self.content_head(functional.avg_pool1d(frames_BCT, together))
        if not self.config.model.content_gradient:
            frames_BCT = frames_BCT.detach()
        return Content(frames_BCT, self._melody(audio_BT, frames_BCT.shape[2]), logits)

    def _melody(self, audio_BT: Tensor, steps: int) -> Tensor | None:
        if not self.config.model.pitch:
            return None
        with torch.autocast(audio_BT.device.type, enabled=False):
            melody_BCF = prosody(audio_BT, self.config.data.sample_rate_hz)
        return functional.interpolate(melody_BCF, size=steps, mode="nearest")

    def _speaker(self, audio_BT: Tensor) -> Tensor | None:
        return None if self.speaker_encoder is None else self.speaker_encoder(audio_BT)

    @torch.no_grad()
    def scale_read_out(self, factor: Tensor) -> None:
        """Multiply the output by ``factor``."""
        for parameter in self.read_out.parameters():
            parameter.mul_(factor)

    def tracked(self) -> dict[str, nn.Parameter]:
        """Return the parameters that are watched by name: ``out_proj_weight`` and the like."""
        watched = {"pre_rvq": self.pre_rvq, "out_proj": self.read_out}
        return {
            f"{name}_{kind}": parameter
            for name, layer in watched.items()
            for kind, parameter in layer.named_parameters()
        }

    def watched(self) -> dict[str, Tensor]:
        """Return what is followed from step to step: `tracked`, and codes as ``codebook_q0``."""
        codes = self.quantizer.codes()
        return {**self.tracked(), **{f"codebook_q{i}": code for i, code in enumerate(codes)}}

    def weights(self) -> dict[str, Tensor]:
        """Return all that training moves by its full name: parameters, and codes that are means."""
        codes = {f"quantizer.books.{i}.codes_VD": c for i, c in enumerate(self.quantizer.codes())}
        return {**dict(self.named_parameters()), **codes}


class BottleneckCodec(Codec):
    """Quantizes the encoder's frames; a mirrored decoder follows."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        model = config.model
        widths = [*model.channels[::-1]]
        strides = model.strides[::-1]
        self.post_rvq = PaddedConv(
            config.latent_dim + _melody_channels(model),
            widths[0],
            kernel_size=model.kernel_size,
            causal=model.causal,
        )
        stages: list[nn.Module] = []
        for width, narrower, stride in zip(widths, widths[1:], strides, strict=False):
            stages += [
                _units(width, model, condition_dim=model.speaker_dim),
                nn.ELU(),
                PatchUpsample(width, narrower, factor=stride, kernel_size=3, causal=model.causal),
            ]
        stages += [_units(widths[-1], model, condition_dim=model.speaker_dim), nn.ELU()]
        self.decoder = ConditionedSequential(*stages)
        self.out_proj = PaddedConv(widths[-1], strides[-1], kernel_size=3, causal=model.causal)

    def _build_encoder(self, model: ModelConfig) -> nn.Module:
        return _frame_encoder(model)

    def _quantizer_channels(self) -> int:
        return self.config.model.channels[-1]

    def _before_quantizer(self, content: Content, speaker_BS: Tensor | None) -> Tensor:
        del speaker_BS  # the codes say what is said, not who says it
        return content.frames_BCT

    def _decode(
        self,
        latents_BDT: Tensor,
        content: Content,
        speaker_BS: Tensor | None,
        stages: dict[str, Tensor],
    ) -> Tensor:
        hidden = self.decoder(self.post_rvq(_beside(latents_BDT, content.melody_BCT)), speaker_BS)
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
        model, dim = config.model, config.latent_dim
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
        return self.config.latent_dim

    def _before_quantizer(self, content: Content, speaker_BS: Tensor | None) -> Tensor:
        return self.decoder(_beside(content.frames_BCT, content.melody_BCT), speaker_BS)

    def _decode(
        self,
        latents_BDT: Tensor,
        content: Content,
        speaker_BS: Tensor | None,
        stages: dict[str, Tensor],
    ) -> Tensor:
        del content, speaker_BS  # both were told before the quantizer
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


def build_quantizer(config: Config) -> ResidualQuantizer | ScalarQuantizer | Bypass:
    """Return the configured quantizer, untrained."""
    match config.quantizer.kind:
        case "rvq":
            return ResidualQuantizer(config.quantizer)
        case "fsq":
            return ScalarQuantizer(config.quantizer)
        case "bypass":
            return Bypass()


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


def _full_rate_decoder(model: ModelConfig, dim: int) -> ConditionedSequential:
    """Return linear upsampling stages, residual units at the sample rate, two more layers."""
    size, causal = model.kernel_size, model.causal
    stages: list[nn.Module] = [nn.Conv1d(model.channels[-1] + _melody_channels(model), dim, 1)]
    stages += [
        TransposedUpsample(dim, factor=stride, kernel_size=size, causal=causal)
        for stride in model.strides[::-1]
    ]
    stages += [
        NormedUnit(
            dim, kernel_size=size, dilation=2**i, causal=causal, condition_dim=model.speaker_dim
        )
        for i in range(model.residual_units)
    ]
    stages += [
        PaddedConv(dim, dim, kernel_size=3, causal=causal),
        nn.SiLU(),
        nn.Conv1d(dim, dim, 1),
    ]
    return ConditionedSequential(*stages)


def _units(channels: int, model: ModelConfig, *, condition_dim: int = 0) -> ConditionedSequential:
    return residual_stack(
        channels,
        units=model.residual_units,
        kernel_size=model.kernel_size,
        causal=model.causal,
        condition_dim=condition_dim,
    )


def _melody_channels(model: ModelConfig) -> int:
    return N_FEATURES if model.pitch else 0


def _beside(frames_BCT: Tensor, melody_BCT: Tensor | None) -> Tensor:
    return frames_BCT if melody_BCT is None else torch.cat([frames_BCT, melody_BCT], dim=1)


@torch.no_grad()
def _make_identity(conv: nn.Conv1d | None) -> None:
    assert conv is not None
    conv.weight.copy_(torch.eye(conv.out_channels).unsqueeze(-1))
    if conv.bias is not None:
        conv.bias.zero_()
