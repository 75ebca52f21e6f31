"""Which code trained: digests of the user's modules, commit and versions, and how two differ.

A module has two digests: of its text, and of its logic, which comments and line breaks do not
change. The logic is that of the compiled module, so it is compared only within one version of
Python.
"""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType
from typing import Any

ABSENT_MEANS = "ABSENT_MEANS"
NOT_IDENTITY = "NOT_IDENTITY"
"""What a trainer's module declares of its keys; see `ablate.planning.trainers.declared`."""

_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
"""Folders of installed packages; what lies in them is not the user's own code."""
_STANDARD = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib"))
_DIGITS = 32
"""Hex digits of a digest: enough to tell texts apart that nobody forges."""
_GIT_TIMEOUT_S = 5.0
_PACKAGES = ("torch", "numpy", "ablate-studies")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleDigest:
    """One module of the user's."""

    path: str
    """Relative to the project where it lies in it."""
    text: str
    logic: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """What an attempt was trained by."""

    modules: Mapping[str, ModuleDigest] = field(default_factory=dict[str, ModuleDigest])
    """Name -> digests, of what was loaded. Empty for a trainer that an installed package offers."""
    version: str | None = None
    """What the module declares; it then stands for the digests."""
    commit: str | None = None
    """Of the project's Git repository, None where there is none."""
    is_dirty: bool = False
    """Whether files differed from that commit."""
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    """``python`` and packages -> their versions."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Code:
        """Return what `to_json` was called on."""
        modules = {name: ModuleDigest(**digest) for name, digest in fields["modules"].items()}
        return replace(cls(**fields), modules=modules)


def committed_code(project: Path) -> Code:
    """Return the commit of the project, and whether its files differ from it."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(project), *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - no shell, nothing of the user's in it but a path
                command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return Code(packages=_packages())
    changed = git("status", "--porcelain", "--untracked-files=no")
    return Code(commit=commit, is_dirty=bool(changed), packages=_packages())


_preloaded: set[str] = set()
"""Modules that were there before this process had anything of the user's."""


def mark_preloaded() -> None:
    """Say that no module which is loaded now is the user's own: they need not be looked at.

    Looking costs more than it seems: each module that a forked process touches is copied for it.
    """
    _preloaded.update(sys.modules)


def new_modules(seen: set[str]) -> set[str]:
    """Return the names of modules that may be the user's own and are not in ``seen``."""
    return sys.modules.keys() - _preloaded - seen


def loaded_code(project: Path, known: Code, names: Collection[str], version: str | None) -> Code:
    """Return code with those of some loaded modules that are the user's own.

    Args:
        project: Paths are relative to it.
        known: What was loaded before.
        names: Of modules; see `new_modules`.
        version: What the trainer's module declares.
    """
    modules = dict(known.modules)
    for name in sorted(names):
        file = getattr(sys.modules.get(name), "__file__", None)
        is_ours = name.partition(".")[0] in ("ablate", "__main__", "__mp_main__")
        if is_ours or not file or not file.endswith(".py"):
            continue
        if _is_own(file) and (digest := digest_of(Path(file), project)):
            modules[name] = digest
    packages = known.packages or _packages()
    return replace(known, modules=modules, version=version, packages=packages)


def code_now(trained: Code, project: Path, version: str | None) -> Code:
    """Return the modules of earlier code as they are on the disk; one that is gone is left out."""
    found = {
        name: digest
        for name, old in trained.modules.items()
        if (digest := digest_of(project / old.path, project))
    }
    return Code(modules=found, version=version, packages=_packages())


def changes(old: Code, new: Code) -> tuple[str, ...]:
    """Return what differs between two codes in a way that may change results, in words.

    Modules that only one of the two has loaded are no difference of the code. A declared version
    stands for the modules. Other versions of libraries are not looked at.
    """
    if old.version is not None or new.version is not None:
        same = old.version == new.version
        return () if same else (f"VERSION {old.version or 'none'} -> {new.version or 'none'}",)
    is_one_python = old.packages.get("python") == new.packages.get("python")
    found: list[str] = []
    for name, before in old.modules.items():
        after = new.modules.get(name)
        if after is None or before.text == after.text:
            continue
        if not is_one_python or before.logic != after.logic:
            found.append(after.path)
    return tuple(sorted(found))


def gone(old: Code, new: Code) -> tuple[str, ...]:
    """Return the files of earlier code that are not there any more."""
    return tuple(sorted(m.path for name, m in old.modules.items() if name not in new.modules))


def digest_of(path: Path, project: Path) -> ModuleDigest | None:
    """Return the digests of a file, None if it cannot be read."""
    try:
        source = path.read_bytes()
    except OSError:
        return None
    shown = path.relative_to(project) if path.is_relative_to(project) else path
    return ModuleDigest(path=shown.as_posix(), text=_digest(source), logic=_logic(source))


def without_declarations(module: ast.Module) -> ast.Module:
    """Return a module without what it declares for planning, which trains nothing."""
    kept = [statement for statement in module.body if not _is_declaration(statement)]
    return ast.Module(kept, module.type_ignores)


def _is_declaration(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name in (ABSENT_MEANS, NOT_IDENTITY)
        case _:
            return False


def _logic(source: bytes) -> str:
    try:
        module = without_declarations(ast.parse(source))
        return _digest(repr(_skeleton(compile(module, "module", "exec"))).encode())
    except (SyntaxError, ValueError):
        return _digest(source)


def _skeleton(code: CodeType) -> tuple[Any, ...]:
    """Return what of a compiled module is not its place in the file."""
    return (
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_flags,
        code.co_exceptiontable,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_name),
        [_constant(constant) for constant in code.co_consts],
    )


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _skeleton(value)
    if isinstance(value, frozenset):
        return sorted(map(repr, value))  # its order differs from process to process
    if isinstance(value, tuple):
        return tuple(map(_constant, value))
    return (type(value).__name__, value)  # 1, 1.0 and True are equal


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def _packages() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def is_own(path: Path) -> bool:
    """Whether a file is code of the user's, not of Python or of an installed package."""
    return _is_own(str(path))


def _is_own(file: str) -> bool:
    # Plain text: a process that has loaded torch has thousands of modules to ask for.
    return not file.startswith(_STANDARD) and not any(part in file for part in _INSTALLED)
