"""The terms of the total loss, and how they are told apart."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ablate.protocol import ConfigError
from trainer.config.section import Names, Section


class LossConfig(Section):
    """One term of the total loss."""

    weight: float = Field(default=0.0, ge=0)
    """Factor in the total; with 0 the term is measured but does not touch the training."""


class NormRegConfig(LossConfig):
    """The term that holds norms where they began."""

    parameters: Names[str] = ("out_proj_weight", "final_conv_weight")
    """Which: the names under ``train/norm/``, or full names of a parameter of the codec."""

    @model_validator(mode="after")
    def _has_parameters(self) -> Self:
        if self.weight > 0 and not self.parameters:
            raise ConfigError("losses.norm_reg.parameters", "is empty, but the term has a weight")
        return self


class LossesConfig(Section):
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

    @model_validator(mode="after")
    def _compares_output_with_target(self) -> Self:
        if not any(getattr(self, name).weight for name in OF_SIGNAL):
            message = "no term that compares the output with the target has a weight"
            raise ConfigError("losses", message)
        return self


INSIDE = frozenset({"norm_reg", "commitment", "codebook", "content_ce"})
"""Terms that do not act on the output."""
JUDGED = frozenset({"adversarial", "feature_matching"})
"""Terms that exist beside a discriminator alone."""
OF_SIGNAL = tuple(name for name in LossesConfig.model_fields if name not in INSIDE | JUDGED)
"""Terms that compare the output with the target."""
