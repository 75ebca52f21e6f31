"""What stands in the help is what was written: nothing in brackets is taken for a style."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from ablate.cli import app


def commands() -> Iterator[tuple[list[str], Any]]:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        if inner is None:
            yield [name], command
        else:
            yield from (([name, each], found) for each, found in inner.items())


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=[" ".join(path) for path, _ in commands()]
)
def test_every_word_of_the_help_is_shown(path: list[str], command: Any) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"], terminal_width=300, color=False).output

    texts = [command.help or "", *(getattr(each, "help", None) or "" for each in command.params)]
    words = {word for text in texts for word in text.replace("`", "").split()}
    assert not {word for word in words if word not in shown.replace("`", "")}
