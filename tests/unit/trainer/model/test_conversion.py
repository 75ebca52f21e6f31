"""Who speaks, what is said and how: the parts of a voice converter."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.support.trainer_run import run_for
from trainer.config.parsing import parse
from trainer.losses.audio import content_ce
from trainer.model import Codec, build_codec
from trainer.model.layers import Film

TOLD = {"model.speaker_dim": 16, "model.speaker_channels": 8, "model.pitch": True}
UNITS = {"model.content_units": 10}
TOPOLOGIES: list[dict[str, Any]] = [
    {},
    {"preset": "pre_output", "quantizer.kind": "bypass", "quantizer.prenorm": "none"},
]


def make_codec(overrides: dict[str, Any]) -> Codec:
    torch.manual_seed(0)
    codec = build_codec(parse({**TOLD, **UNITS, **overrides}))
    for module in codec.modules():
        if isinstance(module, Film):  # begins without effect; here it is to have some
            torch.nn.init.normal_(module.affine.weight, std=0.5)
    return codec


def voices() -> tuple[torch.Tensor, torch.Tensor]:
    time = torch.arange(4800) / 16000
    k = torch.arange(1, 12).unsqueeze(1)
    low, high = (
        (torch.sin(2 * math.pi * k * f0 * time) / k).sum(0, keepdim=True) for f0 in (110, 230)
    )
    return 0.05 * low, 0.05 * high


@pytest.mark.parametrize("overrides", TOPOLOGIES, ids=["bottleneck", "pre_output"])
def test_another_voice_changes_the_output_and_nothing_before_the_speaker_is_told(
    overrides: dict[str, Any],
) -> None:
    codec, (low, high) = make_codec(overrides), voices()

    own, same, other = (codec(low, 1, voice_BT=voice) for voice in (None, low, high))

    assert torch.equal(own.audio_BT, same.audio_BT)
    assert not torch.allclose(own.audio_BT, other.audio_BT)
    assert own.content_logits_BUF is not None
    assert other.content_logits_BUF is not None
    assert torch.equal(own.content_logits_BUF, other.content_logits_BUF)


def test_voice_may_be_of_any_length() -> None:
    codec, (low, high) = make_codec({}), voices()

    made = codec(low, 1, voice_BT=high[:, :3217])

    assert made.audio_BT.shape == low.shape


def test_untrained_speaker_has_no_effect() -> None:
    torch.manual_seed(0)
    codec, (low, high) = build_codec(parse({**TOLD})), voices()

    assert torch.equal(codec(low, 1).audio_BT, codec(low, 1, voice_BT=high).audio_BT)


@pytest.mark.parametrize("gradient", [True, False])
def test_content_encoder_learns_from_the_audio_only_where_it_may(gradient: bool) -> None:
    codec, (low, _) = make_codec({"model.content_gradient": gradient}), voices()

    codec(low, 1).audio_BT.square().mean().backward()

    reached = [p.grad is not None for p in codec.encoder.parameters()]
    assert all(reached) if gradient else not any(reached)
    assert all(p.grad is not None for p in codec.decoder.parameters())


def test_melody_is_heard_by_the_decoder() -> None:
    codec, (low, high) = make_codec({"quantizer.kind": "bypass"}), voices()
    torch.nn.init.zeros_(codec.pre_rvq.weight)  # no content reaches the decoder

    assert not torch.allclose(codec(low, 1).audio_BT, codec(high, 1, voice_BT=low).audio_BT)


def test_units_are_scored_once_in_20_ms() -> None:
    codec, (low, _) = make_codec({}), voices()

    logits = codec(low, 1).content_logits_BUF

    assert logits is not None
    assert logits.shape == (1, 10, 15)


def test_content_loss_is_the_cross_entropy_at_the_middle_of_each_frame() -> None:
    logits = torch.randn(2, 10, 5, generator=torch.Generator().manual_seed(0))
    units_BF = torch.tensor([[1, 2, 3, 4, 5], [9, 8, 7, 6, 0]])
    # The label changes at the frames' borders.
    units_BT = units_BF.repeat_interleave(320, dim=1)

    found = float(content_ce(logits, units_BT))

    chosen = logits.double().log_softmax(dim=1).gather(1, units_BF.unsqueeze(1))
    assert found == pytest.approx(float(-chosen.mean()), rel=1e-5)
    even = content_ce(torch.zeros(2, 100, 5), units_BT)
    assert float(even) == pytest.approx(math.log(100), rel=1e-5)


def test_content_encoder_learns_its_units() -> None:
    run = run_for(
        {
            **UNITS,
            "model.content_gradient": False,
            "steps": 200,
            "log_every": 10,
            "valid_every": 200,
            "diagnostics_every": 200,
            "optim.learning_rate": 4e-3,
            "data.segment_s": 0.3,
            "data.batch_size": 4,
        }
    )

    curve = run.curves["train/loss/content_ce"]
    assert curve[0] == pytest.approx(math.log(10), rel=0.15)
    assert sum(curve[step] for step in range(160, 201, 10)) / 5 < 0.8 * curve[0]
