"""Every metric that this trainer can log, by name or pattern. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from itertools import product

from trainer.config.config import LossesConfig

_INSIDE = frozenset({"norm_reg", "commitment", "codebook", "content_ce"})
"""Terms that do not act on the output."""
_JUDGED = frozenset({"adversarial", "feature_matching"})
"""Terms that exist beside a discriminator alone."""
_TERMS = tuple(field.name for field in fields(LossesConfig))
_OF_OUTPUT = tuple(name for name in _TERMS if name not in _INSIDE)
_OF_SIGNAL = tuple(name for name in _OF_OUTPUT if name not in _JUDGED)
_NULLS = ("silence", "mean", "white", "ltas", "ltas_envelope", "bands", "other_utterance")

_TRAIN = {
    "loss": (*_TERMS, "total"),
    "weighted": _TERMS,
    "silent": _OF_SIGNAL,
    "audio": ("rms", "rms_ac", "dc", "peak", "target_rms", "level", "level_slope", "silence"),
    "stage": ("*",),
    "rvq": (
        *("n_active", "explained_variance", "perplexity_q*", "bits_q*", "usage_q*", "dead_q*"),
        *("scale_q*", "post_scale_q*", "post_bias_q*"),
    ),
    "norm": ("*",),
    "drift": ("*",),
    "change": ("*",),
    "optim": ("lr", "grad_norm", "clip_fraction"),
    "discriminator": ("loss", "margin"),
    "perf": ("steps_per_s",),
    "force": (*_OF_OUTPUT, "total"),
    "grad": _OF_OUTPUT,
    "grad_in": ("commitment", "output"),
    "pull": tuple(f"*/{name}" for name in (*_OF_OUTPUT, "norm_reg")),
    "update": ("*",),
}
_VALID = {
    "loss": (*_OF_SIGNAL, "commitment", "content_ce"),
    "silent": _OF_SIGNAL,
    "audio": (
        *("rms", "rms_ac", "dc", "target_rms", "level_db", "band_*_db", "lsd_db", "mel"),
        *("high_to_mid_db", "si_sdr_db", "f0_cents", "vuv_error"),
    ),
}


def metric_patterns() -> tuple[str, ...]:
    """Return what names every metric: ``train/loss/l1``, ``train/norm/*``."""
    return (
        *(f"train/{group}/{name}" for group, name in _pairs(_TRAIN)),
        *(f"valid/{group}/{name}" for group, name in _pairs(_VALID)),
        *(f"null/{predictor}/{name}" for predictor, name in product(_NULLS, _OF_SIGNAL)),
    )


def _pairs(groups: dict[str, tuple[str, ...]]) -> Iterable[tuple[str, str]]:
    return ((group, name) for group, names in groups.items() for name in names)
