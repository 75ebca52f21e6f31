"""What a run is called by its place, which files there are, and which configs lie beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ablate.domain import AttemptState
from ablate.errors import NotFoundError, UsageError
from ablate.importers.beside import with_configs
from ablate.importers.sources import find_source
from tests.support.reading import read, runs_in

LOG = "step,loss\n0,1\n1,0.5\n"


def write(folder: Path, *names: str, text: str = LOG) -> None:
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + f"2,{i}\n" if text is LOG else text)


@pytest.mark.parametrize(
    ("files", "titles"),
    [
        (("a/metrics.csv", "b/metrics.csv"), ["a", "b"]),
        (("x/logs/log.csv", "y/logs/log.csv"), ["x", "y"]),
        (("lr1/seed_0/log.csv", "lr1/seed_1/log.csv"), ["seed_0", "seed_1"]),
        (("lr1/s0/log.csv", "lr2/s0/log.csv"), ["lr1", "lr2"]),
        (("a.csv", "b.csv"), ["a", "b"]),
        (("exp/one/version_0/metrics.csv", "exp/two/version_0/metrics.csv"), ["one", "two"]),
    ],
)
def test_the_part_that_tells_runs_apart_is_the_title(
    tmp_path: Path, files: tuple[str, ...], titles: list[str]
) -> None:
    write(tmp_path / "runs", *files)

    assert sorted(run.title for run in runs_in(tmp_path / "runs")) == titles


def test_one_run_is_called_by_the_last_word_that_says_something(tmp_path: Path) -> None:
    write(tmp_path, "exp/big/logs/metrics.csv")

    assert [run.title for run in runs_in(tmp_path / "exp")] == ["big"]


def test_symbolic_links_are_followed_and_no_file_counts_twice(tmp_path: Path) -> None:
    write(tmp_path, "store/a/log.csv", "store/b/log.csv")
    links = tmp_path / "links"
    links.mkdir()
    for name in "ab":
        (links / name).symlink_to(tmp_path / "store" / name)
    (links / "latest").symlink_to(tmp_path / "store" / "b")
    (tmp_path / "store" / "a" / "up").symlink_to(tmp_path / "store")

    assert [
        len(find_source(str(tmp_path / place), None).files) for place in ("links", "store")
    ] == [
        2,
        2,
    ]
    assert sorted(run.title for run in runs_in(links)) == ["a", "b"]


def test_folder_of_several_kinds_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "b.csv")
    write(tmp_path, "a.log", text="step 1 loss 2\n")

    found = find_source(str(tmp_path), None)

    assert (found.kind, len(found.files)) == ("csv", 2)
    assert "other files that may be logs were left out (1 of text)" in str(found.note)
    assert find_source(str(tmp_path), "text").kind == "text"


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.weird", text="?")
    with pytest.raises(NotFoundError, match="there is no file"):
        find_source(str(tmp_path / "none.csv"), None)
    with pytest.raises(UsageError, match="of which kind"):
        find_source(str(tmp_path / "a.weird"), None)
    with pytest.raises(NotFoundError, match="there are no logs"):
        find_source(str(tmp_path), None)
    assert find_source("http://localhost:5000", None).kind == "mlflow"


@pytest.mark.parametrize("text", ["", "step,loss\n"])
def test_run_that_died_before_its_first_row_has_failed(tmp_path: Path, text: str) -> None:
    write(tmp_path, "good/log.csv")
    write(tmp_path, "bad/log.csv", text=text)

    failed = {run.title: (run.state, run.reason) for run in runs_in(tmp_path)}

    why = "its file has a header and no row" if text else "its file is empty"
    assert failed["bad"] == (AttemptState.FAILED, why)
    assert failed["good"] == (AttemptState.SUCCEEDED, None)


def test_log_that_grows_is_of_a_run_that_trains(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", text="step,loss,timestamp\n0,1,1000\n1,1,1100\n")

    states = [read(tmp_path / "a.csv", now=now).runs[0].state for now in (1200, 1500)]

    assert states == [AttemptState.RUNNING, AttemptState.SUCCEEDED]


def configs(folder: Path, typed: str | None = None) -> dict[str, object]:
    runs, _ = with_configs(read(folder).runs, typed)
    return {Path(run.place).parent.name: dict(run.config) for run in runs}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hparams.yaml", "lr: 0.1\nseed: 3\n"),
        ("config.json", '{"lr": 0.1, "seed": 3}'),
        (".hydra/config.yaml", "lr: 0.1\nseed: 3\n"),
        ("files/config.yaml", "wandb_version: 1\nlr: {value: 0.1}\nseed: {value: 3}\n"),
    ],
)
def test_config_beside_the_log_of_one_run(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, "a/log.csv", "b/log.csv")
    write(tmp_path / "a", name, text=text)

    runs, notes = with_configs(read(tmp_path).runs, None)

    assert configs(tmp_path) == {"a": {"lr": 0.1, "seed": 3}, "b": {}}
    assert [run.said_seed for run in runs] == [3, None]
    assert notes == [f"configs: {Path(name).name} beside 1 of 2 runs"]


def test_config_above_several_runs_is_of_none_of_them(tmp_path: Path) -> None:
    write(tmp_path, "a/log.csv", "b/log.csv")
    write(tmp_path, "config.yaml", text="lr: 0.1\n")

    assert configs(tmp_path) == {"a": {}, "b": {}}
    typed = configs(tmp_path, str(tmp_path / "config.yaml"))
    assert typed == {"a": {"lr": 0.1}, "b": {"lr": 0.1}}


def test_typed_name_is_looked_for_beside_each_run(tmp_path: Path) -> None:
    write(tmp_path, "a/log.csv", "b/log.csv")
    write(tmp_path, "a/my.yml", text="lr: 1\n")
    write(tmp_path, "b/my.yml", text="lr: 2\n")

    assert configs(tmp_path, "my.yml") == {"a": {"lr": 1}, "b": {"lr": 2}}
    with pytest.raises(NotFoundError, match=r"--config no\.yml"):
        configs(tmp_path, "no.yml")


def test_file_that_is_no_config_is_left_out_and_told_or_refused_when_typed(tmp_path: Path) -> None:
    write(tmp_path, "a/log.csv")
    write(tmp_path, "a/config.yaml", text="- 1\n- 2\n")

    runs, notes = with_configs(read(tmp_path).runs, None)
    assert (runs[0].config, len(notes)) == ({}, 1)
    assert "holds no config: no names with values: left out" in notes[0]
    with pytest.raises(UsageError, match="holds no config"):
        with_configs(read(tmp_path).runs, os.fspath(tmp_path / "a" / "config.yaml"))


def test_json_logs_of_other_tools(tmp_path: Path) -> None:
    row = '{"iter": 10, "loss": 0.5}\n'
    write(tmp_path, "a/20240101.log.json", "b/scalars.json", "c/metrics.json", text=row)
    write(tmp_path, "a/config.json", text='{"lr": 0.1}')

    assert sorted(run.title for run in runs_in(tmp_path)) == ["a/20240101.log", "b", "c"]
    assert find_source(str(tmp_path / "b" / "scalars.json"), None).kind == "jsonl"


def test_config_file_of_wandb_without_a_setting_is_no_evidence(tmp_path: Path) -> None:
    write(tmp_path, "a/log.csv")
    write(tmp_path / "a", "files/config.yaml", text="wandb_version: 1\n_wandb: {value: {m: 1}}\n")

    assert configs(tmp_path) == {"a": {}}
