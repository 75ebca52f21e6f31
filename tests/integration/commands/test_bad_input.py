"""What a user types wrong: one message with a way out, the right exit code, nothing created."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.support.projects import STUDY, Project, make_project


@pytest.mark.parametrize(
    ("arguments", "code", "messages"),
    [
        (["study", "create", "toi"], 3, ["no study file studies/toi.yaml", "did you mean 'toy'?"]),
        (["study", "create", "toy", "--design", "gird"], 2, ["'gird'", "did you mean 'grid'?"]),
        (["study", "create", "toy", "--factor", "lr"], 2, ["--factor lr: there is no '='"]),
        (["study", "create", "toy", "--set", "lr=[1"], 2, ["--set lr", "'[1'", "quote a text"]),
        (["study", "create", "toy", "--set", "lr=1,2"], 2, ["--set lr: '1,2' are 2 values"]),
        (["study", "create", "toy", "-f", "gone.yaml"], 3, ["there is no study file gone.yaml"]),
        (["study", "create", "other", "-f", "studies/toy.yaml"], 2, ["defines the study 'toy'"]),
        (["run"], 3, ["there is no study yet", "ablate study create scale-fix"]),
        (["compare"], 3, ["there is no ablate database", "ablate study create"]),
        (["status"], 3, ["there is no ablate database"]),
    ],
)
def test_mistakes_before_anything_exists(
    project: Project, arguments: list[str], code: int, messages: list[str]
) -> None:
    before = sorted(project.folder.rglob("*"))

    shown = project.ablate(*arguments, code=code)

    for message in messages:
        assert message in shown
    assert shown.startswith("error: ")
    if arguments != ["run"]:
        assert sorted(project.folder.rglob("*")) == before


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose runs are at step 5; a mistake changes nothing there."""
    made = make_project(tmp_path_factory.mktemp("begun"))
    made.ablate("study", "create", "toy")
    made.ablate("run", "toy", "--steps", "5")
    return made


@pytest.mark.parametrize(
    ("arguments", "code", "messages"),
    [
        (["compare", "slow", "fats"], 3, ["no study has a variant 'fats'", "did you mean 'fast'?"]),
        (["compare", "--study", "tony"], 3, ["'tony'", "did you mean 'toy'?"]),
        (["compare", "--study", "toy", "--at", "5000"], 3, ["the furthest is at 5", "--at 5"]),
        (["compare", "--format", "yaml"], 2, ["--format yaml: unknown", "known: table, md"]),
        (["compare", "--metric", "train/loss/totl"], 3, ["train/loss/totl", "train/loss/total"]),
        (["run", "--executor", "cloud"], 2, ["--executor cloud: unknown"]),
        (["run", "--device", "tpu"], 2, ["--device tpu: unknown"]),
        (
            ["run", "--only", "fats"],
            3,
            ["no run or variant 'fats'", "did you mean 'fast'?"],
        ),
        (["run", "tony"], 3, ["did you mean 'toy'?"]),
        (["logs", "zzz"], 3, ["zzz"]),
        (["report", "toy", "-o", "report.pdf"], 2, ["unknown suffix"]),
        (["comapre"], 2, ["no command 'ablate comapre'", "did you mean: ablate compare"]),
        (["db", "migrate"], 2, ["no command 'ablate db migrate'", "ablate db has: upgrade"]),
        (["plan"], 2, ["no command 'ablate plan'", "ablate has: init, doctor"]),
        (["status", "--study", "toy"], 2, ["no option --study", "by itself: ablate status STUDY"]),
        (["compare", "--fromat", "md"], 2, ["no option --fromat", "did you mean --format?"]),
        (["run", "--workers", "x"], 2, ["invalid value for '--workers'", "a whole number"]),
        (["run", "--workers", "0"], 2, ["invalid value for '--workers'", "at least 1 is wanted"]),
        (["inspect"], 2, ["ablate inspect: missing argument", "see: ablate inspect --help"]),
        (["logs", "a", "b"], 2, ["ablate logs: got unexpected extra argument"]),
        (["compare", "--format"], 2, ["ablate compare: --format wants a value"]),
        (["study", "create", "x", "--seeds"], 2, ["ablate study create: --seeds wants a value"]),
        (["--db"], 2, ["ablate: --db wants a value", "see: ablate --help"]),
        (["export", "toy", "--at", "5"], 2, ["no option --at", "see: ablate export --help"]),
        (["export", "toy", "-o", "x.parqet"], 2, ["unknown suffix", "did you mean .parquet?"]),
        (["import", "x.csv"], 2, ["ablate import: missing option '--study'"]),
        (["--foo"], 2, ["ablate has no option --foo"]),
        (["compare", "Slow"], 3, ["did you mean 'slow'?"]),
        (["compare", "--study", "toy", "--metric", "trian/*"], 3, ["did you mean 'train/*'?"]),
        (["import", "tb", "--study", "new"], 3, ["did you mean the kind 'tensorboard'?"]),
        (["sql", "select vairant from run_metrics"], 2, ["did you mean variant?"]),
        (["sql", "select seed from rnus"], 2, ["did you mean runs?"]),
        (["import", "toytrian.py", "--study", "new"], 3, ["did you mean toytrain.py?"]),
        (["import", "no/such.csv", "--study", "new"], 3, ["there is no folder no"]),
    ],
)
def test_mistakes_in_names(
    begun: Project, arguments: list[str], code: int, messages: list[str]
) -> None:
    shown = begun.ablate(*arguments, code=code)

    assert shown.startswith("error: ")
    for message in messages:
        assert message in shown


