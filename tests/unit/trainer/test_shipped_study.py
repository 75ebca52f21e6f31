"""Every variant of the shipped studies resolves and trains for a step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.trainer_run import MemoryRun
from trainer.loop import train
from trainer.spec import BUNDLED

STUDIES = sorted((Path(__file__).parents[3] / "studies").glob("*.yaml"))
SHORT = {
    "steps": 1,
    "data.batch_size": 2,
    "data.segment_s": 0.1,
    "data.valid_s": 0.2,
    "data.synthetic_s": 5,
}


def phase_settings(study: dict[str, Any], name: str) -> dict[str, Any]:
    phase = study["phases"][name]
    parent = phase_settings(study, phase["from"]) if "from" in phase else study["base"]
    return {**parent, **phase.get("set", {})}


def variants(study: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in study["phases"]:
        yield name, phase_settings(study, name)
    start = phase_settings(study, study["design"]["from"])
    for factor, spec in study["factors"].items():
        levels = spec["levels"]
        if "key" in spec:
            levels = {str(level): {spec["key"]: level} for level in levels}
        for level, settings in levels.items():
            yield f"{factor}={level}", {**start, **settings}


def every_variant() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in STUDIES:
        for name, settings in variants(YAML(typ="safe", pure=True).load(path)):
            found[f"{path.stem}: {name}"] = settings
    return found


@pytest.mark.parametrize(("name", "settings"), every_variant().items(), ids=every_variant())
def test_variant_trains_for_a_step(name: str, settings: dict[str, Any]) -> None:
    run = MemoryRun()

    train(BUNDLED.resolve({**settings, **SHORT}), run)

    assert run.saved_steps == [1]
    assert run.is_finite()


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_all_phases_train_equally_long(path: Path) -> None:
    study = YAML(typ="safe", pure=True).load(path)

    steps = {BUNDLED.resolve(settings)["steps"] for _, settings in variants(study)}

    assert len(steps) == 1


def test_first_level_of_each_factor_is_the_phase_that_it_starts_from() -> None:
    for path in STUDIES:
        study = YAML(typ="safe", pure=True).load(path)
        start = BUNDLED.resolve(phase_settings(study, study["design"]["from"]))
        for factor, spec in study["factors"].items():
            first = next(s for name, s in variants(study) if name.startswith(f"{factor}="))

            assert BUNDLED.resolve(first) == start, spec
