"""CSV files as other people's programs leave them: padded, begun again, cut."""

from pathlib import Path

import pytest

from ablate.errors import UsageError
from tests.support.reading import points, points_of, read, runs_in, total


def write(folder: Path, text: str) -> Path:
    path = folder / "log.csv"
    path.write_text(text)
    return path


def values(path: Path, *maps: str) -> dict[tuple[str, int], float]:
    return {place: value for place, (value, _) in points(read(path, *maps)).items()}


def test_blanks_around_names_and_cells_say_nothing(tmp_path) -> None:
    path = write(
        tmp_path,
        '             epoch,\t train/box_loss , "val loss"\n    0,   1.5,  2.5\n  1 , 1.25,\t2\n',
    )

    assert values(path) == {
        ("train/scalar/box_loss", 0): 1.5,
        ("valid/scalar/loss", 0): 2.5,
        ("train/scalar/box_loss", 1): 1.25,
        ("valid/scalar/loss", 1): 2.0,
    }
    mapped = values(path, " train/box_loss = train/loss/box", "epoch=step", "val loss=-")
    assert mapped == {("train/loss/box", 0): 1.5, ("train/loss/box", 1): 1.25}


def test_blanks_in_long_rows_and_json_lines(tmp_path) -> None:
    path = write(tmp_path, "run, key , value, step\n a , loss , 0.5, 1\na,loss,0.25,2\n")
    (run,) = read(path).runs
    assert (run.title, run.points.counts.kept) == ("a", 2)

    lines = tmp_path / "log.jsonl"
    lines.write_text(
        '{" step ": 1, " train ": {" loss ": 2.0}}\n{"step": 2, "train": {"loss": 3}}\n'
    )
    assert points(read(lines)).keys() == {
        ("train/scalar/loss", 1),
        ("train/scalar/loss", 2),
    }


def test_header_in_the_middle_names_what_follows(tmp_path) -> None:
    path = write(
        tmp_path,
        "epoch,acc,loss\n0,0.5,9\n1,0.6,8\nepoch,loss,lr,acc\n2,7,0.1,0.7\nepoch,loss,lr,acc\n3,6,0.1,0.8\n",
    )

    got = values(path)

    acc = [got["import/scalar/acc", step] for step in range(4)]
    assert acc == [0.5, 0.6, 0.7, 0.8]
    assert [got["import/scalar/loss", step] for step in range(4)] == [9, 8, 7, 6]
    assert {place for place in got if place[0] == "import/scalar/lr"} == {
        ("import/scalar/lr", 2),
        ("import/scalar/lr", 3),
    }


def test_text_in_a_row_is_no_header(tmp_path) -> None:
    path = write(tmp_path, "step,loss,note\n0,1,epoch\n1,2,step\n,nan,step\n")

    assert values(path) == {("import/scalar/loss", 0): 1.0, ("import/scalar/loss", 1): 2.0}


@pytest.mark.parametrize("row", ["2,12.3,0.5,7", "2,1,0.5,,,x", "2,12.1,3,13,0.5"])
def test_row_longer_than_its_header_is_refused_with_its_line(tmp_path, row) -> None:
    path = write(tmp_path, f"step,loss,acc\n0,1,2\n\n1,1,2\n{row}\n3,1,2\n")

    with pytest.raises(UsageError, match=r"log.csv, line 5: \d cells, but the header has 3 col"):
        read(path)


def test_row_longer_than_the_header_before_it_is_refused_although_the_first_was_longer(
    tmp_path,
) -> None:
    path = write(tmp_path, "step,loss,acc\n0,1,2\nstep,loss\n1,1\n2,1,2\n")

    with pytest.raises(UsageError, match="line 5: 3 cells, but the header has 2 columns"):
        read(path)


def test_shorter_rows_keep_what_they_have(tmp_path) -> None:
    path = write(tmp_path, "step,loss,acc\n0,1\n1,2,3\n")

    reading = read(path)

    assert total(reading).kept == 3
    assert dict(total(reading).skipped) == {"missing at the end of a shorter row": 1}


