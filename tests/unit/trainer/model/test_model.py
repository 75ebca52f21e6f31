"""The codecs: shapes, causality, sizes, and that every part is trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainer.config.config import Config
from trainer.config.parsing import parse
from trainer.model import Codec, build_codec
from trainer.model.layers import PatchUpsample, TransposedUpsample, standardise_over_time

TOPOLOGIES: dict[str, dict[str, Any]] = {
    "bottleneck": {},
    "pre_output": {"preset": "pre_output", "quantizer.prenorm": "none"},
}


def make_codec(overrides: dict[str, Any]) -> tuple[Codec, Config]:
    config = parse(overrides)
    torch.manual_seed(0)
    return build_codec(config), config


def audio(batch: int = 2, samples: int = 3200) -> torch.Tensor:
    return 0.075 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("causal", [True, False])
def test_output_has_the_shape_of_the_input(name: str, causal: bool) -> None:
    codec, _ = make_codec({**TOPOLOGIES[name], "model.causal": causal})

    made = codec(audio(), 1)

    assert made.audio_BT.shape == (2, 3200)
    assert next(iter(made.stages)) == "pre_rvq"
    assert list(made.stages)[-1] == "out"


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_causal_codec_does_not_look_ahead_of_its_frame(name: str) -> None:
    # Without a quantizer, so that the gradient shows every path.
    codec, config = make_codec({**TOPOLOGIES[name], "quantizer.kind": "bypass"})
    x = audio(1).requires_grad_()

    codec(x, 1).audio_BT[0, 1600].backward()

    assert x.grad is not None
    frame_end = (1600 // config.total_stride + 1) * config.total_stride
    assert float(x.grad[0, frame_end:].abs().max()) == 0
    assert float(x.grad[0, :frame_end].abs().max()) > 0


@pytest.mark.parametrize("preset", ["base", "pre_output"])
def test_presets_have_the_documented_size(preset: str) -> None:
    documented = {"base": 211_000, "pre_output": 34_000}
    codec, _ = make_codec({"preset": preset})
    codes = [b for name, b in codec.named_buffers() if name.endswith("codes_VD")]

    size = sum(t.numel() for t in [*codec.parameters(), *codes])

    assert size == pytest.approx(documented[preset], rel=0.02)


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"preset": "pre_output", "model.final_conv": "default"},
        {"preset": "pre_output", "quantizer.ste": "consistent", "quantizer.post_affine": True},
    ],
)
def test_gradient_reaches_every_parameter_of_the_network(overrides: dict[str, Any]) -> None:
    codec, _ = make_codec(overrides)

    codec(audio(), 1).audio_BT.square().mean().backward()

    books = [name for name, _ in codec.named_parameters() if name.startswith("quantizer.")]
    for name, parameter in codec.named_parameters():
        if name not in books:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_scaling_the_read_out_scales_the_output() -> None:
    codec, _ = make_codec({"preset": "pre_output"})
    before = codec(audio(), 1).audio_BT

    codec.scale_read_out(torch.tensor(0.5))

    torch.testing.assert_close(codec(audio(), 1).audio_BT, 0.5 * before)


def test_watched_parameters_are_named_as_their_metrics() -> None:
    codec, _ = make_codec({"preset": "pre_output", "model.final_conv": "default"})

    assert {"out_proj_weight", "out_proj_bias", "final_conv_weight"} <= set(codec.tracked())


def test_time_normalisation_leaves_mean_0_and_deviation_1() -> None:
    x = 3 + 5 * torch.randn(2, 4, 1000)

    normed = standardise_over_time(x)

    torch.testing.assert_close(normed.mean(dim=-1), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.std(dim=-1), torch.ones(2, 4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("factor", [2, 5])
def test_upsampling_multiplies_the_steps(factor: int) -> None:
    x = torch.randn(1, 3, 7)

    patches = PatchUpsample(3, 4, factor=factor, kernel_size=3, causal=True)(x)
    spread = TransposedUpsample(3, factor=factor, kernel_size=3, causal=True)(x)

    assert patches.shape == (1, 4, 7 * factor)
    assert spread.shape == (1, 3, 7 * factor)
