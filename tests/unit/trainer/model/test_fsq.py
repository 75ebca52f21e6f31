"""Finite scalar quantization."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from trainer.config.parsing import parse
from trainer.model.fsq import ScalarQuantizer
from trainer.model.lookup import Quantized
from trainer.watching.diagnostics import code_use


def make_quantizer(levels: list[int], groups: int = 1) -> ScalarQuantizer:
    settings: dict[str, Any] = {"quantizer.kind": "fsq", "quantizer.levels": levels}
    return ScalarQuantizer(parse({**settings, "quantizer.n_quantizers": groups}).quantizer)


def quantize(quantizer: ScalarQuantizer, channels: int, active: int = 1) -> Quantized:
    generator = torch.Generator().manual_seed(0)
    return quantizer(3 * torch.randn(4, channels, 500, generator=generator), active)


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [2, 3], [4], [7, 2]])
def test_each_channel_takes_exactly_its_levels(levels: list[int]) -> None:
    found = quantize(make_quantizer(levels), len(levels))

    for channel, size in enumerate(levels):
        values = found.output_BDT[:, channel].unique()
        assert len(values) == size
        steps = values.diff()
        assert torch.allclose(steps, torch.full_like(steps, 1 / (size // 2)))
        assert float(values.min()) >= -1
        assert float(values.max()) <= 1


def test_every_combination_of_levels_has_its_own_code() -> None:
    found = quantize(make_quantizer([4, 3]), 2)

    codes = found.lookups[0].codes_N
    pairs = {tuple(v.tolist()) for v in found.output_BDT.transpose(1, 2).reshape(-1, 2)}
    assert int(codes.min()) == 0
    assert int(codes.max()) == 11
    assert len(codes.unique()) == len(pairs) == 12


def test_rounding_is_to_the_nearest_level() -> None:
    quantizer = make_quantizer([5])
    z = torch.linspace(-3, 3, 601).reshape(1, 1, -1)

    found = quantizer(z, 1)

    expected = torch.round(torch.tanh(z) * 2 * 1.001) / 2
    assert torch.equal(found.output_BDT, expected)


def test_gradient_is_that_of_the_bounded_input() -> None:
    quantizer = make_quantizer([5])
    z = torch.linspace(-2, 2, 21).reshape(1, 1, -1).requires_grad_()
    twin = z.detach().clone().requires_grad_()

    quantizer(z, 1).output_BDT.sum().backward()
    (twin.tanh() * 2 * 1.001 / 2).sum().backward()

    assert z.grad is not None
    assert twin.grad is not None
    assert torch.allclose(z.grad, twin.grad)


def test_groups_that_are_not_active_are_silent() -> None:
    found = quantize(make_quantizer([4, 3], groups=3), 6, active=2)

    assert len(found.lookups) == 2
    assert float(found.output_BDT[:, 4:].abs().max()) == 0
    assert float(found.output_BDT[:, :4].abs().max()) > 0


def test_items_keep_as_many_groups_as_they_are_told() -> None:
    quantizer = make_quantizer([4], groups=3)
    z = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))

    found = quantizer(z, 3, torch.tensor([1, 3]))

    assert float(found.output_BDT[0, 1:].abs().max()) == 0
    assert float(found.output_BDT[1, 1:].abs().max()) > 0


def test_perplexity_counts_its_codes() -> None:
    found = quantize(make_quantizer([8, 5, 5, 5]), 4)

    use = code_use(found, 1000)

    assert 1 < float(use["train/rvq/perplexity_q0"]) <= 1000
    assert float(use["train/rvq/bits_q0"]) == pytest.approx(
        math.log2(float(use["train/rvq/perplexity_q0"]))
    )
    assert float(use["train/rvq/explained_variance"]) > 0.9
