"""Weights that follow the gradients."""

from __future__ import annotations

import pytest
import torch

from tests.support.trainer_run import run_for
from trainer.config.config import BalancerConfig
from trainer.losses.balancer import Balancer


def terms(scale: float) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    y = torch.randn(4, 200, generator=torch.Generator().manual_seed(0)).requires_grad_()
    raw = {
        "loud": scale * y.abs().mean(),
        "soft": 1e-3 * y.square().mean(),
        "elsewhere": torch.ones(()).requires_grad_() * 2,
    }
    return raw, y


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_each_term_gets_its_share_whatever_its_unit(scale: float) -> None:
    raw, y = terms(scale)
    balancer = Balancer(BalancerConfig(enabled=True, total_norm=2.0))

    weights = balancer(raw, {"loud": 3.0, "soft": 1.0, "elsewhere": 5.0}, y)

    lengths = {
        name: float(
            torch.autograd.grad(weights[name] * raw[name], y, retain_graph=True)[0]
            .norm(dim=1)
            .mean()
        )
        for name in weights
    }
    assert lengths == pytest.approx({"loud": 1.5, "soft": 0.5})


def test_running_mean_has_no_bias_at_its_beginning() -> None:
    raw, y = terms(1.0)
    balancer = Balancer(BalancerConfig(enabled=True, decay=0.9))
    wanted = {"loud": 1.0, "soft": 1.0, "elsewhere": 1.0}

    first = balancer(raw, wanted, y)
    for _ in range(5):
        later = balancer(raw, wanted, y)

    assert float(first["loud"]) == pytest.approx(float(later["loud"]))


def test_balanced_run_logs_the_weights_it_used() -> None:
    run = run_for({"balancer.enabled": True, "losses.rms_log.weight": 0.3, "log_every": 1})

    for step in range(1, 7):
        parts = [
            curve[step] for key, curve in run.curves.items() if key.startswith("train/weighted/")
        ]
        assert sum(parts) == pytest.approx(run.curves["train/loss/total"][step], rel=1e-5)
    # l1 has ten times the share of sc, in the length of the gradient at the output.
    lengths = {name: run.curves[f"train/grad/{name}"][3] for name in ("l1", "sc")}
    norms = lengths["l1"] / lengths["sc"]
    assert norms == pytest.approx(10, rel=0.5)
