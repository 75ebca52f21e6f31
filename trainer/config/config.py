"""What the bundled trainer can be told, as frozen values, and which of them do not go together.

The defaults are the preset ``base``. A rule stands in the class whose keys it speaks of; those that
span sections stand in `Config`. `trainer.config.parsing` makes a `Config` from dotted keys. Imports
no torch.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ablate.protocol import ConfigError
from trainer.config.losses import LossesConfig
from trainer.config.section import Names, Section, Sizes, Whole

UNIT_S = 0.02
"""Length of one content unit, and hop of pitch and energy; seconds."""


class DataConfig(Section):
    """Where the audio comes from and how it is cut."""

    source: Literal["synthetic", "folder"] = "synthetic"
    """`synthetic`: built-in speech-like audio; `folder`: wav, flac or ogg files under `path`."""
    path: str = ""
    """Folder of recordings, searched at any depth; used when `source` is `folder`."""
    sample_rate_hz: Whole = Field(default=16000, ge=4000, le=48000)
    """Recordings at another rate are resampled to it."""
    segment_s: float = Field(default=0.3, gt=0, le=60)
    """Length of a training segment; a multiple of the model's total stride."""
    batch_size: Whole = Field(default=8, ge=1, le=4096)
    """Segments in a step."""
    normalise: Literal["segment", "none"] = "segment"
    """`segment`: every segment is brought to `target_rms`; `none`: levels stay as recorded."""
    target_rms: float = Field(default=0.075, gt=0, le=1)
    """Level of a normalised segment, full scale = 1; also the target of the rms_abs losses."""
    rms_floor: float = Field(default=0.02, gt=0, le=1)
    """A segment quieter than this is amplified as if it had this level, so that noise stays low."""
    valid_s: float = Field(default=10.0, gt=0, le=600)
    """Length of the fixed held-out set, at most; seconds."""
    valid_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of a folder's files that is held out, chosen by a hash of their paths."""
    speaker_pattern: str = ""
    """Regular expression, found in a file's path below `path`, whose group `speaker` names who
    speaks: `_(?P<speaker>[a-z]+)_`. Empty: the folder that holds the file is the speaker."""
    units_file: str = ""
    """Content units of a folder's recordings, 50 a second, in lines `relative/path<TAB>3 3 17 ...`.
    Empty: units are k-means clusters of log-mel frames. Read when `model.content_units` is set."""
    synthetic_s: float = Field(default=120.0, ge=5, le=3600)
    """Length of the synthetic training audio, in seconds; the held-out part comes on top."""
    synthetic_speakers: Whole = Field(default=6, ge=1, le=64)
    """Voices in the synthetic audio."""

    @field_validator("speaker_pattern")
    @classmethod
    def _pattern_names_the_speaker(cls, pattern: str) -> str:
        key, quoted = "data.speaker_pattern", repr(pattern)
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ConfigError(key, f"{quoted} is no regular expression: {error}") from error
        if pattern and "speaker" not in groups:
            hint = "for example _(?P<speaker>[a-z]+)_"
            raise ConfigError(key, f"{quoted} has no group `speaker`", hint=hint)
        return pattern

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.valid_s < self.segment_s:
            raise ConfigError("data.valid_s", "is shorter than one segment (data.segment_s)")
        if self.units_file and self.source != "folder":
            raise ConfigError("data.units_file", "belongs to data.source: folder")
        return self


