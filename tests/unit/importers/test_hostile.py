"""Values, names and files that no healthy tool writes."""

from __future__ import annotations

import csv
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.app.exporting import point_blocks
from ablate.app.imports.importing import ImportOptions, apply_import, plan_import
from ablate.domain import IMPORTED
from ablate.errors import AblateError, UsageError
from ablate.importers.reading.patience import time_limit
from ablate.planning.study_file.names import check_name, cleaned_name
from ablate.render.points import write_csv
from ablate.settings import load_settings
from ablate.store import open_store
from tests.support.logs import field, wandb_history, wandb_item, write_wandb
from tests.support.patience import slowness
from tests.support.reading import points, read, total

_HUGE = "9" * 400


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (None, "without a step that is a whole number"),
        ("x", "without a step that is a whole number"),
        (1.5, "without a step that is a whole number"),
        (True, "without a step that is a whole number"),
        ([1], "without a step that is a whole number"),
        (-3, "step is negative or too large"),
        (int(_HUGE), "step is negative or too large"),
    ],
)
def test_steps_of_wandb_that_are_none(tmp_path: Path, step: object, why: str) -> None:
    row = field(2, field(1, wandb_item("_step", step)) + field(1, wandb_item("loss", 0.5)))
    write_wandb(tmp_path / "run-1.wandb", [row, wandb_history(7, loss=0.25)])

    reading = read(tmp_path / "run-1.wandb")

    assert points(reading) == {("import/scalar/loss", 7): (0.25, pytest.approx(0, abs=1e12))}
    assert total(reading).skipped == {why: 1}


@pytest.mark.parametrize("value", [_HUGE, "1e400", "-1e400", "x", ""])
def test_cell_that_no_float_holds_is_counted_not_infinity(tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"step,loss\n1,{value}\n2,0.5\n3,inf\n")

    reading = read(path)

    assert sorted(step for _, step in points(reading)) == [2, 3]
    assert total(reading).skipped.total() == 1


def test_hundred_thousand_columns_are_read_soon(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    names = ",".join(f"c{i}" for i in range(100_000))
    path.write_text(f"step,{names}\n1{',0.5' * 100_000}\n")
    start = time.monotonic()

    assert total(read(path)).kept == 100_000
    assert time.monotonic() - start < 30 * slowness()


def test_endless_lines_of_a_text_log_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(
        f"step 1 loss 0.5\n{'a.a-b/c ' * 100_000}\nepoch{' ' * 1900}\nstep 2 loss 0.25\n"
    )
    start = time.monotonic()

    reading = read(path)

    assert sorted(step for _, step in points(reading)) == [1, 2]
    assert total(reading).skipped == {"line that is too long": 1}
    assert time.monotonic() - start < 10 * slowness()


def test_pattern_that_would_need_years_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(f"step 1 loss {'a' * 40}b\n")

    with pytest.raises(UsageError, match="more than 2 s for one line"):
        read(path, kind="text", pattern=r"step (?P<step>\d+) loss (?P<loss>(a+)+$)")


def test_time_limit_is_none_in_another_thread() -> None:
    ended: list[bool] = []

    def work() -> None:
        with time_limit(0.01):
            time.sleep(0.05)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


@pytest.mark.parametrize("source", ["", "  ", "~nobody-of-that-name/x", "file://["])
def test_source_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(AblateError):
        read(Path(source) if source.startswith("~") else source)  # pyright: ignore[reportArgumentType]


def test_pipe_is_refused_and_in_a_folder_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError, match="is no file"):
        read(tmp_path / "pipe.csv")

    (tmp_path / "a.csv").write_text("step,loss\n1,0.5\n")
    assert total(read(tmp_path)).kept == 1


def test_file_that_vanishes_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("step,loss\n1,0.5\n")
    is_open = Path.open

    def opened(path: Path, *arguments: object, **named: object) -> object:
        if path.name == "b.csv":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return is_open(path, *arguments, **named)  # pyright: ignore[reportArgumentType, reportCallIssue]

    monkeypatch.setattr(Path, "open", opened)

    reading = read(tmp_path)

    assert total(reading).kept == 1
    assert any("b.csv cannot be read: No such file" in note for note in reading.notes)


@pytest.mark.parametrize(
    "name",
    ["\x1b[31mred", "../../evil", "\u202eabc", "-x", "a b", "y" * 5000, "\udc80", "\0", "..", ""],
)
def test_names_from_logs_are_made_such_that_the_rule_takes_them(name: str) -> None:
    with pytest.raises(ValueError, match="a name"):
        check_name(name)

    assert check_name(cleaned_name(name))


@pytest.mark.parametrize("name", ["../../evil", "\x1b[31mred", "-x", "\u202eabc", "y" * 500])
@pytest.mark.parametrize("option", ["variant", "study"])
def test_typed_name_that_the_rule_refuses_is_refused_before_anything_is_stored(
    name: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("step,loss\n1,0.5\n")
    options = replace(ImportOptions(sources=["a.csv"], study="s"), **{option: name})

    with pytest.raises(UsageError, match=f"--{option}") as caught:
        plan_import(load_settings(), options)

    assert caught.value.message.isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_own_export_with_names_like_formulas_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"=cmd()": "train/loss/x", "+x": "@a/b/c", "''=x": "train/=b/c", "plain": "-a/b/c"}
    rows = [
        {"variant": name, "seed": 0, "step": 1, key: 0.5 + number}
        for number, (name, key) in enumerate(names.items())
    ]
    Path("a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    settings = load_settings()
    apply_import(settings, plan_import(settings, ImportOptions(sources=["a.jsonl"], study="one")))
    store = open_store(settings.db_url)
    with Path("out.csv").open("wb") as file:
        write_csv(point_blocks(store, "one"), file)
    cells = [cell for row in csv.reader(Path("out.csv").read_text().splitlines()) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)

    apply_import(settings, plan_import(settings, ImportOptions(sources=["out.csv"], study="two")))

    def logged(study: str) -> set[tuple[str, str]]:
        runs = store.runs(study)
        assert {run.trainer for run in runs} == {IMPORTED}
        return {(run.variant, key) for run in runs for key in store.metric_keys([run.id])}

    assert logged("two") == logged("one")
    assert {"=cmd()", "+x"} <= {variant for variant, _ in logged("two")}
    store.close()
