"""`trainer_state.json` of Hugging Face's Trainer, beside its checkpoints and in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ablate.domain import AttemptState
from ablate.errors import UsageError
from tests.support.reading import points, read, runs_in

ROWS: list[dict[str, Any]] = [
    {"epoch": 0.5, "grad_norm": 1.25, "learning_rate": 5e-05, "loss": 2.5, "step": 500},
    {"epoch": 1.0, "eval_loss": 2.0, "eval_runtime": 3.5, "step": 1000},
    {"epoch": 1.0, "loss": float("nan"), "step": 1000},
]
END: dict[str, Any] = {"epoch": 1.0, "total_flos": 1e15, "train_loss": 2.2, "step": 1000}


def write(folder: Path, step: int, aim: int, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {"global_step": step, "max_steps": aim, "num_train_epochs": 1, "log_history": rows}
    (folder / "trainer_state.json").write_text(json.dumps(state))


def test_state_that_came_furthest_is_the_run(tmp_path: Path) -> None:
    write(tmp_path / "out" / "checkpoint-500", 500, 1000, ROWS[:1])
    write(tmp_path / "out" / "checkpoint-1000", 1000, 1000, ROWS)
    write(tmp_path / "out", 1000, 1000, [*ROWS, END])

    reading = read(tmp_path / "out")

    (run,) = reading.runs
    got = {place: value for place, (value, _) in points(reading).items()}
    assert got["train/scalar/loss", 500] == 2.5
    assert str(got["train/scalar/loss", 1000]) == "nan"  # the whole run's mean is another metric
    assert got["train/total/loss", 1000] == 2.2
    assert got["valid/scalar/loss", 1000] == 2.0
    assert got["train/scalar/learning_rate", 500] == 5e-05
    assert run.state is AttemptState.SUCCEEDED
    assert run.config == {"max_steps": 1000, "num_train_epochs": 1}


def test_each_folder_is_a_run_and_one_that_came_short_was_stopped(tmp_path: Path) -> None:
    write(tmp_path / "lr1" / "checkpoint-500", 500, 1000, ROWS[:1])
    write(tmp_path / "lr2" / "checkpoint-1000", 1000, 1000, ROWS)

    runs = runs_in(tmp_path)

    states = {run.title: run.state.value for run in runs}
    assert states == {"lr1": "stopped", "lr2": "succeeded"}
    assert runs[0].reason == "its newest state is of step 500 of 1000"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"log_history": 3}'])
def test_other_json_of_that_name_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "trainer_state.json").write_text(text)

    with pytest.raises(UsageError, match=r"trainer_state\.json"):
        read(tmp_path)
