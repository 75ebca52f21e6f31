"""Config keys that nothing in a user's trainer reads, found in its source.

A key counts as read when its last part stands in the code as text, as an attribute, as a parameter
or as a field: ``config["lr"]``, ``options.lr``, ``def build(lr)``. What is handed to somebody
else's function as ``**config["optim"]`` counts as read whole.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ablate.planning.trainers.source import Module

_HOLDERS = frozenset({"dict", "SimpleNamespace", "Namespace", "EasyDict", "Box", "DotMap", "Munch"})
"""Calls that keep what they are given for the caller to read: ``Namespace(**config)``."""
_BY_NAME = frozenset({"globals", "locals", "exec", "vars"})
"""Calls that turn keys into variables."""


@dataclass(frozen=True, slots=True)
class KeyReading:
    """What a trainer's code reads."""

    words: frozenset[str]
    """Last parts of keys that are read."""
    handed_on: frozenset[str]
    """Keys whose whole content goes to others; ``*`` for everything."""

    def reads(self, key: str) -> bool:
        """Whether anything may read a dotted key."""
        *above, leaf = key.split(".")
        if "*" in self.handed_on or not self.handed_on.isdisjoint(above):
            return True
        return leaf in self.words or leaf.replace("-", "_") in self.words


def reading_of(modules: Iterable[Module]) -> KeyReading:
    """Return what the modules of a trainer read of its config."""
    trees = [module.tree for module in modules]
    own = {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    words: set[str] = set()
    handed_on: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            words.update(_words(node))
            if isinstance(node, ast.Call):
                handed_on.update(_handed_on(node, own))
    return KeyReading(frozenset(words), frozenset(handed_on))


def _words(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield from text.split(".")
        case ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case _:
            pass


def _handed_on(call: ast.Call, own: set[str]) -> Iterator[str]:
    name = _name(call.func)
    if name in _BY_NAME:
        yield "*"
    if name in own or name in _HOLDERS:
        return
    for argument in call.args:
        if isinstance(argument, ast.Subscript):
            yield from _subscripts(argument)
    for keyword in call.keywords:
        if isinstance(keyword.value, ast.Subscript):
            yield from _subscripts(keyword.value)
        elif keyword.arg is None and not isinstance(keyword.value, ast.Dict):
            yield "*"


def _subscripts(node: ast.expr) -> Iterator[str]:
    """Yield the texts of ``config["a"]["b"]``, the innermost first."""
    while isinstance(node, ast.Subscript):
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            yield node.slice.value
        node = node.value


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
