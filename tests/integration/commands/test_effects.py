"""`ablate effects`: a textbook's 2^4 by import and by a grid, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from tests.support.projects import Project

RATES = (45, 71, 48, 65, 68, 60, 80, 65, 43, 100, 45, 104, 75, 86, 70, 96)
"""Montgomery, Design and Analysis of Experiments, Example 6.2: a 2^4 in standard order."""
BOOK = {
    "A": 21.625,
    "B": 3.125,
    "C": 9.875,
    "D": 14.625,
    "A:B": 0.125,
    "A:C": -18.125,
    "A:D": 16.625,
    "B:C": 2.375,
    "B:D": -0.375,
    "C:D": -1.125,
    "A:B:C": 1.875,
    "A:B:D": 4.125,
    "A:C:D": -1.625,
    "B:C:D": -2.625,
    "A:B:C:D": 1.375,
}
TRAINER = f"""
RATES = {RATES}


def train(config, run):
    place = sum(2**i for i, name in enumerate("ABCD") if config["plant"][name] == 1)
    run.log({{"valid/pilot/rate": RATES[place]}}, 1)
"""
STUDY = """
study: pilot
question: What makes the filtration rate high?
trainer: pilot:train
factors:
  A: {key: plant.A, levels: [-1, 1]}
  B: {key: plant.B, levels: [-1, 1]}
  C: {key: plant.C, levels: [-1, 1]}
  D: {key: plant.D, levels: [-1, 1]}
design: grid
metrics: {valid/pilot/rate: max}
"""
MAPS = [word for name in "ABCD" for word in ("--map", f"{name}=config")]


def table(rates: tuple[int, ...] = RATES) -> str:
    lines = ["A,B,C,D,rate"]
    for place, rate in enumerate(rates):
        lines.append(",".join([*("-+"[place >> i & 1] + "1" for i in range(4)), str(rate)]))
    return "\n".join(lines) + "\n"


def values_of(shown: str) -> dict[str, float]:
    (metric,) = json.loads(shown)["metrics"]
    return {effect["name"]: effect["effect"] for effect in metric["effects"]}


@pytest.fixture
def pilot(project: Project) -> Project:
    project.write("pilot.csv", table())
    project.ablate("import", "pilot.csv", "--study", "pilot", *MAPS)
    return project


def test_a_table_of_single_runs_has_the_effects_of_the_textbook(pilot: Project) -> None:
    shown = pilot.ablate("effects", "pilot", "--format", "json")

    assert values_of(shown) == pytest.approx(BOOK, abs=1e-9)
    margins = json.loads(shown)["metrics"][0]["noise"]
    assert margins["pse"] == pytest.approx(2.625)
    assert margins["margin"] == pytest.approx(6.748, abs=5e-4)
    assert margins["simultaneous_margin"] == pytest.approx(13.699, abs=5e-4)
    text = pilot.ablate("effects", "pilot")
    assert text.splitlines()[1] == (
        "- A does most to import/scalar/rate: it explains 33% of the variance; seen too: A:C 23%, "
        "A:D 19% and D 15%; perhaps: C; no effect seen: B"
    )
    assert "+21.625" in text
    assert "-18.125" in text


def test_a_grid_of_an_own_trainer_has_the_effects_of_the_textbook(project: Project) -> None:
    project.write("pilot.py", TRAINER)
    project.write("studies/pilot.yaml", STUDY)
    project.ablate("study", "create", "pilot")
    project.ablate("run", "pilot", "--executor", "inline")

    rows = list(csv.DictReader(io.StringIO(project.ablate("effects", "pilot", "--format", "csv"))))

    found = {row["effect"]: float(row["value"]) for row in rows}
    assert found == pytest.approx(BOOK, abs=1e-9)
    assert {row["noise"] for row in rows} == {"lenth"}


def test_a_study_file_names_the_factors_of_imported_runs(pilot: Project) -> None:
    pilot.write(
        "studies/pilot.yaml",
        "study: pilot\nfactors: {temperature: A, stirring: D}\nmetrics: {import/scalar/rate: max}",
    )
    pilot.ablate("study", "create", "pilot", "--update")

    found = values_of(pilot.ablate("effects", "pilot", "--format", "json"))

    assert found["temperature"] == pytest.approx(21.625)
    assert found["temperature:stirring"] == pytest.approx(16.625)
    assert set(found) == {"temperature", "stirring", "temperature:stirring"}


def test_a_study_file_says_the_levels_of_imported_phases(project: Project) -> None:
    names = ("old", "older", "new", "newer")
    for place, name in enumerate(names):
        rows = "\n".join(f"{step},{10 * (place > 1) + place % 2}" for step in range(1, 5))
        project.write(f"{name}.csv", f"step,rate\n{rows}\n")
    project.ablate(
        "import", *(f"{n}.csv" for n in ("old", "older", "new", "newer")), "--study", "x"
    )
    project.write(
        "studies/x.yaml",
        "study: x\nfactors: {data: {phases: {old: v1, older: v1, new: v2, newer: v2}}}\n"
        "metrics: {import/scalar/rate: max}",
    )
    project.ablate("study", "create", "x", "--update")

    shown: dict[str, Any] = json.loads(project.ablate("effects", "x", "--format", "json"))

    (effect,) = shown["metrics"][0]["effects"]
    assert effect["effect"] == pytest.approx(10.0)
    assert shown["factors"] == [{"name": "data", "levels": ["v1", "v2"], "keys": []}]


def test_rows_of_one_combination_are_repeats(project: Project) -> None:
    project.write("t.csv", "lr,loss\n0.1,5\n0.1,5.5\n0.2,7\n0.2,8\n0.2,9\n")
    project.ablate("import", "t.csv", "--study", "t", "--map", "lr=config")

    shown = json.loads(project.ablate("effects", "t", "--format", "json"))

    assert shown["metrics"][0]["runs"] == 5
    assert shown["metrics"][0]["effects"][0]["name"] == "lr"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nowhere",), 3, "there is no study 'nowhere'"),
        (("pilot", "--metric", "import/scalar/rat"), 3, "did you mean 'import/scalar/rate'?"),
        (("pilot", "--at", "7"), 3, "use --at 1, or no --at"),
        (("pilot", "--format", "xml"), 2, "known: table, md, csv, json, ndjson, html, latex"),
    ],
)
def test_bad_input_names_the_way_out(
    pilot: Project, arguments: tuple[str, ...], code: int, told: str
) -> None:
    assert told in pilot.ablate("effects", *arguments, code=code)


def test_a_study_without_factors_says_how_to_declare_them(project: Project) -> None:
    project.write("a.csv", "step,rate\n1,2\n")
    project.ablate("import", "a.csv", "--study", "one")

    assert "declare 'factors:'" in project.ablate("effects", "one", code=2)
