"""The adversarial option on its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.trainer_run import MemoryRun
from trainer.config.parsing import parse
from trainer.losses.adversary import Adversary

SMALL = {
    "discriminator.enabled": True,
    "discriminator.channels": 4,
    "discriminator.n_ffts": [256, 64],
}


def make_adversary(**changes: Any) -> Adversary:
    return Adversary(parse({**SMALL, **changes}), MemoryRun(seed=1))


def batches() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(1600) / 16000
    tones = 0.1 * torch.sin(2 * torch.pi * 440 * time).repeat(2, 1)
    return 0.1 * torch.randn(2, 1600, generator=generator), tones


def test_discriminators_learn_to_tell_noise_from_tones() -> None:
    adversary = make_adversary(**{"discriminator.learning_rate": 3e-3})
    noise, tones = batches()

    losses = [float(adversary.learn(noise, tones)["train/discriminator/loss"]) for _ in range(60)]

    assert losses[0] == pytest.approx(2, abs=0.1)  # they know nothing: both hinges at their margin
    assert losses[-1] < 0.5


def test_codec_is_told_nothing_where_output_equals_target() -> None:
    adversary = make_adversary()
    _, tones = batches()

    terms = adversary.terms(tones, tones, 1)

    assert float(terms["feature_matching"][1]) == 0


def test_terms_have_gradients_to_the_output_alone() -> None:
    adversary = make_adversary()
    noise, tones = batches()
    noise.requires_grad_()

    terms = adversary.terms(noise, tones, 1)
    torch.stack([weight * value for weight, value in terms.values()]).sum().backward()

    assert noise.grad is not None
    assert float(noise.grad.abs().max()) > 0
    assert all(p.grad is None for p in adversary.discriminators.parameters())
    assert all(p.requires_grad for p in adversary.discriminators.parameters())


def test_learning_gives_the_output_no_gradient() -> None:
    adversary = make_adversary()
    noise, tones = batches()
    noise.requires_grad_()

    adversary.learn(noise, tones)

    assert noise.grad is None


def test_weights_start_and_rise_as_configured() -> None:
    adversary = make_adversary(**{"discriminator.start_step": 10, "discriminator.ramp_steps": 4})
    noise, tones = batches()

    assert not adversary.takes_part(10)
    assert adversary.adversarial_step(noise, tones, 10).terms == {}
    rising = [
        adversary.terms(noise, tones, step)["feature_matching"][0] for step in (11, 12, 14, 99)
    ]
    assert rising == [1.25, 2.5, 5.0, 5.0]


def test_term_without_weight_is_left_out() -> None:
    adversary = make_adversary(**{"losses.adversarial.weight": 0})

    assert set(adversary.terms(*batches(), 1)) == {"feature_matching"}


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()

    first, same = make_adversary(), make_adversary()

    assert torch.equal(before, torch.get_rng_state())
    pairs = zip(first.discriminators.parameters(), same.discriminators.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


KINDS = ["stft", "multi_period", "multi_scale"]


@pytest.mark.parametrize("loss", ["hinge", "lsgan"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns_to_tell_noise_from_tones(kind: str, loss: str) -> None:
    adversary = make_adversary(
        **{
            "discriminator.kinds": [kind],
            "discriminator.loss": loss,
            "discriminator.learning_rate": 3e-3,
        }
    )
    noise, tones = batches()

    found = [adversary.learn(noise, tones) for _ in range(80)]

    losses = [float(row["train/discriminator/loss"]) for row in found]
    assert losses[-1] < 0.5 * losses[0]
    assert float(found[-1]["train/discriminator/margin"]) > 0.5


def test_all_kinds_judge_together_any_length() -> None:
    adversary = make_adversary(**{"discriminator.kinds": KINDS})

    assert len(adversary.discriminators) == 2 + 5 + 3
    for samples in (1600, 1601, 1607):
        audio = 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
        for judge in adversary.discriminators:
            judgement = judge(audio)
            assert torch.isfinite(judgement.scores).all()
            assert len(judgement.features) >= 4


def test_losses_of_both_sides_are_those_of_their_papers() -> None:
    scores = torch.tensor([-2.0, 0.0, 0.5, 3.0])

    hinge, lsgan = (make_adversary(**{"discriminator.loss": name}) for name in ("hinge", "lsgan"))

    assert float(hinge._own_loss(scores, real=True)) == pytest.approx((3 + 1 + 0.5 + 0) / 4)
    assert float(hinge._own_loss(scores, real=False)) == pytest.approx((0 + 1 + 1.5 + 4) / 4)
    assert float(hinge._codec_loss(scores)) == pytest.approx((3 + 1 + 0.5 + 0) / 4)
    assert float(lsgan._own_loss(scores, real=True)) == pytest.approx((9 + 1 + 0.25 + 4) / 4)
    assert float(lsgan._own_loss(scores, real=False)) == pytest.approx((4 + 0 + 0.25 + 9) / 4)
    assert float(lsgan._codec_loss(scores)) == pytest.approx((9 + 1 + 0.25 + 4) / 4)
