"""Which edits of a module count as other code."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.provenance import Code, ModuleDigest, changes, code_now, digest_of, gone

SOURCE = """
import math

KINDS = {"a", "b", "c"}


def f(x):
    if x in {1, 2, 3}:
        return math.sqrt(x)
    return x * 2
"""


def code_of(path: Path, text: str, **fields: object) -> Code:
    path.write_text(text)
    digest = digest_of(path, path.parent)
    assert digest is not None
    packages = {"python": "3.11"}
    return Code(modules={"m": digest}, **{"packages": packages, **fields})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("x * 2", "x * 2  # twice", False),
        ("\n\ndef f", "\n\n# why\n\n\n\ndef f", False),
        ("x * 2", "(\n        x\n        * 2\n    )", False),
        ("x * 2", "x * 3", True),
        ("x * 2", "x * 2.0", True),
        ("x * 2", "x + 2", True),
        ("{1, 2, 3}", "{1, 2, 4}", True),
        ("math.sqrt", "math.exp", True),
        ("def f(x)", "def f(x, y=1)", True),
        ('"c"', '"d"', True),
        ("def f", "ABSENT_MEANS = {'y': 0}\nNOT_IDENTITY: list = ['z']\n\ndef f", False),
        ("def f", "DEFAULTS = {'y': 0}\n\ndef f", True),
    ],
)
def test_logic_changes_and_comments_do_not(
    tmp_path: Path, old: str, new: str, counts: bool
) -> None:
    before = code_of(tmp_path / "m.py", SOURCE)
    after = code_of(tmp_path / "m.py", SOURCE.replace(old, new))

    assert before.modules["m"].text != after.modules["m"].text
    assert changes(before, after) == (("m.py",) if counts else ())
    assert changes(after, before) == changes(before, after)


def test_under_another_python_only_the_text_tells(tmp_path: Path) -> None:
    before = code_of(tmp_path / "m.py", SOURCE)
    same = code_of(tmp_path / "m.py", SOURCE, packages={"python": "3.13"})
    comment = code_of(tmp_path / "m.py", SOURCE + "# x\n", packages={"python": "3.13"})

    assert changes(before, same) == ()
    assert changes(before, comment) == ("m.py",)


def test_a_declared_version_stands_for_the_digests(tmp_path: Path) -> None:
    before = code_of(tmp_path / "m.py", SOURCE, version="1")
    edited = code_of(tmp_path / "m.py", "x = 1\n", version="1")
    newer = code_of(tmp_path / "m.py", "x = 1\n", version="2")

    assert changes(before, edited) == ()
    assert changes(before, newer) == ("VERSION 1 -> 2",)
    assert changes(code_of(tmp_path / "m.py", SOURCE), newer) == ("VERSION none -> 2",)


def test_modules_that_one_alone_has_loaded_are_no_difference(tmp_path: Path) -> None:
    before = code_of(tmp_path / "m.py", SOURCE)
    lazy = ModuleDigest(path="lazy.py", text="1", logic="1")
    after = Code(modules={**before.modules, "lazy": lazy}, packages=before.packages)

    assert changes(before, after) == ()
    assert gone(after, code_now(after, tmp_path, None)) == ("lazy.py",)
    assert Code.from_json(after.to_json()) == after
