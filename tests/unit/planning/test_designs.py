"""Designs as parts: options, aliases, and what a study file is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from ablate.errors import StudyFileError
from ablate.planning.designs import DESIGNS
from ablate.planning.designs.base import Design, Factors, Layout, OptionError
from ablate.planning.notes import plan_notes
from ablate.planning.plan import make_plan
from ablate.planning.study_file.parsing import read_study
from ablate.planning.trainers.registry import UserTrainer

TRAINER = UserTrainer(train="mine:train")
HALF = """\
study: halves
trainer: mine:train
phases: {{base: {{baseline: true, set: {{steps: 10}}}}}}
factors:
  a: {{key: a, levels: [0, 1]}}
  b: {{key: b, levels: [0, 1]}}
design: {{{design}}}
metrics: {{valid/loss/l1: min}}
"""


class Half:
    """Half of a grid of two factors: their sum is even, or odd."""

    options: ClassVar[dict[str, str]] = {"fraction": "even or odd"}
    sets_several = True

    def size(self, factors: Factors, options: dict[str, Any]) -> int:
        return 2

    def lay_out(self, factors: Factors, options: dict[str, Any]) -> Layout:
        wanted = options.get("fraction", "even")
        if wanted == "none":
            return Layout(combinations=())
        if wanted not in ("even", "odd"):
            raise OptionError("fraction", f"is even or odd, not {wanted!r}")
        shift = wanted == "odd"
        (a, firsts), (b, seconds) = factors.items()
        pairs = [(0, 0 + shift), (1, 1 - shift)]
        return Layout(
            combinations=[{a: firsts[i], b: seconds[j]} for i, j in pairs], aliases={a: (b,)}
        )


HALVES = Half()


@pytest.fixture
def _with_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DESIGNS.own, "half", f"{__name__}:HALVES")  # type: ignore[arg-type]


def planned(folder: Path, design: str, study: str = HALF) -> Any:
    path = folder / "halves.yaml"
    path.write_text(study.format(design=design))
    spec, document = read_study(path)
    return spec, make_plan(spec, TRAINER, document)


@pytest.mark.parametrize("name", DESIGNS.names())
def test_designs_lay_out_what_they_say(name: str) -> None:
    design: Design = DESIGNS.load(name)
    factors = {"a": ["0", "1"], "b": ["x", "y", "z"]}

    layout = design.lay_out(factors, {})

    chosen = [tuple(sorted(c.items())) for c in layout.combinations]
    assert len(chosen) == len(set(chosen)) <= design.size(factors, {})
    assert all(label in factors[f] for c in layout.combinations for f, label in c.items())
    assert design.sets_several is any(len(c) > 1 for c in layout.combinations)
    assert list(design.lay_out({}, {}).combinations) == []


@pytest.mark.usefixtures("_with_half")
def test_a_design_of_another_package_is_planned_with_its_options(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, "kind: half, fraction: odd")

    assert [v.name for v in plan.variants] == ["base", "a=0,b=1", "a=1,b=0"]
    assert plan.spec["design"] == {"kind": "half", "fraction": "odd"}
    (note,) = [n for n in plan_notes(spec, plan, TRAINER, tmp_path) if "cannot tell" in n]
    assert note == "this design cannot tell a from b"


@pytest.mark.usefixtures("_with_half")
@pytest.mark.parametrize(
    ("design", "message", "hint"),
    [
        ("kind: half, fractoin: odd", "unknown key 'fractoin'", "did you mean 'fraction'?"),
        ("kind: half, fraction: third", "fraction is even or odd, not 'third'", None),
        ("kind: halv", "there is no design 'halv'", "did you mean 'half'?"),
    ],
)
def test_what_a_design_refuses_is_told_at_its_line(
    tmp_path: Path, design: str, message: str, hint: str | None
) -> None:
    with pytest.raises(StudyFileError) as caught:
        planned(tmp_path, design)

    assert caught.value.line == 7
    assert message in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.usefixtures("_with_half")
def test_an_option_is_refused_at_its_own_line(tmp_path: Path) -> None:
    block = HALF.replace("design: {{{design}}}", "design:\n  kind: half\n  fraction: third")

    with pytest.raises(StudyFileError) as caught:
        planned(tmp_path, "", block)

    assert (caught.value.line, caught.value.column) == (9, 3)


@pytest.mark.usefixtures("_with_half")
def test_a_design_that_makes_nothing_of_a_study_without_phases_is_refused(tmp_path: Path) -> None:
    text = HALF.replace("phases: {{base: {{baseline: true, set: {{steps: 10}}}}}}\n", "")

    with pytest.raises(StudyFileError, match="the design half makes nothing to compare") as caught:
        planned(tmp_path, "kind: half, fraction: none", text)

    assert caught.value.line == 6
