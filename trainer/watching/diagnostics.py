"""What explains a curve: levels along the signal path, code use, who pulls the amplitude.

Everything here reads; nothing changes the training or draws random numbers.

Shapes: `B` batch, `D` code length, `T` samples or time steps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ablate import keys
from trainer.losses.objective import Terms
from trainer.model import Codec, CodecOutput, Quantized, ResidualQuantizer
from trainer.model.layers import rms

_TREND_RECORDS = 10


@torch.no_grad()
def levels(output_BT: Tensor, target_BT: Tensor) -> dict[str, Tensor]:
    """Return level, level without its mean, mean and peak of the output, full scale = 1.

    ``train/audio/level`` is the output's level over the target's: 1 is right.
    """
    level, target_level = rms(output_BT), rms(target_BT)
    return {
        keys.RMS: level,
        keys.RMS_AC: output_BT.std(correction=0),
        keys.DC: output_BT.mean(),
        keys.PEAK: output_BT.abs().max(),
        keys.TARGET_RMS: target_level,
        keys.LEVEL: level / target_level.clamp_min(1e-9),
    }


class LevelTrend:
    """Whether the output gets louder or quieter, over the last records."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._logs: list[Tensor] = []

    def read(self, step: int, level: Tensor) -> dict[str, Tensor]:
        """Return the least-squares slope of ln(level) per 100 steps, from three records on."""
        self._steps = [*self._steps, step][-_TREND_RECORDS:]
        self._logs = [*self._logs, level.detach().clamp_min(1e-9).log()][-_TREND_RECORDS:]
        if len(self._steps) < 3:
            return {}
        steps = torch.tensor(self._steps, dtype=level.dtype, device=level.device) / 100
        away = steps - steps.mean()
        slope = (away * torch.stack(self._logs)).sum() / away.square().sum()
        return {keys.LEVEL_SLOPE: slope}

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"steps": list(self._steps), "logs": [value.clone() for value in self._logs]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self._steps, self._logs = list(state["steps"]), list(state["logs"])


@torch.no_grad()
def stages(made: CodecOutput) -> dict[str, Tensor]:
    """Return the level of each stage, numbered in the order of the signal path."""
    return {
        keys.STAGE.key(f"{number}_{name}"): rms(value)
        for number, (name, value) in enumerate(made.stages.items())
    }


