"""Named starting points. Each is a difference to the defaults of `Config`, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PRE_OUTPUT: Mapping[str, Any] = {
    "steps": 700,
    "data.batch_size": 4,
    "model.topology": "pre_output",
    "model.channels": (16, 16, 16),
    "model.strides": (2, 2, 2),
    "model.residual_units": 3,
    "quantizer.n_quantizers": 2,
    "quantizer.codebook_size": 256,
    "quantizer.dim": 16,
    "quantizer.ste": "detached",
    "quantizer.update": "gradient",
    "quantizer.init": "random",
    "quantizer.restart_below": 0.0,
    "quantizer.commitment": "post_residual",
    "quantizer.prenorm": "time",
    # The original streams, and normalises over time all the same.
    "quantizer.allow_noncausal_prenorm": True,
    "quantizer.progressive_steps": 480,
    "losses.rms_frame.weight": 0.0,
    "losses.rms_band.weight": 0.0,
    "optim.learning_rate": 5e-4,
    "optim.weight_decay": 0.01,
    "optim.warmup_steps": 200,
}
"""Quantizer at the sample rate, as the study began with it."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "base": {},
    "pre_output": _PRE_OUTPUT,
    "streamvc": {
        **_PRE_OUTPUT,
        "steps": 2500,
        "valid_every": 250,
        "diagnostics_every": 100,
        "checkpoint_every": 250,
        "data.batch_size": 8,
        "data.segment_s": 1.28,
        "data.valid_s": 20.0,
        "model.channels": (64, 64, 64),
        "model.speaker_dim": 64,
        "model.pitch": True,
        "model.content_units": 100,
        "quantizer.n_quantizers": 8,
        "quantizer.codebook_size": 1024,
        "quantizer.dim": 40,
        "quantizer.progressive_steps": 2000,
        "losses.adversarial.weight": 4.0,
        "losses.feature_matching.weight": 2.0,
        "discriminator.kinds": ("multi_scale", "multi_period"),
        "discriminator.channels": 32,
        "discriminator.learning_rate": 1e-4,
        "discriminator.start_step": 2000,
        "discriminator.ramp_steps": 2000,
        "optim.learning_rate": 1e-4,
        "optim.warmup_steps": 2000,
        "optim.decay_steps": 5000,
        "optim.final_fraction": 0.01,
    },
}
"""``base``: quantizer at the bottleneck, 200 frames a second, 211 thousand parameters.
``pre_output``: the topology of the shipped ``scale-fix`` study, quantizer at 16 kHz directly before
the read-out, 34 thousand parameters. ``streamvc``: the same topology at full size, with speaker,
pitch, energy and content units: a streaming voice converter, 630 thousand parameters."""
