"""Which variants are told to have been trained by other code, and that each fact is told once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ablate.analysis.comparison import Comparison, compare
from ablate.domain import Copy
from ablate.provenance import Code, ModuleDigest
from ablate.render.comparison.text import render
from tests.support.factories import make_data

KEY = "valid/loss/l1"


def code(helper: str = "a", *, version: str | None = None, commit: str | None = None) -> Code:
    digests = {"train": ("train.py", "t"), "helper": ("helper.py", helper)}
    modules = {name: ModuleDigest(path=p, text=d, logic=d) for name, (p, d) in digests.items()}
    return Code(modules=modules, version=version, commit=commit, packages={"python": "3.11"})


A, B = code("a"), code("b")


def compared(codes: Mapping[str, tuple[Code | tuple[Code, ...] | None, ...]]) -> Comparison:
    """Compare variants -> code of each seed: one, one for each attempt, or unknown."""
    data = make_data(
        {v: {s: {KEY: [2.0 + s, 1.0 + s]} for s in range(len(c))} for v, c in codes.items()},
        spec={"metrics": {KEY: "min"}},
    )
    known = {
        data.runs_of(name)[seed].id: found if isinstance(found, tuple) else (found,)
        for name, seeds in codes.items()
        for seed, found in enumerate(seeds)
        if found is not None
    }
    return compare(replace(data, codes=known))


def told(comparison: Comparison) -> list[str]:
    return [note for note in comparison.notes if "code" in note]


def marks(comparison: Comparison) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    rows = {row.variant: (row.other_code, row.mixed_code) for row in comparison.rows}
    return {name: found for name, found in rows.items() if any(found)}


def test_variant_by_other_code_is_marked_and_told():
    comparison = compared({"base": (A, A), "wide": (B, B), "deep": (A, A)})

    assert told(comparison) == ["wide: trained by other code than base (helper.py)"]
    assert marks(comparison) == {"wide": (("helper.py",), ())}
    assert "2 (other code)" in render(comparison)


def test_a_commit_and_equal_modules_are_no_other_code():
    comparison = compared({"base": (A, A), "wide": (code("a", commit="1"), code("a"))})

    assert (told(comparison), marks(comparison)) == ([], {})
    assert "code" not in render(comparison)


def test_of_one_variant_the_runs_alone_that_differ_are_named():
    comparison = compared({"base": (A, A, A), "wide": (A, A, B), "deep": (B, B, B)})

    assert told(comparison) == [
        "wide-s2 and deep: trained by other code than base (helper.py)",
    ]
    assert marks(comparison)["wide"] == (("helper.py",), ("helper.py",))


def test_seeds_added_after_an_edit_are_paired_alike_and_told_as_mixed():
    comparison = compared({"base": (A, A, B), "wide": (A, A, B)})

    assert told(comparison) == [
        "base and wide: seeds 0, 1 and seed 2 were trained by different code (helper.py)"
    ]
    assert marks(comparison) == dict.fromkeys(("base", "wide"), ((), ("helper.py",)))
    assert "3 (mixed code)" in render(comparison)


def test_run_that_resumed_under_other_code_is_told_once():
    comparison = compared({"base": (A, A), "wide": ((A, B), A)})

    assert told(comparison) == [
        "the code changed between the attempts of wide-s0 (helper.py)",
    ]
    assert marks(comparison) == {"wide": (("helper.py",), ("helper.py",))}


def test_declared_version_is_named():
    old, new = code("a", version="1"), code("b", version="2")

    assert told(compared({"base": (old,), "wide": (new,)})) == [
        "wide: trained by other code than base (VERSION 1 -> 2)"
    ]


def test_runs_of_unknown_code_say_nothing():
    assert told(compared({"base": (None, None), "wide": (B, B)})) == []
    assert told(compared({"base": (A, A), "wide": (None, None)})) == []


def test_without_the_baselines_run_of_a_seed_all_of_its_runs_are_the_reference():
    comparison = compared({"base": (A, None), "wide": (A, B)})

    assert told(comparison) == ["wide-s1: trained by other code than base (helper.py)"]


def test_copies_by_other_code_differ_in_more_than_seeds_and_that_is_told():
    data = make_data(
        {n: {s: {KEY: [2.0, 1.0 + s]} for s in range(2)} for n in ("base", "wide", "base~aa1")},
        spec={"metrics": {KEY: "min"}},
    )
    codes = {run.id: (B,) if run.variant == "base~aa1" else (A,) for run in data.runs}
    copied = replace(
        data,
        variants=data.variants[:2],
        runs=tuple(run for run in data.runs if run.variant != "base~aa1"),
        copies=(replace(data.variants[2], copy=Copy(of="base", seeds=(0, 1))),),
        copy_runs=data.runs_of("base~aa1"),
        codes=codes,
    )

    assert told(compare(copied)) == ["base~aa1: trained by other code than base (helper.py)"]
