"""Every metric that this trainer can log, by name or pattern. Imports no torch."""

from __future__ import annotations

from itertools import product

from ablate import keys
from trainer.config.losses import INSIDE, OF_SIGNAL, LossesConfig

_TERMS = tuple(LossesConfig.model_fields)
_OF_OUTPUT = tuple(name for name in _TERMS if name not in INSIDE)
_NULLS = (keys.SILENCE, "mean", "white", "ltas", "ltas_envelope", "bands", "other_utterance")


def metric_patterns() -> tuple[str, ...]:
    """Return what names every metric: ``train/loss/l1``, ``train/norm/*``."""
    return (*_losses(), *_sound(), *_codes(), *_weights(), *_drivers(), *_others())


def _losses() -> tuple[str, ...]:
    held_out = (*OF_SIGNAL, "commitment", "content_ce")
    return (
        *(keys.LOSS.key(name) for name in (*_TERMS, keys.TOTAL_NAME)),
        *(keys.WEIGHTED.key(name) for name in _TERMS),
        *(keys.SILENT.key(name) for name in OF_SIGNAL),
        *(keys.LOSS.key(name, keys.VALID) for name in held_out),
        *(keys.SILENT.key(name, keys.VALID) for name in OF_SIGNAL),
        *(keys.NULL.key("/".join(cell)) for cell in product(_NULLS, OF_SIGNAL)),
    )


def _sound() -> tuple[str, ...]:
    return (
        *(keys.RMS, keys.RMS_AC, keys.DC, keys.PEAK, keys.TARGET_RMS),
        *(keys.LEVEL, keys.LEVEL_SLOPE, keys.SILENCE_RATIO, keys.STAGE.pattern),
        *(keys.VALID_RMS, keys.VALID_RMS_AC, keys.VALID_DC, keys.VALID_TARGET_RMS),
        *(keys.LEVEL_DB, keys.band_db("*"), keys.LSD_DB, keys.MEL, keys.HIGH_TO_MID_DB),
        *(keys.SI_SDR_DB, keys.F0_CENTS, keys.VUV_ERROR),
    )


def _codes() -> tuple[str, ...]:
    of_each = ("bits", "dead", "scale", "post_scale", "post_bias")
    return (
        *(keys.N_ACTIVE, keys.EXPLAINED_VARIANCE, keys.perplexity("*"), keys.usage("*")),
        *(keys.of_codebook(what, "*") for what in of_each),
    )


def _weights() -> tuple[str, ...]:
    pulling = (*_OF_OUTPUT, "norm_reg")
    groups = (keys.NORM, keys.DRIFT, keys.CHANGE, keys.UPDATE)
    return (
        *(group.pattern for group in groups),
        *(keys.PULL.key(f"*/{name}") for name in pulling),
        *(keys.LR, keys.GRAD_NORM, keys.CLIP_FRACTION),
    )


def _drivers() -> tuple[str, ...]:
    return (
        *(keys.FORCE.key(name) for name in (*_OF_OUTPUT, keys.TOTAL_NAME)),
        *(keys.GRAD.key(name) for name in _OF_OUTPUT),
        *(keys.GRAD_IN.key("commitment"), keys.GRAD_IN_OUTPUT),
    )


def _others() -> tuple[str, ...]:
    return (keys.DISCRIMINATOR_LOSS, keys.DISCRIMINATOR_MARGIN, keys.STEPS_PER_S)
