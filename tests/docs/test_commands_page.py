"""The page of commands is what the commands say, and keeps what is written by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_commands_say(generate: ModuleType) -> None:
    old = generate.PAGE.read_text(encoding="utf-8")

    assert generate.page(old) == old, "run: make docs"


def test_every_option_is_on_the_page(generate: ModuleType) -> None:
    page = generate.page("")

    assert "- `-f`, `--file PATH`: Read this study file instead." in page
    assert (
        "- `--gpus-per-run N`: GPUs that train one run together. At least 1. Default: `1`." in page
    )
    assert "| 3 | not found |" in page


def test_what_is_written_by_hand_is_kept_below_its_command(generate: ModuleType) -> None:
    block = f"{generate.BEGIN.format('db vacuum')}\n\nOnce a year.\n\nOr twice.\n\n{generate.END}"

    page = generate.page(block)

    assert (
        page.index("### `ablate db vacuum`") < page.index(block) < page.index("## `ablate mlflow`")
    )
    assert generate.page(page) == page


def test_what_has_no_place_any_more_is_not_lost(generate: ModuleType) -> None:
    block = f"{generate.BEGIN.format('db shrink')}\nOnce a year.\n{generate.END}"

    with pytest.raises(ValueError, match="db shrink"):
        generate.page(block)
