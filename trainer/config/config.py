"""What the bundled trainer can be told, as frozen values. Imports no torch.

The defaults are the preset ``base``. `trainer.config.parsing` makes a `Config` from dotted keys and
refuses what cannot work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

UNIT_S = 0.02
"""Length of one content unit, and hop of pitch and energy; seconds."""


def _limits(
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
) -> Mapping[str, float]:
    given = {"minimum": minimum, "above": above, "maximum": maximum, "below": below}
    return {name: limit for name, limit in given.items() if limit is not None}


def _at_least(limit: float) -> Any:
    return _limits(minimum=limit)


def _positive(maximum: float | None = None) -> Any:
    return _limits(above=0, maximum=maximum)


def _fraction() -> Any:
    return _limits(minimum=0, maximum=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Where the audio comes from and how it is cut."""

    source: Literal["synthetic", "folder"] = "synthetic"
    """`synthetic`: built-in speech-like audio; `folder`: wav, flac or ogg files under `path`."""
    path: str = ""
    """Folder of recordings, searched at any depth; used when `source` is `folder`."""
    sample_rate_hz: int = field(default=16000, metadata=_limits(minimum=4000, maximum=48000))
    """Recordings at another rate are resampled to it."""
    segment_s: float = field(default=0.3, metadata=_positive(60))
    """Length of a training segment; a multiple of the model's total stride."""
    batch_size: int = field(default=8, metadata=_limits(minimum=1, maximum=4096))
    """Segments in a step."""
    normalise: Literal["segment", "none"] = "segment"
    """`segment`: every segment is brought to `target_rms`; `none`: levels stay as recorded."""
    target_rms: float = field(default=0.075, metadata=_positive(1))
    """Level of a normalised segment, full scale = 1; also the target of the rms_abs losses."""
    rms_floor: float = field(default=0.02, metadata=_positive(1))
    """A segment quieter than this is amplified as if it had this level, so that noise stays low."""
    valid_s: float = field(default=10.0, metadata=_positive(600))
    """Length of the fixed held-out set, at most; seconds."""
    valid_fraction: float = field(default=0.1, metadata=_limits(above=0, below=1))
    """Share of a folder's files that is held out, chosen by a hash of their paths."""
    speaker_pattern: str = ""
    """Regular expression, found in a file's path below `path`, whose group `speaker` names who
    speaks: `_(?P<speaker>[a-z]+)_`. Empty: the folder that holds the file is the speaker."""
    units_file: str = ""
    """Content units of a folder's recordings, 50 a second, in lines `relative/path<TAB>3 3 17 ...`.
    Empty: units are k-means clusters of log-mel frames. Read when `model.content_units` is set."""
    synthetic_s: float = field(default=120.0, metadata=_limits(minimum=5, maximum=3600))
    """Length of the synthetic training audio, in seconds; the held-out part comes on top."""
    synthetic_speakers: int = field(default=6, metadata=_limits(minimum=1, maximum=64))
    """Voices in the synthetic audio."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The network around the quantizer."""

    topology: Literal["bottleneck", "pre_output"] = "bottleneck"
    """`bottleneck`: quantizer between encoder and decoder; `pre_output`: at the sample rate,
    directly before the read-out."""
    channels: tuple[int, ...] = field(default=(32, 64), metadata=_positive(1024))
    """Width after each strided layer."""
    strides: tuple[int, ...] = field(default=(8, 10), metadata=_positive(64))
    """Stride of each layer, in samples of its input; their product is the total stride."""
    kernel_size: int = field(default=7, metadata=_limits(minimum=1, maximum=31))
    """Of the residual units' first convolution."""
    residual_units: int = field(default=1, metadata=_limits(minimum=1, maximum=8))
    """`bottleneck`: units after each strided layer, with dilations 1, 3, 9, ...; `pre_output`:
    layers behind the strided ones, and as many units at the sample rate."""
    causal: bool = True
    """Whether every convolution sees the past alone."""
    speaker_dim: int = field(default=0, metadata=_limits(minimum=0, maximum=1024))
    """Length of the embedding by which the decoder is told the speaker; 0: there is no speaker
    encoder, and no conversion."""
    speaker_channels: int = field(default=32, metadata=_limits(minimum=1, maximum=1024))
    """Width of the speaker encoder."""
    pitch: bool = False
    """Whether the decoder is told whitened pitch and energy beside the content."""
    content_units: int = field(default=0, metadata=_limits(minimum=0, maximum=4096))
    """Kinds of sound, 20 ms each, that the content encoder learns to tell apart
    (`losses.content_ce`); 0: none."""
    content_gradient: bool = True
    """Whether the losses of the audio train the content encoder too; StreamVC leaves it to the
    units alone."""
    final_conv: Literal["none", "default", "identity"] = "none"
    """1x1 convolution between quantizer and read-out (`pre_output` alone) and how it starts."""
    init_rms: float = field(default=0.0, metadata=_limits(minimum=0, maximum=1))
    """Scales the read-out so that the untrained output has this level; 0 leaves it as drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizerConfig:
    """What stands between the continuous and the coded signal."""

    kind: Literal["rvq", "fsq", "bypass"] = "rvq"
    """`rvq`: residual vector quantizer; `fsq`: rounds each channel to a few levels and learns no
    codes; `bypass` passes its input on: the control without any quantization."""
    n_quantizers: int = field(default=4, metadata=_limits(minimum=1, maximum=32))
    """Codebooks, each of which quantizes what the ones before it left."""
    codebook_size: int = field(default=128, metadata=_limits(minimum=2, maximum=65536))
    """Codes per codebook."""
    dim: int = field(default=24, metadata=_limits(minimum=1, maximum=1024))
    """Length of a code vector; used by `rvq` and `bypass`."""
    levels: tuple[int, ...] = field(default=(8, 5, 5, 5), metadata=_limits(minimum=2, maximum=256))
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
    ema_decay: float = field(default=0.99, metadata=_limits(minimum=0, below=1))
    """Of the running means: the codes' own when `update` is `ema`, and of how often each is hit."""
    restart_below: float = field(default=0.5, metadata=_at_least(0))
    """A code with fewer hits per step (running mean over `ema_decay`) moves to a vector of the
    batch; 0: never."""
    restart_every: int = field(default=20, metadata=_at_least(1))
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
    progressive_steps: int = field(default=0, metadata=_at_least(0))
    """One more codebook becomes active every so many steps; 0: all from the beginning."""
    dropout: float = field(default=0.0, metadata=_fraction())
    """Probability that a training item is decoded from only the first of its active codebooks, a
    number of them drawn evenly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """One term of the total loss."""

    weight: float = field(default=0.0, metadata=_at_least(0))
    """Factor in the total; with 0 the term is measured but does not touch the training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NormRegConfig(LossConfig):
    """The term that holds norms where they began."""

    parameters: tuple[str, ...] = ("out_proj_weight", "final_conv_weight")
    """Which: the names under ``train/norm/``, or full names of a parameter of the codec."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BalancerConfig:
    """Lets the weights of the losses be shares of the gradient, whatever the losses' units."""

    enabled: bool = False
    """Gives every term of the output its weight's share of `total_norm`."""
    total_norm: float = field(default=1.0, metadata=_positive(1e6))
    """Length of the gradient at the output, mean over items."""
    decay: float = field(default=0.999, metadata=_limits(minimum=0, below=1))
    """Of the running means of the gradients' lengths."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossesConfig:
    """All terms; what each computes is in `trainer.losses.audio`."""

    l1: LossConfig = LossConfig(weight=10.0)
    """Waveform, mean absolute error."""
    l2: LossConfig = LossConfig(weight=0.0)
    """Waveform, mean squared error."""
    sc: LossConfig = LossConfig(weight=1.0)
    """Spectral convergence."""
    log1p: LossConfig = LossConfig(weight=1.0)
    """Mean absolute error of ln(1 + magnitude)."""
    logmag: LossConfig = LossConfig(weight=0.0)
    """Mean absolute error of log magnitude above a floor."""
    mel: LossConfig = LossConfig(weight=0.0)
    """Mean absolute error of log10 mel spectra at seven scales."""
    rms_frame: LossConfig = LossConfig(weight=0.1)
    """Mean absolute error of the level per frame."""
    rms_band: LossConfig = LossConfig(weight=0.05)
    """Mean absolute error of the level per frame and frequency band."""
    rms_abs_mse: LossConfig = LossConfig(weight=0.0)
    """Squared distance of the batch's level from `data.target_rms`."""
    rms_abs_l1: LossConfig = LossConfig(weight=0.0)
    """Absolute distance of the batch's level from `data.target_rms`."""
    rms_ratio: LossConfig = LossConfig(weight=0.0)
    """Squared deviation of the ratio of levels from 1."""
    rms_log: LossConfig = LossConfig(weight=0.0)
    """Squared difference of log levels."""
    norm_reg: NormRegConfig = NormRegConfig(weight=0.0)
    """Squared change of the norms of the named parameters since the start."""
    commitment: LossConfig = LossConfig(weight=0.25)
    """Distance of the quantizer's input from its codes."""
    codebook: LossConfig = LossConfig(weight=0.0)
    """Distance of the codes from the vectors they stand for; for `quantizer.update: gradient`."""
    content_ce: LossConfig = LossConfig(weight=1.0)
    """Cross-entropy of the content's units; counts only where `model.content_units` > 0."""
    adversarial: LossConfig = LossConfig(weight=1.0)
    """What the discriminators say of the output; counts only where `discriminator.enabled`."""
    feature_matching: LossConfig = LossConfig(weight=5.0)
    """Distance inside the discriminators; counts only where `discriminator.enabled`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscriminatorConfig:
    """The adversarial option."""

    enabled: bool = False
    """Builds and trains the discriminators."""
    kinds: tuple[Literal["stft", "multi_period", "multi_scale"], ...] = ("stft",)
    """What they look at: complex spectra, the audio folded at periods, means of the audio."""
    loss: Literal["hinge", "lsgan"] = "hinge"
    """What both sides pay: hinges, or squared distances from 1 (real) and 0."""
    n_ffts: tuple[int, ...] = field(default=(1024, 256), metadata=_limits(minimum=32, maximum=4096))
    """Window of each discriminator's STFT, in samples."""
    periods: tuple[int, ...] = field(default=(2, 3, 5, 7, 11), metadata=_limits(minimum=2))
    """Period of each `multi_period` discriminator, in samples."""
    scales: tuple[int, ...] = field(default=(1, 2, 4), metadata=_limits(minimum=1, maximum=64))
    """Samples that each `multi_scale` discriminator averages to one."""
    channels: int = field(default=12, metadata=_limits(minimum=1, maximum=256))
    """Width of each discriminator."""
    learning_rate: float = field(default=5e-4, metadata=_positive(1))
    """Of the discriminators' own AdamW, constant."""
    start_step: int = field(default=0, metadata=_at_least(0))
    """Steps before which the discriminators neither train nor count."""
    ramp_steps: int = field(default=0, metadata=_at_least(0))
    """Steps after `start_step` over which the two weights grow linearly from 0."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """AdamW of the codec."""

    learning_rate: float = field(default=1e-3, metadata=_positive(1))
    """Peak rate."""
    beta1: float = field(default=0.9, metadata=_limits(minimum=0, below=1))
    """Decay of the gradient's running mean."""
    beta2: float = field(default=0.99, metadata=_limits(minimum=0, below=1))
    """Decay of the squared gradient's running mean."""
    weight_decay: float = field(default=0.0, metadata=_limits(minimum=0, maximum=10))
    """Decoupled; biases, scales and codebooks are exempt."""
    freeze: tuple[Part, ...] = ()
    """Parts of the codec that stay as they were drawn."""
    clip_norm: float = field(default=1.0, metadata=_at_least(0))
    """Largest norm of the whole gradient; 0 does not clip."""
    warmup_steps: int = field(default=50, metadata=_at_least(0))
    """Linear rise of the rate from 0."""
    decay_steps: int = field(default=0, metadata=_at_least(0))
    """Step at which a cosine from the end of the warm-up reaches `final_fraction`; 0: constant.
    It does not follow `steps`, so that a longer run is the continuation of a shorter one."""
    final_fraction: float = field(default=0.1, metadata=_fraction())
    """Of the peak rate, kept after `decay_steps`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeConfig:
    """How a step is computed. Off by default: on a CPU neither is faster, and both change bits."""

    amp: Literal["off", "bf16"] = "off"
    """`bf16`: the network in bfloat16 where that is safe; quantizer, losses and weights stay
    float32."""
    compile: Literal["off", "default", "reduce-overhead"] = "off"
    """torch.compile of encoder and decoder; `reduce-overhead` captures CUDA graphs too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Everything that one run of the bundled trainer is told, without its seed."""

    preset: str = "base"
    """What the other keys start from: `base`, `pre_output` or `streamvc`."""
    steps: int = field(default=900, metadata=_at_least(1))
    """Optimizer steps in all."""
    log_every: int = field(default=10, metadata=_at_least(1))
    """Steps between two records of the training batch."""
    valid_every: int = field(default=100, metadata=_at_least(1))
    """Steps between two validations; the last step is always validated."""
    diagnostics_every: int = field(default=50, metadata=_at_least(1))
    """Steps between two measurements of scale forces, norms and code use."""
    checkpoint_every: int = field(default=100, metadata=_at_least(1))
    """Steps between two checkpoints; the last step always has one."""
    pull_parameters: tuple[str, ...] = ("out_proj_weight", "out_proj_bias")
    """Whose norms are followed term by term (``train/pull``): names under ``train/norm/``."""
    samples_every: int = field(default=0, metadata=_at_least(0))
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
        total = 1
        for stride in self.model.strides:
            total *= stride
        return total

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