@torch.no_grad()
def perplexity(codes_N: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return (perplexity, share of codes used) of a batch; ``size`` and 1 at best, 0-dim each.

    Perplexity is the exponential of the entropy of the code frequencies, in 1 to ``size``.

    Source: van den Oord et al. 2017, arXiv:1711.00937, code accompanying it.
    """
    counts = torch.bincount(codes_N, minlength=size).float()
    share = counts / counts.sum()
    return torch.exp(-torch.special.xlogy(share, share).sum()), (counts > 0).float().mean()


@torch.no_grad()
def code_use(quantized: Quantized, size: int) -> dict[str, Tensor | int]:
    """Return per codebook perplexity, entropy in bits, and shares of codes used and not used by
    the batch; and how much of its input the quantizer explains.

    Explained variance is 1 - mean squared error / variance of the input: 1 at best, 0 for a
    quantizer that is as good as the mean, below 0 for one that is worse.
    """
    found: dict[str, Tensor | int] = {keys.N_ACTIVE: len(quantized.lookups)}
    for index, lookup in enumerate(quantized.lookups):
        value, usage = perplexity(lookup.codes_N, size)
        found[keys.perplexity(index)] = value
        found[keys.of_codebook("bits", index)] = value.log2()
        found[keys.usage(index)] = usage
        found[keys.of_codebook("dead", index)] = 1 - usage
    error = (quantized.plain_BDT - quantized.wanted_BDT).square().mean()
    variance = quantized.wanted_BDT.var(dim=(0, 2), correction=0).mean().clamp_min(1e-12)
    found[keys.EXPLAINED_VARIANCE] = 1 - error / variance
    return found


@torch.no_grad()
def affines(codec: Codec) -> dict[str, Tensor]:
    """Return learned scales and biases behind the codebooks, where there are any."""
    found: dict[str, Tensor] = {}
    quantizer = codec.quantizer
    if not isinstance(quantizer, ResidualQuantizer):
        return found
    for index in range(len(quantizer.books)):
        book = quantizer.book(index)
        for name in ("scale", "post_scale", "post_bias"):
            value = getattr(book, name)
            if value is not None:
                found[keys.of_codebook(name, index)] = value.detach()
    return found


def pulls(terms: Terms, watched: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return where each weighted term drives the output's level and the norms of parameters.

    ``train/force/<term>``: ``F = -w <dL/dy, y>``, minus the derivative of the weighted term by the
    gain of the output y in logarithmic units: positive makes the output louder under gradient
    descent. ``train/grad/<term>``: the norm of ``w dL/dy``. ``train/pull/<parameter>/<term>``:
    ``-w <dL/dp, p> / |p|``, how fast the term lets the norm of p grow under gradient flow.

    Must be called before the backward pass; costs a backward pass of the losses for each term, and
    of the model as far as the watched parameters are from its output.

    Args:
        terms: Of the batch, with gradients.
        watched: Name -> parameter.

    Source: ours; Euler's identity makes the force -w L for a term of degree one, such as |y|.
    """
    audio_BT = terms.output.audio_BT
    places = {"": audio_BT, **watched}
    found: dict[str, Tensor] = {}
    for name, value in terms.raw.items():
        if not value.requires_grad:
            continue
        gradients = torch.autograd.grad(
            value, list(places.values()), retain_graph=True, allow_unused=True
        )
        for (parameter, place), gradient in zip(places.items(), gradients, strict=True):
            # None where the term does not depend on it, whatever the stub says.
            if gradient is None:  # pyright: ignore[reportUnnecessaryComparison]
                continue
            weighted = terms.weights[name] * gradient
            along = -(weighted * place.detach()).sum()
            if parameter:
                length = place.detach().norm().clamp_min(1e-12)
                found[keys.PULL.key(f"{parameter}/{name}")] = along / length
            else:
                found[keys.FORCE.key(name)] = along
                found[keys.GRAD.key(name)] = weighted.norm()
    forces = [value for key, value in found.items() if keys.FORCE.holds(key)]
    if forces:
        found[keys.FORCE.key(keys.TOTAL_NAME)] = torch.stack(forces).sum()
    return found


def inner_pulls(terms: Terms, latents_BDT: Tensor) -> dict[str, Tensor]:
    """Return how hard the quantizer's input is driven from inside the codec, and by its output.

    ``train/grad_in/<term>``: the norm of ``w dL/dz`` at the quantizer's input z, for each term that
    acts there without the output, as the commitment; ``train/grad_in/output`` for all others
    together. Where the former is many times the latter, nothing of the output reaches the encoder.

    Must be called before the backward pass; costs one through losses and decoder.

    Args:
        terms: Of the batch, with gradients.
        latents_BDT: What the quantizer was given.

    Source: ours.
    """
    audio_BT = terms.output.audio_BT
    driven = {name: terms.weights[name] * v for name, v in terms.raw.items() if v.requires_grad}
    inner = {name: v for name, v in driven.items() if _gradient(v, audio_BT) is None}
    outer = [value for name, value in driven.items() if name not in inner]
    places = {**inner, keys.OUTPUT_NAME: torch.stack(outer).sum()} if inner and outer else {}
    gradients = {name: _gradient(value, latents_BDT) for name, value in places.items()}
    return {keys.GRAD_IN.key(n): g.norm() for n, g in gradients.items() if g is not None}


def _gradient(value: Tensor, place: Tensor) -> Tensor | None:
    """Return the gradient, None where the value does not depend on the place."""
    return torch.autograd.grad(value, place, retain_graph=True, allow_unused=True)[0]


class Stopwatch:
    """Steps per second since it was last read."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._time = time.perf_counter()

    def read(self, step: int) -> dict[str, float]:
        """Return the metric, and begin anew at ``step``."""
        now = time.perf_counter()
        speed = (step - self._step) / max(now - self._time, 1e-9)
        self._step, self._time = step, now
        return {keys.STEPS_PER_S: speed}
