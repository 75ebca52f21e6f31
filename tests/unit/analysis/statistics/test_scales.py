"""What is compared as it is, and what by ratios."""

import math

import pytest

from ablate.analysis.statistics.scales import natural_scale, on_scale
from ablate.rules import Target

POSITIVE = (0.5, 2.0, math.nan)


@pytest.mark.parametrize(
    "key",
    [
        *("train/loss/l1", "valid/loss/stft", "train/norm/out_proj_weight", "train/grad/l1"),
        *("train/audio/rms", "train/rvq/perplexity_q0", "train/optim/lr", "valid/x/mel"),
        *("valid/scalar/loss", "import/scalar/train_loss", "valid/scalar/rmse", "import/lm/ppl"),
    ],
)
def test_what_is_positive_and_shrinks_is_compared_by_ratios(key: str) -> None:
    assert natural_scale(key, None, POSITIVE) == "log"
    assert natural_scale(key, None, (*POSITIVE, 0.0)) == "identity"
    assert natural_scale(key, None, (*POSITIVE, -1.0)) == "identity"


@pytest.mark.parametrize(
    "key",
    [
        *("valid/audio/si_sdr_db", "valid/loss/lsd_db", "valid/scalar/accuracy"),
        *("train/audio/level", "loss/scalar/accuracy", "valid/scalar/glossary"),
    ],
)
def test_others_are_compared_as_they_are(key: str) -> None:
    assert natural_scale(key, None, POSITIVE) == "identity"


def test_a_place_is_compared_by_distances_and_a_floor_by_values() -> None:
    assert natural_scale("train/audio/rms", Target.parse("0.075 +-20%"), POSITIVE) == "identity"
    assert natural_scale("train/norm/w", Target.parse("drift < 10%"), POSITIVE) == "identity"
    assert natural_scale("train/rvq/perplexity_q0", Target.parse(">= 8"), POSITIVE) == "log"


def test_a_value_without_a_logarithm_is_none() -> None:
    assert on_scale(math.e, "log") == 1.0
    assert math.isnan(on_scale(-1.0, "log"))
    assert on_scale(-1.0, "identity") == -1.0