class ModelConfig(Section):
    """The network around the quantizer."""

    topology: Literal["bottleneck", "pre_output"] = "bottleneck"
    """`bottleneck`: quantizer between encoder and decoder; `pre_output`: at the sample rate,
    directly before the read-out."""
    channels: Sizes[Annotated[int, Field(gt=0, le=1024)]] = (32, 64)
    """Width after each strided layer."""
    strides: Sizes[Annotated[int, Field(gt=0, le=64)]] = (8, 10)
    """Stride of each layer, in samples of its input; their product is the total stride."""
    kernel_size: Whole = Field(default=7, ge=1, le=31)
    """Of the residual units' first convolution."""
    residual_units: Whole = Field(default=1, ge=1, le=8)
    """`bottleneck`: units after each strided layer, with dilations 1, 3, 9, ...; `pre_output`:
    layers behind the strided ones, and as many units at the sample rate."""
    causal: bool = True
    """Whether every convolution sees the past alone."""
    speaker_dim: Whole = Field(default=0, ge=0, le=1024)
    """Length of the embedding by which the decoder is told the speaker; 0: there is no speaker
    encoder, and no conversion."""
    speaker_channels: Whole = Field(default=32, ge=1, le=1024)
    """Width of the speaker encoder."""
    pitch: bool = False
    """Whether the decoder is told whitened pitch and energy beside the content."""
    content_units: Whole = Field(default=0, ge=0, le=4096)
    """Kinds of sound, 20 ms each, that the content encoder learns to tell apart
    (`losses.content_ce`); 0: none."""
    content_gradient: bool = True
    """Whether the losses of the audio train the content encoder too; StreamVC leaves it to the
    units alone."""
    final_conv: Literal["none", "default", "identity"] = "none"
    """1x1 convolution between quantizer and read-out (`pre_output` alone) and how it starts."""
    init_rms: float = Field(default=0.0, ge=0, le=1)
    """Scales the read-out so that the untrained output has this level; 0 leaves it as drawn."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.channels) != len(self.strides):
            raise ConfigError(
                "model.channels",
                f"{len(self.channels)} widths for {len(self.strides)} strides",
                hint="give one width per stride",
            )
        if self.topology == "bottleneck" and self.final_conv != "none":
            raise ConfigError(
                "model.final_conv", "belongs to model.topology: pre_output", hint="set it to none"
            )
        if not self.content_gradient and self.content_units == 0:
            raise ConfigError(
                "model.content_gradient",
                "nothing would train the content encoder",
                hint="set model.content_units, or model.content_gradient: true",
            )
        return self


class QuantizerConfig(Section):
    """What stands between the continuous and the coded signal."""

    kind: Literal["rvq", "fsq", "bypass"] = "rvq"
    """`rvq`: residual vector quantizer; `fsq`: rounds each channel to a few levels and learns no
    codes; `bypass` passes its input on: the control without any quantization."""
    n_quantizers: Whole = Field(default=4, ge=1, le=32)
    """Codebooks, each of which quantizes what the ones before it left."""
    codebook_size: Whole = Field(default=128, ge=2, le=65536)
    """Codes per codebook."""
    dim: Whole = Field(default=24, ge=1, le=1024)
    """Length of a code vector; used by `rvq` and `bypass`."""
    levels: Sizes[Annotated[int, Field(ge=2, le=256)]] = (8, 5, 5, 5)
    """Levels of each channel of one `fsq` group; there are `n_quantizers` groups."""
    metric: Literal["l2", "cosine"] = "l2"
    """`cosine` looks up directions and multiplies them by a learned scale per codebook."""
    ste: Literal["detached", "consistent", "rotation"] = "consistent"
    """Gradient past the look-up: `detached` copies it around everything (affine included),
    `consistent` around the look-up alone, `rotation` turns it with the vector."""
    update: Literal["gradient", "ema"] = "ema"
    """How the codes learn: from the losses, or as running means of the vectors they stand for."""
    init: Literal["random", "kmeans", "data"] = "kmeans"
    """First codes: standard normal draws, k-means on the first batch, or vectors of it."""
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    """Of the running means: the codes' own when `update` is `ema`, and of how often each is hit."""
    restart_below: float = Field(default=0.5, ge=0)
    """A code with fewer hits per step (running mean over `ema_decay`) moves to a vector of the
    batch; 0: never."""
    restart_every: Whole = Field(default=20, ge=1)
    """Steps between two such restarts."""
    commitment: Literal["standard", "post_residual"] = "standard"
    """`standard`: the input is drawn to its code. `post_residual`: computed after the residual was
    updated, on (r - 2e)^2: an ordering mistake, kept because runs were made with it."""
    prenorm: Literal["none", "time"] = "none"
    """`time`: each channel to mean 0, deviation 1 over the segment before the look-up."""
    allow_noncausal_prenorm: bool = False
    """Permits `prenorm: time` in a causal model, which then cannot run as a stream."""
    post_affine: bool = False
    """A learned scale and bias per codebook behind the look-up."""
    progressive_steps: Whole = Field(default=0, ge=0)
    """One more codebook becomes active every so many steps; 0: all from the beginning."""
    dropout: float = Field(default=0.0, ge=0, le=1)
    """Probability that a training item is decoded from only the first of its active codebooks, a
    number of them drawn evenly."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.post_affine and self.ste == "detached":
            raise ConfigError(
                "quantizer.post_affine",
                "would never learn: `quantizer.ste: detached` copies the gradient around it",
                hint="set quantizer.ste: consistent",
            )
        if self.update == "ema" and self.metric == "cosine":
            raise ConfigError(
                "quantizer.update",
                "running means of vectors are no means of directions",
                hint="with quantizer.metric: cosine set quantizer.update: gradient",
            )
        return self


class BalancerConfig(Section):
    """Lets the weights of the losses be shares of the gradient, whatever the losses' units."""

    enabled: bool = False
    """Gives every term of the output its weight's share of `total_norm`."""
    total_norm: float = Field(default=1.0, gt=0, le=1e6)
    """Length of the gradient at the output, mean over items."""
    decay: float = Field(default=0.999, ge=0, lt=1)
    """Of the running means of the gradients' lengths."""


