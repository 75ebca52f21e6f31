"""Write `docs/reference/commands.md` from the command line itself; see `make docs`.

Usage, arguments, options, defaults and exit codes come from the code. What stands between the marks
of `BEGIN` and `END` is written by hand and kept: each block is named by the command, or the part of
the page, below which it is placed. A new block can be put anywhere in the page.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typer.main import get_command

from ablate.cli import EXIT_CODES, app

PAGE = Path(__file__).parent / "reference" / "commands.md"
WIDTH = 120
BEGIN = "<!-- by hand: {} -->"
END = "<!-- end -->"
NOTE = """\
<!-- Written by docs/generate.py (make docs). Only what stands between "by hand" and "end" is kept;
     change the rest in the commands themselves. -->"""
# What these say depends on the shell from which they are asked.
LEFT_OUT = ("install_completion", "show_completion")
KINDS = {int: "N", float: "NUMBER", Path: "PATH"}


def main() -> None:
    """Write the page; with `--check` only say whether it is up to date."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" in sys.argv:
        sys.exit(f"{PAGE} is not what the commands say; run: make docs" if new != old else 0)
    PAGE.write_text(new, encoding="utf-8")


def page(old: str) -> str:
    """Return the page with the hand-written blocks of the old one.

    Raises:
        ValueError: If a block of the old page has no place any more, so that it would be lost.
    """
    blocks = written_by_hand(old)
    parts = [*_parts(get_command(app), blocks)]
    if blocks:
        raise ValueError(f"blocks without a place: {', '.join(blocks)}; rename or delete them")
    return "\n\n".join(parts) + "\n"


def written_by_hand(text: str) -> dict[str, str]:
    """Return the hand-written blocks of a page by their names."""
    mark = re.escape(BEGIN).replace(r"\{\}", "(.+?)")
    return dict(re.findall(rf"^{mark}\n+(.*?)\n+{END}$", text, flags=re.MULTILINE | re.DOTALL))


def _parts(root: Any, blocks: dict[str, str]) -> Iterator[str]:
    """Yield the parts of the page in their order; take the blocks that are placed."""
    yield "# Commands"
    yield NOTE
    yield from _block("start", blocks)
    yield "\n".join(_overview(root))
    yield "## Options before the command"
    yield _listed(root)
    for name, command in root.commands.items():
        yield from _command(name, command, blocks, level=2)
    yield "## Exit codes"
    yield _exit_codes()
    yield from _block("exit codes", blocks)
    yield from _block("more", blocks)


def _block(name: str, blocks: dict[str, str]) -> Iterator[str]:
    if text := blocks.pop(name, ""):
        yield f"{BEGIN.format(name)}\n\n{text}\n\n{END}"


def _command(name: str, command: Any, blocks: dict[str, str], *, level: int) -> Iterator[str]:
    yield f"{'#' * level} `ablate {name}`"
    yield from (_wrapped(" ".join(text.split())) for text in _help(command).split("\n\n"))
    inner: Mapping[str, Any] = getattr(command, "commands", {})
    if not inner:
        yield f"```\n{_usage(name, command)}\n```"
        if listed := _listed(command):
            yield listed
    yield from _block(name, blocks)
    for sub, subcommand in inner.items():
        yield from _command(f"{name} {sub}", subcommand, blocks, level=level + 1)


def _overview(root: Any) -> Iterator[str]:
    """Yield a line for each command, with the first sentence of its help."""
    for name, command in root.commands.items():
        inner: Mapping[str, Any] = getattr(command, "commands", {})
        every = {f"{name} {sub}": each for sub, each in inner.items()} or {name: command}
        for full, each in every.items():
            first = " ".join(_help(each).split("\n\n")[0].split())
            yield _wrapped(f"[`ablate {full}`](#ablate-{full.replace(' ', '-')}): {first}", "- ")


def _usage(name: str, command: Any) -> str:
    words = [_argument(p) for p in command.params if not _is_option(p)]
    options = ["[OPTIONS]"] if any(map(_is_option, command.params)) else []
    return " ".join(["ablate", name, *options, *words])


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    shown = name if parameter.required else f"[{name}]"
    return f"{shown}..." if parameter.nargs == -1 else shown


def _listed(command: Any) -> str:
    """Return the arguments and options of a command as a list."""
    shown = [p for p in command.params if p.name not in LEFT_OUT and not p.hidden]
    return "\n".join(_wrapped(f"{_spelled(p)}: {_told(p)}", "- ") for p in shown)


def _spelled(parameter: Any) -> str:
    if not _is_option(parameter):
        return f"`{parameter.metavar or parameter.name.upper()}`"
    *others, last = [*parameter.opts, *parameter.secondary_opts]
    kind = "" if parameter.is_flag else f" {_kind(parameter)}"
    return ", ".join(f"`{name}`" for name in [*others, last + kind])


def _kind(parameter: Any) -> str:
    return parameter.metavar or KINDS.get(parameter.type_descriptor.annotation, "TEXT")


def _told(parameter: Any) -> str:
    """Return a parameter's help, its limit and its default."""
    told = [_escaped(parameter.help or "")]
    if parameter.min is not None:
        told.append(f"At least {parameter.min}.")
    if parameter.required and _is_option(parameter):
        told.append("Needed.")
    if parameter.default not in (None, False, []) and parameter.show_default:
        told.append(f"Default: `{parameter.default}`.")
    return " ".join(told)


def _is_option(parameter: Any) -> bool:
    return parameter.opts[0].startswith("-")


def _exit_codes() -> str:
    _, _, codes = EXIT_CODES.partition(":")
    pairs = [" ".join(each.split()).partition(" ") for each in codes.split("·")]
    rows = [f"| {code} | {meaning} |" for code, _, meaning in pairs]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def _help(command: Any) -> str:
    return _escaped((command.help or "").strip())


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")


def _wrapped(text: str, bullet: str = "") -> str:
    """Return text in lines that fit; what is code or a link's address stays on one line."""
    whole = re.sub(r"`[^`]*`", lambda found: found.group().replace(" ", "\0"), text)
    lines = textwrap.wrap(
        whole,
        WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\0", " ")


if __name__ == "__main__":
    main()
