"""What explains a curve: levels along the signal path, norms, code use, who pulls the amplitude.

Everything here reads; nothing changes the training or draws random numbers.

Shapes: `B` batch, `D` code length, `T` samples or time steps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.model import Codec, CodecOutput, Quantized
from trainer.model.layers import rms
from trainer.objective import Terms


@torch.no_grad()
def levels(output_BT: Tensor, target_BT: Tensor) -> dict[str, Tensor]:
    """Return level, level without its mean, mean and peak of the output, full scale = 1."""
    return {
        "train/audio/rms": rms(output_BT),
        "train/audio/rms_ac": output_BT.std(correction=0),
        "train/audio/dc": output_BT.mean(),
        "train/audio/peak": output_BT.abs().max(),
        "train/audio/target_rms": rms(target_BT),
    }


@torch.no_grad()
def stages(made: CodecOutput) -> dict[str, Tensor]:
    """Return the level of each stage of the signal path."""
    return {f"train/stage/{name}": rms(value) for name, value in made.stages.items()}


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
def code_use(quantized: Quantized, latents_BDT: Tensor, size: int) -> dict[str, Tensor | int]:
    """Return perplexity and usage per codebook, and how much of its input the quantizer explains.

    Explained variance is 1 - mean squared error / variance of the input: 1 at best, 0 for a
    quantizer that is as good as the mean, below 0 for one that is worse.
    """
    found: dict[str, Tensor | int] = {"train/rvq/n_active": len(quantized.lookups)}
    for index, lookup in enumerate(quantized.lookups):
        value, usage = perplexity(lookup.codes_N, size)
        found[f"train/rvq/perplexity_q{index}"] = value
        found[f"train/rvq/usage_q{index}"] = usage
    error = (quantized.plain_BDT - latents_BDT).square().mean()
    variance = latents_BDT.var(dim=(0, 2), correction=0).mean().clamp_min(1e-12)
    found["train/rvq/explained_variance"] = 1 - error / variance
    return found


@torch.no_grad()
def norms(codec: Codec, initial: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the L2 norm of each watched parameter, and its relative change since step 0.

    A parameter that started at zero has no relative change and gets no drift.
    """
    found: dict[str, Tensor] = {}
    for name, parameter in codec.tracked().items():
        norm = parameter.norm()
        found[f"train/norm/{name}"] = norm
        if initial[name] > 0:
            found[f"train/drift/{name}"] = norm / initial[name] - 1
    return found


@torch.no_grad()
def affines(codec: Codec) -> dict[str, Tensor]:
    """Return learned scales and biases behind the codebooks, where there are any."""
    found: dict[str, Tensor] = {}
    for index in range(len(codec.quantizer.books)):
        book = codec.quantizer.book(index)
        for name in ("scale", "post_scale", "post_bias"):
            value = getattr(book, name)
            if value is not None:
                found[f"train/rvq/{name}_q{index}"] = value.detach()
    return found


def scale_forces(terms: Terms) -> dict[str, Tensor]:
    """Return for each weighted term the force with which it changes the output's level.

    ``F = -w <dL/dy, y>`` is minus the derivative of the weighted term by the gain of the output y,
    in logarithmic units: positive makes the output louder under gradient descent. Must be called
    before the backward pass; costs one backward pass of the losses, none of the model.

    Source: ours; Euler's identity makes it -w L for a term of degree one, such as |y|.
    """
    audio_BT = terms.output.audio_BT
    forces: dict[str, Tensor] = {}
    for name, value in terms.raw.items():
        if not value.requires_grad:
            continue
        (gradient,) = torch.autograd.grad(value, audio_BT, retain_graph=True, allow_unused=True)
        # None where the term does not depend on the output, whatever the stub says.
        if gradient is not None:  # pyright: ignore[reportUnnecessaryComparison]
            force = -terms.weights[name] * (gradient * audio_BT.detach()).sum()
            forces[f"train/force/{name}"] = force.detach()
    if forces:
        forces["train/force/total"] = torch.stack(list(forces.values())).sum()
    return forces


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
        return {"train/perf/steps_per_s": speed}
