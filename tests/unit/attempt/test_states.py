"""A checkpoint's state is written as what it is: bytes, JSON, or with torch where it is loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from ablate.attempt.checkpoints.states import is_torch_file, load_state, save_state


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer of another framework, or none."""
    monkeypatch.delitem(sys.modules, "torch")


@pytest.mark.parametrize("state", [b"\x00weights", b"PK", b"", b"a {"])
def test_bytes_come_back_as_they_were(state: bytes, tmp_path: Path, without_torch: None) -> None:
    save_state(state, tmp_path / "state")
    assert load_state(tmp_path / "state") == state


@pytest.mark.parametrize("state", [{"step": 3, "w": [0.1, -2e300]}, [1, None, "ä"]])
def test_json_comes_back_as_it_was(state: object, tmp_path: Path, without_torch: None) -> None:
    save_state(state, tmp_path / "state")
    assert load_state(tmp_path / "state") == state


def test_tensors_come_back_to_the_bit(tmp_path: Path) -> None:
    state = {"w": torch.tensor([0.1, float("nan"), -0.0]), "step": 7}
    save_state(state, tmp_path / "state")
    assert is_torch_file(tmp_path / "state")
    loaded = load_state(tmp_path / "state")
    assert loaded["step"] == 7
    assert torch.equal(loaded["w"].view(torch.int32), state["w"].view(torch.int32))


def test_a_state_with_code_in_it_is_refused(tmp_path: Path) -> None:
    torch.save({"run": print}, tmp_path / "state")
    with pytest.raises(Exception, match="print"):
        load_state(tmp_path / "state")
