"""What each variant is compared with, and who gets a seed more for it."""

from __future__ import annotations

from typing import Any

import pytest

from ablate.domain import Origin, Variant
from ablate.planning.references import more_seeds, references_of
from ablate.testing.factories import make_variant

PHASES = {"old": {}, "mid": {"from": "old"}, "new": {"from": "mid"}, "other": {}}


def variants(*names: str) -> list[Variant]:
    return [make_variant(name, is_phase="=" not in name) for name in names]


def found(names: tuple[str, ...], baseline: str = "old", **spec: Any) -> dict[str, tuple[str, ...]]:
    return references_of({"phases": PHASES} | spec, variants(*names), baseline)


ALL = ("old", "mid", "new", "other", "gan=true", "reg=0.1")


def test_a_phase_is_compared_with_what_it_is_made_from_and_else_with_the_baseline() -> None:
    assert found(ALL) == {
        "old": (),
        "mid": ("old",),
        "new": ("mid",),
        "other": ("old",),
        "gan=true": ("old",),
        "reg=0.1": ("old",),
    }


def test_a_level_is_compared_with_the_phase_on_which_it_is_set_whatever_is_declared() -> None:
    design = {"kind": "one_at_a_time", "from": "new"}

    assert found(ALL, design=design)["gan=true"] == ("new",)
    assert found(ALL, design=design, references=["other"])["gan=true"] == ("new",)


def test_declared_references_replace_those_of_phases() -> None:
    refs = found(ALL, references=["other", "old"])

    assert refs["new"] == refs["mid"] == ("other", "old")
    # The two are compared with each other once.
    assert (refs["other"], refs["old"]) == ((), ("other",))


def test_of_some_variants_the_nearest_ancestor_that_is_there_is_taken() -> None:
    assert found(("old", "new"))["new"] == ("old",)
    assert found(("other", "new"), baseline="other")["new"] == ("other",)
    assert found(("old", "new"), references=["other"])["new"] == ("old",)


def test_imports_and_specs_of_old_are_compared_with_the_baseline() -> None:
    names = variants("runA", "runB")

    assert references_of({}, names, "runA") == {"runA": (), "runB": ("runA",)}
    assert references_of({"phases": None, "design": None}, names, "runA")["runB"] == ("runA",)


REFERENCES = {"a": ("ref",), "b": ("ref",), "c": ("ref",), "ref": (), "d": ("c",)}


@pytest.mark.parametrize(
    ("seeds", "more"),
    [(1, {}), (2, {"ref": (2,)}), (4, {"ref": (4,)}), (5, {}), ([0, 1], {})],
)
def test_what_three_are_compared_with_gets_one_seed_more_where_noise_is_lent(
    seeds: int | list[int], more: dict[str, tuple[int, ...]]
) -> None:
    assert more_seeds(seeds, REFERENCES, variants(*REFERENCES)) == more


def test_what_a_reference_begins_from_gets_the_seed_too() -> None:
    names = variants(*REFERENCES)
    start = Origin(variant="d", identity=names[-1].identity, step=10)
    branched = [make_variant(v.name, start_at=start) if v.name == "ref" else v for v in names]

    assert more_seeds(2, REFERENCES, branched) == {"ref": (2,), "d": (2,)}