class DiscriminatorConfig(Section):
    """The adversarial option."""

    enabled: bool = False
    """Builds and trains the discriminators."""
    kinds: Names[Literal["stft", "multi_period", "multi_scale"]] = ("stft",)
    """What they look at: complex spectra, the audio folded at periods, means of the audio."""
    loss: Literal["hinge", "lsgan"] = "hinge"
    """What both sides pay: hinges, or squared distances from 1 (real) and 0."""
    n_ffts: Sizes[Annotated[int, Field(ge=32, le=4096)]] = (1024, 256)
    """Window of each discriminator's STFT, in samples."""
    periods: Sizes[Annotated[int, Field(ge=2)]] = (2, 3, 5, 7, 11)
    """Period of each `multi_period` discriminator, in samples."""
    scales: Sizes[Annotated[int, Field(ge=1, le=64)]] = (1, 2, 4)
    """Samples that each `multi_scale` discriminator averages to one."""
    channels: Whole = Field(default=12, ge=1, le=256)
    """Width of each discriminator."""
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    """Of the discriminators' own AdamW, constant."""
    start_step: Whole = Field(default=0, ge=0)
    """Steps before which the discriminators neither train nor count."""
    ramp_steps: Whole = Field(default=0, ge=0)
    """Steps after `start_step` over which the two weights grow linearly from 0."""

    @model_validator(mode="after")
    def _has_kinds(self) -> Self:
        if self.enabled and not self.kinds:
            raise ConfigError("discriminator.kinds", "is empty, but the discriminators are enabled")
        return self


Part = Literal[
    "encoder",
    "speaker_encoder",
    "content_head",
    "pre_rvq",
    "quantizer",
    "post_rvq",
    "decoder",
    "final_conv",
    "out_proj",
]


class OptimConfig(Section):
    """AdamW of the codec."""

    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    """Peak rate."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the gradient's running mean."""
    beta2: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the squared gradient's running mean."""
    weight_decay: float = Field(default=0.0, ge=0, le=10)
    """Decoupled; biases, scales and codebooks are exempt."""
    freeze: Names[Part] = ()
    """Parts of the codec that stay as they were drawn."""
    clip_norm: float = Field(default=1.0, ge=0)
    """Largest norm of the whole gradient; 0 does not clip."""
    warmup_steps: Whole = Field(default=50, ge=0)
    """Linear rise of the rate from 0."""
    decay_steps: Whole = Field(default=0, ge=0)
    """Step at which a cosine from the end of the warm-up reaches `final_fraction`; 0: constant.
    It does not follow `steps`, so that a longer run is the continuation of a shorter one."""
    final_fraction: float = Field(default=0.1, ge=0, le=1)
    """Of the peak rate, kept after `decay_steps`."""


class RuntimeConfig(Section):
    """How a step is computed. Off by default: on a CPU neither is faster, and both change bits."""

    amp: Literal["off", "bf16"] = "off"
    """`bf16`: the network in bfloat16 where that is safe; quantizer, losses and weights stay
    float32."""
    compile: Literal["off", "default", "reduce-overhead"] = "off"
    """torch.compile of encoder and decoder; `reduce-overhead` captures CUDA graphs too."""


