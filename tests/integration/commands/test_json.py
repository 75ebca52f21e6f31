"""Every command that speaks JSON speaks RFC 8259, whatever the numbers and names are."""

from __future__ import annotations

import json
import math
from contextlib import closing
from typing import Any, NoReturn

import pytest

from ablate.domain import AttemptState
from ablate.spool.batch import Ending, StepValues
from ablate.store import open_store
from ablate.testing.factories import feed, make_event, must_claim
from tests.support.projects import Project, make_project

ODD = "train/odd/🎛️<script>\x1b[31m"
STUDY = """
study: "odd🎛️"
question: "Is it <b>strict</b>? \\u202e"
trainer: toytrain:train
base: {steps: 100, lr: 1.0}
phases:
  calm: {baseline: true}
  nan: {from: calm, set: {lr: 2.0}}
  inf: {from: calm, set: {lr: 3.0}}
metrics: {train/loss/a: {goal: min, rule: min}, train/loss/b: max, train/loss/c: min}
targets: {train/loss/a: "<= 1.0", train/loss/c: "drift < 10%"}
"""
VALUES = {
    "calm": (0.5, 0.5, 0.5),
    "nan": (math.nan, math.nan, math.nan),
    "inf": (-math.inf, math.inf, -math.inf),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose runs logged NaN, infinities and odd names."""
    project = make_project(tmp_path_factory.mktemp("odd"))
    project.write("studies/toy.yaml", STUDY)
    project.write(".ablate/runs/0123456789abcdef/stray", "")
    project.write("odd.csv", "step,loss\n0,nan\n1,0.5\n")
    project.write("odd.ckpt", '{"odd 🎛️": [NaN, -Infinity], "x": NaN, "none": null}')
    project.ablate("study", "create", "odd🎛️", "-f", "studies/toy.yaml")
    with closing(open_store(f"{project.folder}/.ablate/ablate.db")) as store:
        for _ in VALUES:
            claim = must_claim(store)
            keys = ("train/loss/a", "train/loss/b", "train/loss/c", ODD)
            values = (*VALUES[claim.run.variant], math.nan)
            logs = tuple(StepValues(step, 1e9 + step, keys, values) for step in range(101))
            event = make_event("odd 🎛️", 5, value=math.nan, text="\u202e</script>")
            feed(store, claim, start=None, logs=logs, events=(event,))
            ending = Ending(state=AttemptState.SUCCEEDED, reason="why 🎛️ \x1b[31m")
            store.finish(claim, ending)
            kept = f".ablate/runs/{claim.run.id}/attempt-1/artifacts/odd 🎛️.wav"
            project.write(kept, "")
    return project


def strict(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


COMMANDS: dict[str, list[str]] = {
    "compare": ["compare", "--study", "odd🎛️"],
    "study list": ["study", "list"],
    "study show": ["study", "show", "odd🎛️"],
    "study templates": ["study", "templates"],
    "status": ["status"],
    "doctor": ["doctor"],
    "clean": ["clean"],
    "mlflow status": ["mlflow", "status"],
    "inspect": ["inspect", "odd.ckpt"],
    "artifacts": ["artifacts", "calm-s0"],
    "diff": ["diff", "calm", "nan"],
    "effects": ["effects", "odd🎛️"],
    "export": ["export", "odd🎛️"],
    "import": ["import", "odd.csv", "--study", "foreign", "--dry-run"],
    "sql": ["sql", "select key, step, value, kind, 9e999, x'00ff' from run_metrics"],
}


def speakers() -> set[str]:
    """Return the commands with an option ``--format``, from the command line itself."""
    from typer.main import get_command

    from ablate.cli import app

    found: set[str] = set()
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = {f"{name} {n}": c for n, c in getattr(command, "commands", {}).items()}
        for full, each in (inner or {name: command}).items():
            if any("--format" in getattr(option, "opts", ()) for option in each.params):
                found.add(full)
    return found


def test_every_command_with_a_format_is_tried_here() -> None:
    tried = set(COMMANDS) | {name for name in speakers() if name.startswith("import ")}

    assert speakers() <= tried, speakers() - tried


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for name in sorted(set(COMMANDS) & speakers())
        for form in ("json", "ndjson")
        if (name, form) != ("export", "json")  # points are exported line by line
    ],
)
def test_output_is_strict_json(odd: Project, name: str, form: str) -> None:
    text = odd.ablate(*COMMANDS[name], "--format", form)

    found = [strict(line) for line in text.splitlines()] if form == "ndjson" else strict(text)

    assert found


def test_import_says_what_it_did_in_strict_json(odd: Project) -> None:
    odd.write("logs.csv", "step,loss\n0,nan\n1,inf\n2,-0.0\n")

    text = odd.ablate("import", "csv", "logs.csv", "--study", "theirs🎛️", "--format", "json")

    assert strict(text)


def test_what_is_no_number_is_never_best(odd: Project) -> None:
    found = strict(odd.ablate("compare", "--study", "odd🎛️", "--format", "json"))

    rows = {row["variant"]: row for row in found["rows"]}
    assert rows["calm"]["values"]["train/loss/a"]["mean"] == 0.5
    for variant in ("nan", "inf"):
        row = rows[variant]
        assert row["verdict"] != "passed"
        for key in ("train/loss/a", "train/loss/b", "train/loss/c"):
            value = row["values"][key]
            assert value["mean"] is None
            assert value["kind"] != "finite"
            assert value.get("status") != "good"
            assert (value.get("contrast") or {}).get("verdict") != "better"


@pytest.mark.parametrize("zone", ["America/St_Johns", "XXX-25:61"])
def test_time_zone_of_the_reader_changes_no_answer(
    odd: Project, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    names = ("compare", "status", "study show", "inspect", "export")
    commands = [[*COMMANDS[name], "--format", "ndjson"] for name in names]
    monkeypatch.setenv("TZ", "UTC")
    here = [odd.ablate(*command) for command in commands]
    monkeypatch.setenv("TZ", zone)

    assert [odd.ablate(*command) for command in commands] == here