def test_broken_study_file_is_shown_with_its_line_and_a_caret(project: Project) -> None:
    project.write("studies/toy.yaml", STUDY.replace("seeds: 2", "seeds: two"))

    shown = project.ablate("study", "create", "toy", code=2)

    assert shown == (
        "error: seeds: should be a whole number, not 'two'\n"
        "  --> studies/toy.yaml:9:8\n"
        "    |\n"
        "  9 | seeds: two\n"
        "    |        ^\n"
    )
    assert not (project.folder / ".ablate").exists()


BUNDLED = """\
study: b
base: {steps: 10}
phases:
  p: {set: {preset: base}}
"""


@pytest.mark.parametrize(
    ("setting", "messages"),
    [
        ("losses.l1.wait: 1", ["losses.l1.wait", "did you mean"]),
        ("steps: many", ["steps", "'many'"]),
        ("losses.l1.weight: '1'", ["losses.l1.weight", "'1'"]),
        ("optim.learning_rate: -1", ["optim.learning_rate", "-1"]),
        ("preset: bse", ["preset", "one of base, pre_output"]),
        ("data.source: folder", ["data.path"]),
        ("{data.source: folder, data.path: gone}", ["data.path", "gone"]),
        ("{data.source: folder, data.path: studies}", ["data.path", "studies"]),
        ("losses.l1.weight: .nan", ["losses.l1.weight", "must be finite, not nan"]),
        ("losses.l1.weight: -.inf", ["losses.l1.weight", "must be finite, not -inf"]),
        ("data.segment_s: 0.3001", ["data.segment_s", "total stride 80", "write 0.3"]),
        ("quantizer.prenorm: time", ["quantizer.prenorm", "model.causal is true"]),
        ("data.units_file: u.txt", ["data.units_file", "data.source: folder"]),
        ("data.speaker_pattern: '_([a-z]+'", ["data.speaker_pattern", "no regular expression"]),
        ("data.speaker_pattern: '_([a-z]+)_'", ["data.speaker_pattern", "no group `speaker`"]),
    ],
)
def test_config_that_the_trainer_refuses_is_reported_before_launch(
    project: Project, setting: str, messages: list[str]
) -> None:
    settings = setting.strip("{}")
    text = BUNDLED.replace(
        "preset: base", settings if "preset" in setting else f"preset: base, {settings}"
    )
    project.write("studies/b.yaml", text)

    shown = project.ablate("study", "create", "b", code=2)

    for message in messages:
        assert message in shown
    assert "--> studies/b.yaml:4:" in shown
    assert not (project.folder / ".ablate").exists()


