"""What a user's trainer declares in its module: keys of its config, defaults, version. Read from
the source; nothing is imported.

The keys come from the first of these that there is:

- the annotation of ``config`` in ``train(config: Options, run)``, a dataclass or a pydantic model;
- ``DEFAULTS = {...}`` at the top level of the module.

A default that is no literal is left to the trainer: its key is known, its value is not filled in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ablate.domain import Json
from ablate.errors import TrainerError, did_you_mean
from ablate.planning.trainers.source import Definition, Module, Sources
from ablate.protocol import ConfigError
from ablate.provenance import ABSENT_MEANS, NOT_IDENTITY

_COLLECTIONS = {"list": [], "dict": {}, "tuple": [], "set": []}
_NUMBER = "a number"


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Stands for a default that only running the module would tell."""


UNKNOWN = _Unknown()


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key of a trainer's config."""

    default: Any = UNKNOWN
    """As JSON; `UNKNOWN` when the source does not tell it."""
    is_required: bool = False
    kind: str | None = None
    """``a number``, ``a whole number``, ``text``, ``true or false``, ``a list``; None for any."""
    choices: tuple[Json, ...] = ()
    is_optional: bool = True
    """Whether ``null`` is a value of it."""

    @property
    def is_open(self) -> bool:
        """Whether the trainer takes any keys below this one."""
        return self.default == {} or (self.kind is None and self.default in (None, UNKNOWN))


@dataclass(frozen=True, slots=True)
class ConfigSchema:
    """The keys that a trainer's config may have, dotted."""

    keys: Mapping[str, Key]
    source: str
    """How messages call it: ``DEFAULTS`` or the name of a class."""

    def filled(self, values: Mapping[str, Json]) -> dict[str, Json]:
        """Return dotted values with the defaults that are known.

        Raises:
            ConfigError: For an unknown key, a value of another kind, or a required one left out.
        """
        for key, value in values.items():
            self._check(key, value)
        for key, known in self.keys.items():
            if known.is_required and not _touches(key, values):
                raise ConfigError(key, f"is not set, and {self.source} has no default for it")
        return {
            key: known.default
            for key, known in self.keys.items()
            if known.default is not UNKNOWN and not _touches(key, values)
        } | dict(values)

    def _check(self, key: str, value: Json) -> None:
        known = self.keys.get(key)
        if known is None:
            if any(k.is_open and key.startswith(f"{name}.") for name, k in self.keys.items()):
                return
            inner = [name for name in self.keys if name.startswith(f"{key}.")]
            if inner:
                if value in ({}, None):
                    return
                raise ConfigError(key, "is a group, not a value", hint=f"set {inner[0]}")
            hint = did_you_mean(key, self.keys)
            raise ConfigError(key, f"is no key of {self.source}", hint=hint)
        if known.choices and value not in known.choices:
            choices = ", ".join(map(repr, known.choices))
            raise ConfigError(key, f"is one of {choices}, not {value!r}")
        if known.kind and not _fits(value, known):
            raise ConfigError(key, f"should be {known.kind}, not {value!r}")


def _touches(key: str, values: Mapping[str, Json]) -> bool:
    """Whether a value is set at a key, above or below it."""
    return key in values or any(
        other.startswith(f"{key}.") or key.startswith(f"{other}.") for other in values
    )


