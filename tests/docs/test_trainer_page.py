"""The trainer's page names every key of the config with its default, and every metric it logs."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.support.trainer_run import GAN, PHASE_A, run_for
from trainer.config.presets import PRESETS
from trainer.losses.audio import REGISTRY
from trainer.spec import BUNDLED

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "trainer.md").read_text()
CONFIG = BUNDLED.resolve({})


def leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        found |= leaves(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if value == "":
        return '""'
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_key_stands_there_with_its_default() -> None:
    missing = [
        line
        for key, value in leaves(CONFIG).items()
        if not re.fullmatch(r"losses\.\w+\.weight", key)
        and (line := f"| `{key}` | {shown(value)} |") not in PAGE
    ]

    assert missing == []


def test_no_key_stands_there_that_is_gone() -> None:
    named = re.findall(r"^\| `((?:\w+\.)*\w+)` \| [^|]+ \| [^|]+ \|$", PAGE, flags=re.MULTILINE)

    gone = [key for key in named if key not in leaves(CONFIG) and key not in PRESETS]

    assert gone == []


def test_every_loss_and_preset_stands_there() -> None:
    for name, loss in REGISTRY.items():
        law = loss.law.value.replace("|", r"\|")
        assert re.search(
            rf"^\| `{name}` \| .* \| {re.escape(loss.unit)} \| {re.escape(law)} \|",
            PAGE,
            flags=re.MULTILINE,
        ), name
    assert all(f"| `{name}` |" in PAGE for name in PRESETS)


WEIGHTS = {
    f"losses.{name}.weight": 0.1
    for name in REGISTRY
    if name not in ("adversarial", "feature_matching", "content_ce", "codebook")
}


@pytest.fixture(scope="module")
def logged() -> set[str]:
    """Return every key that runs log which have, together, every part and every term."""
    told = {"model.content_units": 8, "model.speaker_dim": 4, "model.pitch": True}
    runs = [
        {**PHASE_A, **GAN, "quantizer.metric": "cosine"},
        {**told, "balancer.enabled": True},
        {**told, **WEIGHTS, "losses.content_ce.weight": 0.1},
        {**GAN, **WEIGHTS, "quantizer.update": "gradient", "losses.codebook.weight": 0.1},
    ]
    return {key for overrides in runs for key in run_for(overrides).curves}


def test_trainer_declares_what_it_logs_and_logs_what_it_declares(logged: set[str]) -> None:
    declared = BUNDLED.metrics

    assert [key for key in logged if not any(fnmatchcase(key, p) for p in declared)] == []
    # Held-out audio of an untrained codec has no pitch whose error could be told.
    never = [p for p in declared if not any(fnmatchcase(key, p) for key in logged)]
    assert never == ["valid/audio/f0_cents"]


def test_every_metric_that_is_logged_stands_there(logged: set[str]) -> None:
    table = PAGE[PAGE.index("## Metrics") : PAGE.index("## Guards")]
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    patterns: list[str] = []
    for row in rows:
        keys, _, what = row.strip("|").split("|", 2)
        names = [re.sub(r"<\w+>", r"[\\w.]+", n) for n in re.findall(r"`([\w<>/]+)`", what)]
        for key in re.findall(r"`([^`]+)`", keys):
            if key.endswith("/<what>"):
                patterns += [key.removesuffix("<what>") + name for name in names]
            else:
                patterns.append(re.sub(r"<\w+>", r"[\\w.]+", key))
    known = re.compile("|".join(patterns))

    assert [key for key in logged if not known.fullmatch(key)] == []
