"""Named starting points. Each is a difference to the defaults of `trainer.config`, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "base": {},
    "pre_output": {
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
    },
}
"""``base``: quantizer at the bottleneck, 200 frames a second, 211 thousand parameters.
``pre_output``: the topology of the shipped ``scale-fix`` study, quantizer at 16 kHz directly before
the read-out, 34 thousand parameters."""
