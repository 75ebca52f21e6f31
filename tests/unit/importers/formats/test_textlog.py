"""Lines that training scripts print, as they stand in other people's logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.errors import UsageError
from tests.support.reading import points, read, total


def values(folder: Path, text: str, pattern: str | None = None) -> dict[tuple[str, int], float]:
    path = folder / "train.log"
    path.write_text(text)
    return {place: value for place, (value, _) in points(read(path, pattern=pattern)).items()}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("step 10 loss 0.3", {("import/scalar/loss", 10): 0.3}),
        (
            "step 2000: train loss 1.7648, val loss 1.8857",
            {("train/scalar/loss", 2000): 1.7648, ("valid/scalar/loss", 2000): 1.8857},
        ),
        (
            "iter 100: loss 2.5e-1, time 31.45ms, mfu 16.21%",
            {("import/scalar/loss", 100): 0.25, ("import/scalar/mfu", 100): 16.21},
        ),
        (
            "Epoch 3/20 - loss: 0.25 - val_acc: 0.9",
            {("import/scalar/loss", 3): 0.25, ("valid/scalar/acc", 3): 0.9},
        ),
        (
            "{'loss': 0.5, 'lr': 1e-4, 'step': 30}",
            {("import/scalar/loss", 30): 0.5, ("import/scalar/lr", 30): 1e-4},
        ),
        (
            "2024-05-01 10:00:00,123 INFO train.py:88 | step=1,500 | loss=nan",
            {("import/scalar/loss", 1500): float("nan")},
        ),
        ("\x1b[32mstep: 7\x1b[0m loss: -inf", {("import/scalar/loss", 7): float("-inf")}),
    ],
)
def test_lines_of_the_usual_kinds(tmp_path: Path, line: str, expected: dict) -> None:
    assert str(values(tmp_path, f"hello\n{line}\n")) == str(expected)


def test_steps_within_epochs_are_counted_over_them(tmp_path: Path) -> None:
    text = (
        "Epoch: [0][ 0/500]\tTime 1.2 (1.2)\tLoss 6.9 (6.9)\n"
        "Epoch: [0][499/500]\tLoss 5.5 (6.0)\nEpoch: [1][ 10/500]\tLoss 5.0 (5.2)\n"
    )

    got = values(tmp_path, text)

    assert [got["import/scalar/Loss", step] for step in (0, 499, 510)] == [6.9, 5.5, 5.0]


def test_times_of_loggers_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("2024-05-01T10:00:00.5 step 1 loss 2\n")

    assert points(read(path)) == {("import/scalar/loss", 1): (2.0, 1714557600.5)}


def test_pattern_names_what_it_finds(tmp_path: Path) -> None:
    text = "[00012] L=0.5 (best) A=x\n[00013] L=0.25 A=0.75\n"

    got = values(tmp_path, text, pattern=r"\[(?P<step>\d+)\] L=(?P<train_loss>\S+).*A=(?P<acc>\S+)")

    assert got == {
        ("train/scalar/loss", 12): 0.5,
        ("train/scalar/loss", 13): 0.25,
        ("import/scalar/acc", 13): 0.75,
    }


@pytest.mark.parametrize("pattern", ["(", "loss (?P<loss>.*)", r"(?P<step>\d+)"])
def test_pattern_without_a_step_or_a_value_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="--pattern"):
        values(tmp_path, "step 1 loss 2\n", pattern=pattern)


def test_text_without_values_is_refused_and_left_out_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("see 3 papers\n")
    with pytest.raises(UsageError, match="no line"):
        read(tmp_path / "notes.txt")

    (tmp_path / "run.log").write_text("step 1 loss 2\n")
    reading = read(tmp_path)
    assert (len(reading.runs), total(reading).kept) == (1, 1)
    assert any("notes.txt" in note for note in reading.notes)


def test_line_that_says_the_epoch_alone_is_the_step_of_those_behind_it(tmp_path: Path) -> None:
    text = (
        "Epoch 1/2\n 50/100 [===>...] - ETA: 1s - loss: 0.7\r"
        "100/100 [=====] - 5s 50ms/step - loss: 0.69 - val_loss: 0.68\n"
        "Epoch 2/2\n100/100 [=====] - 5s 50ms/step - loss: 0.59 - val_loss: 0.58\n"
    )

    assert values(tmp_path, text) == {
        ("import/scalar/loss", 1): 0.69,
        ("valid/scalar/loss", 1): 0.68,
        ("import/scalar/loss", 2): 0.59,
        ("valid/scalar/loss", 2): 0.58,
    }


def test_updates_of_fairseq_go_before_its_epochs(tmp_path: Path) -> None:
    line = 'INFO | train_inner | {"epoch": 1, "loss": "3.2", "num_updates": "100", "lr": "1e-05"}\n'

    assert values(tmp_path, line)["import/scalar/loss", 100] == 3.2