@pytest.mark.parametrize(
    "last", ["2", "2,12", "2,12.", "2,12.7,0.", '2,"12', "2,12.75,0.5", "\0\0\0"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_last_line_without_an_end_is_left_out_and_told(tmp_path, last, end) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(end.join(["step,loss,acc", "0,14.25,0.25", "1,13.5,0.5", last]).encode())

    reading = read(path)

    assert sorted(points(reading)) == [
        ("import/scalar/acc", 0),
        ("import/scalar/acc", 1),
        ("import/scalar/loss", 0),
        ("import/scalar/loss", 1),
    ]
    assert dict(total(reading).skipped) == {"cut: the last line has no end": 1}
    assert "the last line (4) has no line end" in reading.notes[0]


def test_last_cell_in_quotes_is_whole(tmp_path) -> None:
    path = write(tmp_path, 'step,loss\n"0","1.5"\n"1","2.5"')

    reading = read(path)

    assert (total(reading).kept, reading.notes) == (2, [])


def test_column_that_is_there_twice_is_refused(tmp_path) -> None:
    path = write(tmp_path, "step,loss, loss\n0,1,2\n")

    with pytest.raises(UsageError, match=r"log.csv: the column 'loss' is there 2 times"):
        read(path)


def test_index_without_a_name_is_no_metric(tmp_path) -> None:
    path = write(tmp_path, ",step,loss\n0,10,1.5\n1,20,1.25\n")

    assert values(path) == {("import/scalar/loss", 10): 1.5, ("import/scalar/loss", 20): 1.25}


def test_time_that_a_step_took_is_a_metric_and_no_moment(tmp_path) -> None:
    path = write(tmp_path, "total_timesteps,loss,time\n100,1,0.25\n200,2,0.5\n")

    assert values(path) == {
        ("import/scalar/loss", 100): 1.0,
        ("import/scalar/loss", 200): 2.0,
        ("import/scalar/time", 100): 0.25,
        ("import/scalar/time", 200): 0.5,
    }
    moments = write(tmp_path, "step,loss,time\n1,2,1700000000.5\n")
    assert points(read(moments)) == {("import/scalar/loss", 1): (2.0, 1700000000.5)}
    typed = write(tmp_path, "step,loss,time\n1,2,0.5\n")
    assert points(read(typed, "time=time")) == {("import/scalar/loss", 1): (2.0, 0.5)}


def test_chart_of_wandb_is_a_run_for_each_name_without_its_bounds(tmp_path: Path) -> None:
    path = tmp_path / "wandb_export.csv"
    bounds = [
        f"{run} - train/loss{bound}"
        for run in ("dawn-12", "a - b")
        for bound in ("", "__MIN", "__MAX")
    ]
    rows = ["0,1.0,0.9,1.1,2.0,2,2", "10,0.5,0.5,0.5,,,", "20,0.25,0,1,1.5,1,2"]
    path.write_text("\n".join([",".join(["Step", *bounds]), *rows, ""]))

    reading = read(path)

    assert [run.title for run in reading.runs] == ["dawn-12", "a - b"]
    found = [{place: v for place, (v, _) in points(reading, i).items()} for i in (0, 1)]
    key = "train/scalar/loss"
    assert found[0] == {(key, 0): 1.0, (key, 10): 0.5, (key, 20): 0.25}
    assert found[1] == {(key, 0): 2.0, (key, 20): 1.5}


def test_names_with_a_dash_and_no_bounds_are_metrics(tmp_path: Path) -> None:
    path = write(tmp_path, "step,a - b\n1,2\n")

    assert values(path) == {("import/scalar/a_-_b", 1): 2.0}


def test_curves_of_tensorboard_with_one_name_are_one_run(tmp_path: Path) -> None:
    for run, tag, value in (("x", "train_loss", 1), ("x", "val_loss", 2), ("y", "train_loss", 3)):
        text = f"Wall time,Step,Value\n1700000000.5,0,{value}\n1700000001.5,10,{value / 2}\n"
        (tmp_path / f"run-{run}-tag-{tag}.csv").write_text(text)

    x, y = runs_in(tmp_path)

    assert (x.title, y.title) == ("x", "y")
    assert {place: v for place, (v, _) in points_of(x).items()} == {
        ("train_loss", 0): 1.0,
        ("train_loss", 10): 0.5,
        ("val_loss", 0): 2.0,
        ("val_loss", 10): 1.0,
    }
    assert points_of(y)["train_loss", 10] == (1.5, 1700000001.5)


def test_curves_of_tensorboard_named_for_splits_are_the_run_of_their_folder(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("train_loss", "val_loss"):
            text = "Wall time,Step,Value\n1700000000.5,0,1.5\n"
            (tmp_path / folder / f"{name}.csv").write_text(text)

    runs = runs_in(tmp_path)

    assert [run.title for run in runs] == ["a", "b"]
    assert [sorted(points_of(run)) for run in runs] == [[("train_loss", 0), ("val_loss", 0)]] * 2


def test_comments_stand_above_a_header_or_are_it(tmp_path: Path) -> None:
    monitor = write(tmp_path, '#{"t_start": 1.5, "env": "x"}\nstep,r\n1,12.0\n')
    assert values(monitor) == {("import/scalar/r", 1): 12.0}
    assert values(write(tmp_path, "# by hand\n# step,r\n1,12.0\n")) == values(monitor)
    long = write(tmp_path, "# one\n# two\nstep,r\n1,2\n1,2,3\n")
    with pytest.raises(UsageError, match="line 5: 3 cells"):
        read(long)


def test_step_behind_a_slash_counts_where_no_other_is_there(tmp_path: Path) -> None:
    assert values(write(tmp_path, "time/total_timesteps,a\n2048,1\n")) == {
        ("import/scalar/a", 2048): 1.0
    }
    assert ("import/trainer/global_step", 7) in values(
        write(tmp_path, "step,trainer/global_step\n7,1\n")
    )


def test_decimal_commas_are_counted_as_such(tmp_path: Path) -> None:
    reading = read(write(tmp_path, "step;a;b\n1;1,5;x\n"))

    assert dict(total(reading).skipped) == {"with a decimal comma": 1, "not a number": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_refused_with_the_way_out(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes("step,größe\n1,0.5\n".encode(encoding))

    with pytest.raises(UsageError, match=r"log\.csv cannot be read as CSV") as caught:
        read(path)

    assert caught.value.hint == "save it as UTF-8"


def test_columns_of_a_config_name_the_runs_of_a_table_without_steps(tmp_path) -> None:
    path = write(tmp_path, "lr,aug,loss\n0.1,true,5\n0.1,true,6\n2,none,7\n")

    runs = read(path, "lr=config", "aug=config").runs

    assert [(run.title, run.said_seed, dict(run.config)) for run in runs] == [
        ("lr=0.1,aug=true", 0, {"lr": 0.1, "aug": True}),
        ("lr=0.1,aug=true", 1, {"lr": 0.1, "aug": True}),
        ("lr=2,aug=none", 0, {"lr": 2, "aug": "none"}),
    ]
    assert [run.points.names for run in runs] == [runs[0].points.names] * 3


def test_columns_of_a_config_belong_to_the_run_that_a_row_names(tmp_path) -> None:
    path = write(tmp_path, "run,step,lr,loss\na,1,0.1,5\na,2,0.1,4\nb,1,0.2,7\n")

    runs = read(path, "lr=config").runs

    assert [(run.title, dict(run.config)) for run in runs] == [
        ("a", {"lr": 0.1}),
        ("b", {"lr": 0.2}),
    ]
    assert [run.points.counts.kept for run in runs] == [2, 1]


def test_a_config_that_changes_within_a_run_is_refused(tmp_path) -> None:
    path = write(tmp_path, "run,step,lr,loss\na,1,0.1,5\na,2,0.05,4\n")

    with pytest.raises(UsageError, match=r"lr is 0\.1 and 0\.05 in one run, a"):
        read(path, "lr=config")
