"""What a newcomer is told: targets of make, hooks, paths that are there, recipes for each seam."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)[0].split()
SEAMS = ("loss", "sign of the diagnosis", "design", "importer", "executor", "output format")


def test_make_help_names_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)

    assert re.findall(r"^make (\w+) +\S", done.stdout, flags=re.MULTILINE) == TARGETS


def test_make_bench_runs_every_benchmark() -> None:
    (benches,) = re.findall(r"^BENCHES = (.*)$", MAKEFILE, flags=re.MULTILINE)
    page = (ROOT / "benchmarks" / "README.md").read_text()

    assert benches.split() == re.findall(r"^- `(\w+)\.py`", page, flags=re.MULTILINE)
    assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in benches.split())


def test_commits_wait_for_nothing_slow() -> None:
    config: dict[str, Any] = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")
    (repo,) = config["repos"]

    stages = {hook["id"]: hook["stages"] for hook in repo["hooks"]}

    assert config["default_install_hook_types"] == ["pre-commit", "pre-push"]
    assert stages == {
        "ruff-check": ["pre-commit"],
        "ruff-format": ["pre-commit"],
        "pyright": ["pre-push"],
        "lint-imports": ["pre-push"],
    }


def test_ci_builds_the_site() -> None:
    assert "\nmake docs\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("seam", SEAMS)
def test_each_seam_has_a_recipe(seam: str) -> None:
    assert re.search(rf"^## Add an? {seam}$", PAGE, flags=re.MULTILINE)


def test_paths_that_are_named_are_there() -> None:
    named = re.findall(r"`((?:ablate|trainer|dashboards|tests|docs|benchmarks)/[\w./]*)`", PAGE)
    named = [name for name in named if not {"KIND", "NAME", "pairs"} & set(re.split(r"\W|_", name))]

    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_names_that_recipes_tell_to_change_are_there() -> None:
    places = {
        "trainer/losses/audio.py": ("REGISTRY", "_other", "_audio"),
        "trainer/losses/objective.py": ("_inner",),
        "trainer/config/losses.py": ("LossesConfig", "INSIDE"),
        "trainer/spec.py": ("absent_means",),
        "ablate/importers/sources.py": ("IMPORTERS",),
        "ablate/importers/base.py": ("Importer",),
        "ablate/keys.py": ("LOSS",),
        "ablate/analysis/diagnosis/signs.py": ("Evidence", "Sign", "look", "tell", "reads"),
        "ablate/analysis/diagnosis/causes.py": ("SIGNS",),
        "ablate/planning/designs/base.py": (
            "Design",
            "Layout",
            "OptionError",
            "aliases",
            "sets_several",
        ),
        "ablate/planning/designs/__init__.py": ("DESIGNS",),
        "ablate/execution/executors/base.py": ("Executor", "ExecutorRequest"),
        "ablate/execution/executors/registry.py": ("EXECUTORS",),
        "ablate/execution/slots.py": ("MachineSlots",),
        "ablate/attempt/worker.py": ("work",),
        "ablate/attempt/signals.py": ("DUMP",),
        "ablate/execution/devices.py": ("devices_for", "worker_environment", "default_workers"),
        "ablate/execution/executors/guardian.py": (
            "adopt_orphans",
            "die_with_parent",
            "end_orphans",
        ),
        "ablate/testing/executors.py": ("ExecutorContract", "MakeExecutor"),
        "ablate/importers/reading/rows.py": ("RowReader", "read_each"),
        "ablate/render/listing.py": ("FORMATS", "render_list"),
        "ablate/render/comparison/text.py": ("Format", "writers"),
        "ablate/render/points.py": ("WRITERS",),
        "ablate/cli/shared.py": ("LIST_FORMATS",),
        "ablate/cli/commands/compare.py": ("_FORMATS",),
        "ablate/cli/commands/data.py": ("_EXPORTS", "_SUFFIXES"),
    }
    for path, names in places.items():
        text = (ROOT / path).read_text()
        for name in names:
            assert name in PAGE, name
            assert re.search(rf"\b{name}\b", text), f"{path}: {name}"
