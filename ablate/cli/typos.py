"""What was typed and is no command: said like every other error, with what was meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

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


class Group(TyperGroup):
    """Commands whose typos are said in our words, each with its whole command."""

    def make_context(self, *given: Any, **named: Any) -> Any:
        """Read what every command of the group shares."""
        path = " ".join(filter(None, (getattr(named.get("parent"), "command_path", ""), given[0])))
        return in_our_words(lambda: super(Group, self).make_context(*given, **named), lambda: path)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        return in_our_words(
            lambda: super(Group, self).invoke(ctx),
            lambda: f"{ctx.command_path} {ctx.invoked_subcommand}",
        )


def in_our_words(call: Callable[[], Result], path: Callable[[], str]) -> Result:
    """Return what a call gives.

    Args:
        call: Which reads what was typed.
        path: Of the command for which it reads then, where the parser does not tell.

    Raises:
        UsageError: In place of typer's own, which would draw a box.
    """
    try:
        return call()
    except _WrongUse as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # it brings the help
            raise
        raise (_said(error) if error.ctx else _of_the_parser(error, path())) from error


def _of_the_parser(error: Any, path: str) -> UsageError:
    hint = f"see: {path} --help"
    if type(error).__name__ == "BadOptionUsage" and error.message.endswith("an argument."):
        return UsageError(f"{path}: {error.option_name} wants a value", hint=hint)
    text = error.format_message().rstrip(".")
    return UsageError(f"{path}: {text[:1].lower()}{text[1:]}", hint=hint)


def _said(error: Any) -> UsageError:
    context = error.ctx
    path, command = context.command_path, context.command
    if found := _COMMAND.fullmatch(error.message):
        meant = closest(found[1], [name for name in command.commands if name[0] == found[1][:1]])
        known = f"{path} has: {', '.join(command.commands)}"
        hint = f"did you mean: {path} {meant}" if meant else known
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
