"""What was typed and is no command: said like every other error, with what was meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from ablate.errors import UsageError, closest

Result = TypeVar("Result")

# Typer keeps these to itself; its base class is the only one that has a public child.
_WrongUse: Any = typer.BadParameter.__base__
_COMMAND = re.compile(r"No such command '(.*?)'\..*", re.DOTALL)
_IN_PLAIN_WORDS = (
    (re.compile(r"Input should be a valid integer.*"), "a whole number is wanted"),
    (re.compile(r"Input should be a valid number.*"), "a number is wanted"),
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"at least \1 is wanted"),
    (re.compile(r"Input should be less than or equal to (\S+)"), r"at most \1 is wanted"),
)


def in_our_words(call: Callable[[], Result]) -> Result:
    """Return what a call gives.

    Raises:
        UsageError: In place of typer's own, which would draw a box.
    """
    try:
        return call()
    except _WrongUse as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # it brings the help
            raise
        raise (_said(error) if error.ctx else _said_anywhere(error)) from error


def _said_anywhere(error: Any) -> UsageError:
    """Return the error of a parser that does not tell for which command it reads."""
    text = error.format_message().rstrip(".")
    return UsageError(f"{text[:1].lower()}{text[1:]}", hint="see: ablate COMMAND --help")


def _said(error: Any) -> UsageError:
    context = error.ctx
    path, command = context.command_path, context.command
    if found := _COMMAND.fullmatch(error.message):
        meant = closest(found[1], [name for name in command.commands if name[0] == found[1][:1]])
        hint = f"did you mean: {path} {meant}" if meant else f"see: {path} --help"
        return UsageError(f"there is no command '{path} {found[1]}'", hint=hint)
    if hasattr(error, "possibilities"):  # the option is not there; it may also lack its value
        option = error.option_name
        return UsageError(f"{path} has no option {option}", hint=_option_hint(option, context))
    text = error.format_message().rstrip(".")
    for theirs, ours in _IN_PLAIN_WORDS:
        text = theirs.sub(ours, text)
    return UsageError(f"{path}: {text[:1].lower()}{text[1:]}", hint=f"see: {path} --help")


def _option_hint(option: str, context: Any) -> str:
    path, params = context.command_path, context.command.params
    options = [name[2:] for each in params for name in each.opts if name.startswith("--")]
    arguments = [each.name for each in params if each.param_type_name == "argument"]
    if option.lstrip("-") in arguments:
        return f"it stands by itself: {path} {option.lstrip('-').upper()}"
    meant = closest(option.lstrip("-"), options)
    return f"did you mean --{meant}?" if meant else f"see: {path} --help"
