"""YAML from strangers: what is nested too deeply, expands too far or has a tag is no answer.

The limits are kept while the text is read, not after: a few lines of aliases stand for more than a
machine's memory, and each level of nesting costs frames of Python's stack.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

MAX_BYTES = 256 * 1024
"""Of a file: the reader needs some seconds for this much."""
MAX_NODES = 10_000
"""Keys, values and lists, those that aliases repeat counted again."""
MAX_DEPTH = 50
_MAX_DIGITS = 40
"""Of a whole number: 128 bits have no more."""
_WHOLE = re.compile(r"[-+]?[0-9_]+|0o[0-7_]+|0x[0-9a-fA-F_]+")
_PREFIX = "tag:yaml.org,2002:"
_TAGS = frozenset({"!", *(f"{_PREFIX}{kind}" for kind in ("str", "map", "seq"))})


CONSTRUCTION_FAULTS = (YAMLError, ValueError, TypeError, KeyError, AttributeError, AssertionError)
"""What ruamel's constructors raise for values that do not fit their tags."""


class LimitError(MarkedYAMLError):
    """The text passes a limit.

    Args:
        problem: What is wrong.
        mark: Where.
        hint: The way out.
    """

    def __init__(self, problem: str, mark: Any, hint: str) -> None:
        super().__init__(problem=problem, problem_mark=mark)
        self.hint = hint


def bounded_yaml(kind: Literal["rt", "safe"], *, takes_tags: bool = False) -> YAML:
    """Return a reader of YAML 1.2 that keeps the limits.

    Args:
        kind: ``rt`` keeps comments and places, ``safe`` gives plain values.
        takes_tags: Whether tags, as of Python objects, are left out of account; else they are
            refused.
    """
    yaml = YAML(typ=kind, pure=True)
    yaml.Composer = _Tolerant if takes_tags else _Strict
    return yaml


class _Strict(Composer):
    """Counts while it composes."""

    takes_tags = False

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False  # the later one counts, as YAML has it
        self._sizes: dict[int, int] = {}
        """Node -> how many nodes it stands for; none while it is being composed."""
        self._count = 0
        self._level = 0
        self._repeats = False

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.parser.peek_event()
        before, is_alias = self._count, self.parser.check_event(AliasEvent)
        if is_alias:
            self._repeats = True
        else:
            self._check_event(event)
        self._level += 1
        if self._level > MAX_DEPTH:
            raise LimitError(
                f"it is nested more than {MAX_DEPTH} levels deep", event.start_mark, "flatten it"
            )
        node: Any = super().compose_node(parent, index)
        self._level -= 1
        if is_alias and id(node) not in self._sizes:
            raise LimitError(
                f"the alias *{event.anchor} stands within what it repeats",
                event.start_mark,
                "write out what is meant",
            )
        self._count += self._sizes[id(node)] if is_alias else 1
        if self._count > MAX_NODES:
            raise LimitError(
                f"it has more than {MAX_NODES} keys and values"
                + (", with what its aliases repeat" if self._repeats else ""),
                event.start_mark,
                "make it smaller",
            )
        self._sizes.setdefault(id(node), self._count - before)
        if isinstance(node, MappingNode):
            _check_keys(node)
        return node

    def _check_event(self, event: Any) -> None:
        tag = str(event.ctag or "!")
        if tag not in _TAGS and not self.takes_tags:
            raise LimitError(
                f"the tag {tag.replace(_PREFIX, '!!')} is not read",
                event.start_mark,
                "remove it, and write the value itself, as 1.0 or '1.0'",
            )

    def compose_scalar_node(self, anchor: Any) -> ScalarNode:
        node: Any = super().compose_scalar_node(anchor)
        kind, text = str(node.tag).removeprefix(_PREFIX), node.value
        if kind == "int" and len(text) > _MAX_DIGITS and _WHOLE.fullmatch(text):
            raise LimitError(
                f"a whole number of {len(text)} characters is too long",
                node.start_mark,
                "a number has at most 128 bits; quote it to make it a text",
            )
        if kind == "timestamp" and not self.takes_tags:
            raise LimitError(
                f"a config value is a finite number or a text, not the date {text}",
                node.start_mark,
                f"quote it: '{text}'",
            )
        return node


class _Tolerant(_Strict):
    takes_tags = True


def _check_keys(node: MappingNode) -> None:
    for key, _ in node.value:
        if isinstance(key, MappingNode | SequenceNode):
            kind = "a mapping" if isinstance(key, MappingNode) else "a list"
            raise LimitError(
                f"a key is a text, not {kind}",
                key.start_mark,
                "quote a text with braces or brackets, as '{{ x }}'",
            )


def plain_yaml(text: str, *, takes_tags: bool = False) -> Any:
    """Return the content of a YAML text.

    Raises:
        ValueError: If it is no YAML or passes a limit; says the line where one is known.
    """
    try:
        return bounded_yaml("rt" if takes_tags else "safe", takes_tags=takes_tags).load(text)  # pyright: ignore[reportUnknownMemberType]
    except MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise ValueError(f"{where}{' '.join(str(error.problem).split())}") from error
    except CONSTRUCTION_FAULTS as error:
        raise ValueError(f"no YAML: {str(error).splitlines()[0]}") from error


def plain_json(text: str | bytes) -> Any:
    """Return the content of a JSON text.

    Raises:
        ValueError: If it is no JSON, is nested too deeply or has a number of thousands of digits.
    """
    deep = f"it is nested more than {MAX_DEPTH} levels deep"
    try:
        content: Any = json.loads(text)
    except RecursionError as error:
        raise ValueError(deep) from error
    brackets = ("[", "{") if isinstance(text, str) else (b"[", b"{")
    if sum(map(text.count, brackets)) > MAX_DEPTH and _depth(content) > MAX_DEPTH:  # pyright: ignore[reportArgumentType]
        raise ValueError(deep)
    return content


def _depth(content: Any) -> int:
    """Return how deeply lists and mappings are nested, without recursion."""
    depth, level = 0, [content]
    while level := [v for v in level if isinstance(v, dict | list)]:
        depth += 1
        level = [v for each in level for v in (each.values() if isinstance(each, dict) else each)]
    return depth