def _fits(value: Json, key: Key) -> bool:
    if value is None:
        return key.is_optional
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match key.kind:
        case "a number":
            return is_number
        case "a whole number":
            return is_number and float(value).is_integer()
        case "text":
            return isinstance(value, str)
        case "true or false":
            return isinstance(value, bool)
        case _:
            return isinstance(value, list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Declarations:
    """What a module says of itself; see the module's docstring for the keys."""

    schema: ConfigSchema | None = None
    version: str | None = None
    """``VERSION = "2"``: what counts as another trainer, in place of the digests of its code."""
    not_identity: frozenset[str] = frozenset()
    """``NOT_IDENTITY = ["log_every"]``: keys that cannot change a result."""
    absent_means: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """``ABSENT_MEANS = {"dropout": 0}``: what it meant that a key was not there yet."""


def read_declarations(sources: Sources, module: Module, function: str) -> Declarations:
    """Check that the function is there and takes two arguments; return what its module declares.

    Raises:
        TrainerError: If there is no such function, or it cannot be called with config and run.
    """
    found = sources.definition(module, function)
    if found is None and function not in module.names:
        defined = [n for n, d in module.names.items() if isinstance(d, ast.FunctionDef)]
        raise TrainerError(
            f"there is no function '{function}' in {module.path.name}",
            hint=did_you_mean(function, defined),
        )
    if found and isinstance(found[1], ast.FunctionDef | ast.AsyncFunctionDef):
        _check_call(found[0], found[1])
    elif found and isinstance(found[1], ast.ClassDef):
        raise TrainerError(f"'{function}' in {module.path.name} is a class, not a function")
    version = _literal(module.names.get("VERSION"))
    return Declarations(
        schema=_schema(sources, module, found),
        version=None if version in (None, UNKNOWN) else str(version),
        not_identity=frozenset(map(str, _collection(module, NOT_IDENTITY, list))),
        absent_means=dict(_collection(module, ABSENT_MEANS, dict)),
    )


def _yields(node: ast.AST) -> bool:
    """Whether a function is a generator; what functions inside of it do does not count."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    return any(
        isinstance(child, ast.Yield | ast.YieldFrom)
        or (not isinstance(child, inner) and _yields(child))
        for child in ast.iter_child_nodes(node)
    )


def _check_call(module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    place = f"{module.path.name}:{function.lineno}"
    arguments = function.args
    if isinstance(function, ast.AsyncFunctionDef):
        raise TrainerError(f"{place}: '{function.name}' is async; a trainer is a plain function")
    if not function.decorator_list and _yields(function):
        # Called it does nothing: what a decorator makes of it is seen when it is called.
        raise TrainerError(f"{place}: '{function.name}' yields; a trainer is a plain function")
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    forced = [
        a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not d
    ]
    if needed > 2 or (len(positional) < 2 and not arguments.vararg) or forced:
        names = ", ".join([a.arg for a in positional] + forced)
        raise TrainerError(
            f"{place}: '{function.name}({names})' cannot be called with config and run",
            hint=f"define it as: def {function.name}(config, run)",
        )


def _collection(module: Module, name: str, kind: type[Any]) -> Any:
    """Return a declared list or mapping of literals, an empty one where it is not declared."""
    node = module.names.get(name)
    value = kind() if node is None else _literal(node)
    accepted = (list, tuple, set, frozenset) if kind is list else (kind,)
    if not isinstance(value, accepted):
        raise TrainerError(f"{name} in {module.path.name} is no literal {kind.__name__}")
    return value


def _schema(
    sources: Sources, module: Module, found: tuple[Module, Definition] | None
) -> ConfigSchema | None:
    if found and isinstance(found[1], ast.FunctionDef):
        arguments = [*found[1].args.posonlyargs, *found[1].args.args]
        annotation = arguments[0].annotation if arguments else None
        if (model := _class_of(sources, found[0], annotation)) is not None:
            return ConfigSchema(dict(_fields(sources, *model, "")), model[1].name)
    node = module.names.get("DEFAULTS")
    defaults = _tree(node) if isinstance(node, ast.expr) else None
    if not isinstance(defaults, dict):
        return None
    return ConfigSchema(dict(_leaves(defaults, "")), f"DEFAULTS in {module.path.name}")


def _leaves(defaults: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Key]]:
    for name, value in defaults.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", Key(default=value, kind=_kind_of(value))


def _kind_of(value: Any) -> str | None:
    """Return what a default says of other values; a whole number may become a fraction."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return _NUMBER
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return None


def _class_of(
    sources: Sources, module: Module, annotation: ast.expr | None
) -> tuple[Module, ast.ClassDef] | None:
    """Return the dataclass or pydantic model that an annotation names, wherever it is defined."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    if isinstance(annotation, ast.Attribute) and isinstance(annotation.value, ast.Name):
        base = module.names.get(annotation.value.id)
        other = sources.module(base) if isinstance(base, str) and _is_own(sources, base) else None
        found = sources.definition(other, annotation.attr) if other else None
    elif isinstance(annotation, ast.Name):
        found = sources.definition(module, annotation.id)
    else:
        return None
    if found and isinstance(found[1], ast.ClassDef) and _is_model(sources, found[0], found[1]):
        return found[0], found[1]
    return None


def _is_own(sources: Sources, name: str) -> bool:
    return any(module.name == name for module in sources.reached_from(name))


def _is_model(sources: Sources, module: Module, node: ast.ClassDef) -> bool:
    decorators = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    if any(_last_name(d) == "dataclass" for d in decorators):
        return True
    if any(_last_name(base) in ("BaseModel", "BaseSettings") for base in node.bases):
        return True
    parents = [sources.definition(module, name) for b in node.bases if (name := _last_name(b))]
    return any(p and isinstance(p[1], ast.ClassDef) and _is_model(sources, *p) for p in parents)  # pyright: ignore[reportArgumentType]


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _fields(
    sources: Sources, module: Module, model: ast.ClassDef, prefix: str
) -> Iterator[tuple[str, Key]]:
    """Yield the keys of a model, those that it inherits first."""
    for base in model.bases:
        found = _class_of(sources, module, base)
        if found:
            yield from _fields(sources, *found, prefix)
    for node in model.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)) if not _is_class_variable(node):
                key = f"{prefix}{name}"
                if (inner := _class_of(sources, module, node.annotation)) is not None:
                    yield from _fields(sources, *inner, f"{key}.")
                else:
                    yield key, _typed(node.annotation, node.value)
            case _:
                pass


def _is_class_variable(node: ast.AnnAssign) -> bool:
    annotation = node.annotation
    outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return _last_name(outer) == "ClassVar"


def _typed(annotation: ast.expr, value: ast.expr | None) -> Key:
    key = replace(_annotated(annotation), is_required=value is None)
    if value is None:
        return key
    default = _default(value)
    return replace(key, is_required=default is ..., default=UNKNOWN if default is ... else default)


def _annotated(annotation: ast.expr) -> Key:
    """Return what a type says of the values: plain types, Optional and Literal; else nothing."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return replace(_annotated(left), is_optional=True)
        case ast.Subscript(value=outer, slice=inner):
            return _subscripted(_last_name(outer), inner)
        case _:
            kinds = {"bool": "true or false", "int": "a whole number", "float": _NUMBER}
            kinds |= {"str": "text", "list": "a list", "tuple": "a list"}
            kind = kinds.get(_last_name(annotation))
            return Key(kind=kind, is_optional=kind is None)


def _subscripted(outer: str, inner: ast.expr) -> Key:
    match outer:
        case "Optional":
            return replace(_annotated(inner), is_optional=True)
        case "Annotated" if isinstance(inner, ast.Tuple):
            return _annotated(inner.elts[0])
        case "Literal":
            options = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            values = tuple(_literal(option) for option in options)
            return Key(choices=() if UNKNOWN in values else values, is_optional=None in values)
        case "list" | "List" | "tuple" | "Tuple" | "Sequence":
            return Key(kind="a list", is_optional=False)
        case _:
            return Key()


def _default(value: ast.expr) -> Any:
    """Return the default of a field; ``...`` when it has to be set."""
    if not (isinstance(value, ast.Call) and _last_name(value.func) in ("field", "Field")):
        return _tree(value)
    named = {k.arg: k.value for k in value.keywords}
    if (factory := named.get("default_factory")) is not None:
        if isinstance(factory, ast.Lambda):
            return _tree(factory.body)
        return _COLLECTIONS.get(_last_name(factory), UNKNOWN)
    node = named.get("default", value.args[0] if value.args else None)
    return ... if node is None else _tree(node)


def _tree(node: ast.expr) -> Any:
    """Return a literal as JSON; in mappings what is no literal becomes `UNKNOWN`."""
    match node:
        case ast.Dict(keys=keys, values=values):
            names = [_literal(key) if key else UNKNOWN for key in keys]
            if not all(isinstance(name, str) for name in names):
                return UNKNOWN
            return {n: _tree(v) for n, v in zip(names, values, strict=True)}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=pairs):
            known = {k.arg: _tree(k.value) for k in pairs if k.arg}
            return known if len(known) == len(pairs) else UNKNOWN
        case _:
            return _literal(node)


def _literal(node: Definition | str | None) -> Any:
    """Return the value of a literal, tuples and sets as lists; else `UNKNOWN`, None for nothing."""
    if not isinstance(node, ast.expr):
        return None if node is None else UNKNOWN
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError):
        return UNKNOWN
    return list(value) if isinstance(value, tuple | set | frozenset) else value