class Config(Section):
    """Everything that one run of the bundled trainer is told, without its seed."""

    preset: str = "base"
    """What the other keys start from: `base`, `pre_output` or `streamvc`."""
    steps: Whole = Field(default=900, ge=1)
    """Optimizer steps in all."""
    log_every: Whole = Field(default=10, ge=1)
    """Steps between two records of the training batch."""
    valid_every: Whole = Field(default=100, ge=1)
    """Steps between two validations; the last step is always validated."""
    diagnostics_every: Whole = Field(default=50, ge=1)
    """Steps between two measurements of scale forces, norms and code use."""
    checkpoint_every: Whole = Field(default=100, ge=1)
    """Steps between two checkpoints; the last step always has one."""
    pull_parameters: Names[str] = ("out_proj_weight", "out_proj_bias")
    """Whose norms are followed term by term (``train/pull``): names under ``train/norm/``."""
    samples_every: Whole = Field(default=0, ge=0)
    """Steps between two sets of audio samples, kept with the run; 0: at the last step alone."""
    deterministic: bool = True
    """Ask torch for deterministic kernels, so that a resumed run repeats bit for bit."""
    data: DataConfig = DataConfig()
    """The audio."""
    model: ModelConfig = ModelConfig()
    """The network."""
    quantizer: QuantizerConfig = QuantizerConfig()
    """The quantizer."""
    losses: LossesConfig = LossesConfig()
    """The objective."""
    balancer: BalancerConfig = BalancerConfig()
    """Weights that follow the gradients."""
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    """The adversary."""
    optim: OptimConfig = OptimConfig()
    """The optimizer."""
    runtime: RuntimeConfig = RuntimeConfig()
    """Precision and compilation."""

    @property
    def latent_dim(self) -> int:
        """Channels of what is quantized."""
        quantizer = self.quantizer
        if quantizer.kind == "fsq":
            return quantizer.n_quantizers * len(quantizer.levels)
        return quantizer.dim

    @property
    def codebook_size(self) -> int:
        """Codes of each codebook or `fsq` group."""
        quantizer = self.quantizer
        return math.prod(quantizer.levels) if quantizer.kind == "fsq" else quantizer.codebook_size

    @property
    def total_stride(self) -> int:
        """Samples per frame of the encoder."""
        return math.prod(self.model.strides)

    @property
    def frames_per_unit(self) -> int:
        """Frames of the content encoder in the 20 ms of one content unit."""
        return max(1, round(UNIT_S * self.data.sample_rate_hz / self.total_stride))

    @property
    def segment_samples(self) -> int:
        """Samples of a training segment."""
        return round(self.data.segment_s * self.data.sample_rate_hz)

    def n_active(self, steps_done: int) -> int:
        """Return how many codebooks take part in the step after ``steps_done`` steps."""
        if self.quantizer.progressive_steps == 0:
            return self.quantizer.n_quantizers
        return min(self.quantizer.n_quantizers, 1 + steps_done // self.quantizer.progressive_steps)

    @model_validator(mode="after")
    def _segment_is_whole_frames(self) -> Self:
        samples, stride = self.data.segment_s * self.data.sample_rate_hz, self.total_stride
        whole = max(1, round(samples / stride)) * stride
        if abs(samples - whole) > 1e-6 * whole:
            raise ConfigError(
                "data.segment_s",
                f"{self.data.segment_s:g} s are {samples:g} samples, not a multiple of the total "
                f"stride {stride}",
                hint=f"write {whole / self.data.sample_rate_hz:.6g}",
            )
        return self

    @model_validator(mode="after")
    def _frozen_parts_exist(self) -> Self:
        absent = {
            "speaker_encoder": self.model.speaker_dim == 0,
            "content_head": self.model.content_units == 0,
            "post_rvq": self.model.topology == "pre_output",
            "final_conv": self.model.final_conv == "none",
        }
        for part in self.optim.freeze:
            if absent.get(part):
                raise ConfigError("optim.freeze", f"this codec has no {part}")
        return self

    @model_validator(mode="after")
    def _units_are_whole_frames(self) -> Self:
        frames = UNIT_S * self.data.sample_rate_hz / self.total_stride
        if self.model.content_units and (frames < 1 or not frames.is_integer()):
            raise ConfigError(
                "model.content_units",
                f"a unit of 20 ms would be {frames:g} frames of the encoder, not a whole number",
                hint="choose model.strides whose product divides 20 ms",
            )
        if self.data.units_file and self.model.content_units == 0:
            raise ConfigError(
                "data.units_file",
                "is not read: model.content_units is 0",
                hint="set model.content_units to the number of units",
            )
        return self

    @model_validator(mode="after")
    def _normalisation_can_stream(self) -> Self:
        is_allowed = self.quantizer.allow_noncausal_prenorm or not self.model.causal
        if self.quantizer.prenorm == "time" and not is_allowed:
            raise ConfigError(
                "quantizer.prenorm",
                "`time` looks at the whole segment, but model.causal is true",
                hint="set quantizer.allow_noncausal_prenorm: true, or model.causal: false",
            )
        return self

    @model_validator(mode="after")
    def _codes_follow_the_loss(self) -> Self:
        if self.quantizer.update == "ema" and self.losses.codebook.weight > 0:
            raise ConfigError(
                "losses.codebook.weight",
                "has no effect on codes that are running means",
                hint="set it to 0, or quantizer.update: gradient",
            )
        return self
