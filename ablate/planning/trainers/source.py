"""A user's modules as text: found and read without importing them.

Importing a trainer may take seconds, start threads or touch a GPU, and what a module does when it
is imported is the worker's business. So what planning wants to know of it is read from its source.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ablate.errors import NotFoundError, TrainerError, did_you_mean
from ablate.provenance import is_own, without_declarations

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr


@dataclass(frozen=True)
class Module:
    """The source of one module."""

    name: str
    path: Path
    tree: ast.Module

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """Absolute names of what it imports, wherever the statement stands.

        ``from a import b`` gives ``a`` and ``a.b``, which may be a module or a name in it.
        """
        found: dict[str, None] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= dict.fromkeys(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self.absolute(node)
                found |= dict.fromkeys([base, *(f"{base}.{a.name}" for a in node.names)])
        return tuple(name for name in found if name)

    def absolute(self, node: ast.ImportFrom) -> str:
        """Return the module that a ``from`` statement names."""
        if node.level == 0:
            return node.module or ""
        parts = self.name.split(".")
        is_package = self.path.name == "__init__.py"
        kept = parts[: len(parts) - node.level + is_package]
        return ".".join([*kept, *([node.module] if node.module else [])])

    @cached_property
    def names(self) -> dict[str, Definition | str]:
        """What the module's top level defines: name -> definition, or what it is imported from."""
        found: dict[str, Definition | str] = {}
        for node in _top_level(self.tree.body):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    found[node.name] = node
                case ast.Assign(targets=[ast.Name(id=name)]):
                    found[name] = node.value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    found[name] = value
                case ast.ImportFrom():
                    base = self.absolute(node)
                    for alias in node.names:
                        found[alias.asname or alias.name] = f"{base}.{alias.name}"
                case ast.Import():
                    for alias in node.names:
                        found[alias.asname or alias.name.partition(".")[0]] = alias.name
                case _:
                    pass
        return found


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, those in ``if`` and ``try`` too."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.With):
                yield from _top_level(getattr(node, part, []))
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from _top_level(handler.body)


class Sources:
    """A user's modules, each read once.

    Args:
        project: Modules are looked for here first.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> Module:
        """Return a module of the user's.

        Raises:
            NotFoundError: If there is none of that name.
            TrainerError: If it is no Python, with file and line; if Python takes another for it.
        """
        self._refuse_hidden(name.partition(".")[0])
        found = self._read(name)
        if found is None:
            beside = [path.stem for path in self._project.glob("*.py")]
            hint = f"it is looked for in {self._project} first"
            close = did_you_mean(name, beside) if beside else None
            near = close if close and "did you mean" in close else hint
            raise NotFoundError(f"there is no module '{name}'", hint=near)
        return found

    def _refuse_hidden(self, top: str) -> None:
        """Refuse a module of the project in whose place Python imports another of that name."""
        own = _within(self._project, top)
        if own is None:
            return
        if top == "ablate" or (top in sys.stdlib_module_names and top in sys.modules):
            whose = "this tool" if top == "ablate" else "a module of Python"
            hint = f"rename {'the folder ' + top if own.name == '__init__.py' else own.name}"
            raise TrainerError(
                f"'{top}' is the name of {whose}, which goes before yours", hint=hint
            )
        if not own.is_file() and _installed(top):
            raise TrainerError(
                f"'{top}' is the name of an installed package, which goes before your folder",
                hint=f"add {top}/__init__.py",
            )

    def reached_from(self, name: str) -> tuple[Module, ...]:
        """Return a module and every module of the user's that it imports, directly or not."""
        found: dict[str, Module] = {}
        waiting = [name]
        while waiting:
            current = waiting.pop()
            module = None if current in found else self._read(current)
            if module is not None:
                found[current] = module
                waiting += [*module.imports, *_packages(current)]
        return tuple(found.values())

    def libraries(self, name: str) -> tuple[str, ...]:
        """Return what a module and those that it imports take from others: ``torch``, ``torch.nn``.

        The standard library is left out. Some of the names may be no modules but names in one.
        """
        found: dict[str, None] = {}
        for module in self.reached_from(name):
            found |= dict.fromkeys(
                library
                for library in module.imports
                if library.partition(".")[0] not in {*sys.stdlib_module_names, "ablate"}
                and self._read(library) is None
                and self._read(library.rpartition(".")[0] or library) is None
            )
        return tuple(found)

    def digest(self, name: str) -> str:
        """Return 16 hex digits for the code of a module and of all of the user's that it imports.

        Comments, line breaks and the folder in which the project lies do not count.
        """
        modules = sorted(self.reached_from(name), key=lambda module: module.name)
        text = "".join(
            f"{module.name}\0{ast.unparse(without_declarations(module.tree))}\0"
            for module in modules
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def definition(self, module: Module, name: str) -> tuple[Module, Definition] | None:
        """Return where a name of a module is defined, through its imports; None if nowhere."""
        seen: set[str] = set()
        while (found := module.names.get(name)) is not None:
            if not isinstance(found, str):
                return module, found
            base, _, name = found.rpartition(".")
            other = self._read(base) if base and found not in seen else None
            if other is None:
                return None
            seen.add(found)
            module = other
        return None

    def _read(self, name: str) -> Module | None:
        if name not in self._modules:
            self._modules[name] = None  # while it is being read
            path = find_source(name, self._project)
            if path is not None and is_own(path) and name.partition(".")[0] != "ablate":
                self._modules[name] = _parse(name, path)
        return self._modules[name]


def _packages(name: str) -> list[str]:
    """Return the packages in which a module lies: importing it imports them."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _parse(name: str, path: Path) -> Module:
    try:
        return Module(name, path, ast.parse(path.read_bytes(), str(path)))
    except SyntaxError as error:
        raise TrainerError(
            f"{path.name}:{error.lineno}: {error.msg}", hint="mend the module"
        ) from (error)
    except (OSError, ValueError) as error:
        raise TrainerError(f"{path} cannot be read: {error}") from error


def find_source(name: str, project: Path) -> Path | None:
    """Return the file of a module without importing it or its packages, None if there is none."""
    top, *rest = name.split(".")
    place = _within(project, top)
    if place is None or not place.is_file():  # a package goes before a folder that is none
        place = _installed(top) or place
    for part in rest:
        if place is None or place.name != "__init__.py":
            return None
        place = _within(place.parent, part)
    return place if place is not None and place.suffix == ".py" and place.is_file() else None


def _within(folder: Path, name: str) -> Path | None:
    if not name.isidentifier():
        return None
    package = folder / name / "__init__.py"
    if package.is_file():
        return package
    module = folder / f"{name}.py"
    if module.is_file():
        return module
    # A folder without __init__.py is a package too; it need not exist as a file.
    return package if (folder / name).is_dir() else None


def _installed(top: str) -> Path | None:
    """Return the file of a top-level module elsewhere on the path: nothing is imported for it."""
    try:
        spec = importlib.util.find_spec(top) if top.isidentifier() else None
    except (ImportError, ValueError):
        return None
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None