def test_mistyped_factor_key_is_refused_at_its_key(project: Project) -> None:
    project.write(
        "studies/b.yaml",
        BUNDLED + "factors:\n  reg:\n    key: losses.norm_rag.weight\n    levels: [0, 1]\n",
    )

    shown = project.ablate("study", "create", "b", code=2)

    assert "--> studies/b.yaml:7:5" in shown
    assert "losses.norm_reg" in shown


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            STUDY.replace("targets:", "# targets:") + "gates: [100]\n",
            ["gates judge targets, and the study has none", "toy.yaml:12:1", "add 'targets:'"],
        ),
        (
            STUDY + "gates: [{at: 100, do: promote}]\n",
            ["'stop' or 'flag', not 'promote'", "toy.yaml:12:23"],
        ),
        (
            STUDY + "guards: {low: {when: train/audio/rms < 0.1 and rms > 0 > 1}}\n",
            ["cannot read the condition 'rms > 0 > 1'", "join several with 'and'"],
        ),
    ],
)
def test_guards_and_gates_that_could_do_nothing_are_refused(
    project: Project, text: str, messages: list[str]
) -> None:
    project.write("studies/toy.yaml", text)

    shown = project.ablate("study", "create", "toy", code=2)

    for message in messages:
        assert message in shown
    assert not (project.folder / ".ablate").exists()


@pytest.mark.parametrize(
    ("start", "messages"),
    [
        ("slow", ["cannot read 'slow'; write a phase and a step, as phase_a@2000"]),
        ("slw@50", ["there is no phase 'slw'", "did you mean 'slow'?"]),
        ("fast@50", ["phases start in a circle: fast at fast"]),
        ("slow@200", ["'fast' ends at step 200 and cannot start at step 200"]),
    ],
)
def test_start_that_cannot_be_is_refused_at_its_place(
    project: Project, start: str, messages: list[str]
) -> None:
    text = STUDY.replace("{from: slow, set:", f"{{start_at: {start}, from: slow, set:")
    project.write("studies/toy.yaml", text)

    shown = project.ablate("study", "create", "toy", code=2)

    for message in [*messages, "--> studies/toy.yaml:8:20"]:
        assert message in shown
    assert not (project.folder / ".ablate").exists()


def test_changed_study_is_shown_and_applied_only_with_update(project: Project) -> None:
    project.ablate("study", "create", "toy")
    project.write("studies/toy.yaml", STUDY.replace("seeds: 2", "seeds: 3"))

    shown = project.ablate("study", "create", "toy", code=2)

    assert "added       2: slow-s2, fast-s2" in shown
    assert "--update" in shown
    assert project.rows("select count(*) from runs") == [(4,)]
    project.ablate("study", "create", "toy", "--update")
    assert project.rows("select count(*) from runs") == [(6,)]


def test_flags_never_overwrite_a_file_unasked(project: Project) -> None:
    mine = project.write("studies/mine.yaml", "study: mine\nphases: {p: {}}\n")

    shown = project.ablate("study", "create", "mine", "--from", "toy", "--seeds", "3", code=2)

    assert "studies/mine.yaml is there and says something else" in shown
    assert mine.read_text() == "study: mine\nphases: {p: {}}\n"
    assert not (project.folder / ".ablate").exists()
    project.ablate("study", "create", "mine", "--from", "toy", "--seeds", "3", "--force")


def test_dry_run_leaves_disk_and_database_as_they_are(project: Project) -> None:
    def content() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in project.folder.rglob("*") if p.is_file()}

    before = content()
    project.ablate("study", "create", "new", "--from", "toy", "--seeds", "4", "--dry-run")
    assert content() == before
    project.ablate("study", "create", "toy")
    before = content()
    project.ablate("run", "--dry-run")
    assert {p: b for p, b in content().items() if p.suffix not in (".db-shm", ".db-wal")} == {
        p: b for p, b in before.items() if p.suffix not in (".db-shm", ".db-wal")
    }


def test_database_newer_than_the_code_is_refused(project: Project) -> None:
    project.ablate("study", "create", "toy")
    database = sqlite3.connect(project.folder / ".ablate" / "ablate.db")
    with database:
        database.execute("update ablate_alembic_version set version_num = '9999'")
    database.close()

    for command in (["status"], ["run"], ["study", "create", "toy"]):
        shown = project.ablate(*command, code=4)
        assert "9999" in shown
        assert "hint:" in shown


def test_file_that_is_no_database_is_refused(project: Project) -> None:
    project.write(".ablate/ablate.db", "I am a diary. " * 100)

    shown = project.ablate("status", code=4)

    assert "ablate.db" in shown


def test_names_that_look_like_markup_are_shown_as_typed(project: Project) -> None:
    text = STUDY.replace("Which rate?", "'[red]Which[/red] <b>rate</b>?'")
    project.write("studies/toy.yaml", text)
    project.ablate("study", "create", "toy")

    assert "[red]Which[/red] <b>rate</b>?" in project.ablate("study", "list")
