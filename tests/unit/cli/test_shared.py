"""What the commands share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ablate.cli.shared import typed_command


@pytest.mark.parametrize(("on_path", "expected"), [(True, "ablate"), (False, "env/bin/ablate")])
def test_hints_name_the_command_as_it_can_be_typed(
    on_path: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "env" / "bin" / "ablate"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(program.parent) if on_path else str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(program)])

    assert typed_command() == expected
