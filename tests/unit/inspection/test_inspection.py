"""What is said of a checkpoint's tensors, alone and beside another's."""

import json
import math
import pickle

import pytest
import torch

from ablate.attempt.checkpoints.files import save_checkpoint
from ablate.errors import NotFoundError, UsageError
from ablate.inspection.checkpoint import choose_checkpoint, differences, read_file, rows_of
from tests.support.factories import make_run


def read(folder, state, name="a.ckpt"):
    path = folder / name
    torch.save(state, path)
    return read_file(path, label=name)


def row(snapshot, name):
    return next(r for r in rows_of(snapshot) if r.name == name)


def test_every_tensor_is_listed_with_its_facts(tmp_path):
    weight = torch.tensor([[3.0, 0.0], [-4.0, 0.0]])
    state = {"model": {"proj.weight": weight}, "step": 7, "list": [torch.ones(2, dtype=torch.int8)]}

    snapshot = read(tmp_path, state)

    assert [r.name for r in rows_of(snapshot)] == ["model.proj.weight", "step", "list.0"]
    facts = row(snapshot, "model.proj.weight").facts
    assert (facts.shape, facts.dtype, facts.norm, facts.zeros) == ((2, 2), "float32", 5.0, 0.5)
    assert (facts.mean, facts.low, facts.high, facts.not_finite) == (-0.25, -4.0, 3.0, 0)
    assert facts.deviation == pytest.approx(math.sqrt(25 / 4 - 0.0625))
    assert row(snapshot, "step").facts.mean == 7


@pytest.mark.parametrize("value", [0.1, 0.3, 7.7])
def test_equal_elements_have_no_deviation(tmp_path, value):
    state = {"a": torch.full((1001,), value, dtype=torch.float64), "b": [value] * 1001}

    snapshot = read(tmp_path, state)

    assert [r.facts.deviation for r in rows_of(snapshot)] == [0.0] * len(rows_of(snapshot))


def test_what_is_not_finite_is_counted_and_left_out_of_the_rest(tmp_path):
    values = torch.tensor([math.nan, math.inf, 3.0, 4.0])
    snapshot = read(tmp_path, {"some": values, "none": values[:2], "empty": values[:0]})

    some, none, empty = (row(snapshot, n).facts for n in ("some", "none", "empty"))

    assert (some.not_finite, some.norm, some.mean) == (2, 5.0, 3.5)
    assert (none.not_finite, none.norm, none.mean, none.high) == (2, 0.0, None, None)
    assert (empty.not_finite, empty.mean, empty.zeros) == (0, None, None)


def test_drift_is_told_where_the_state_holds_the_first_norms(tmp_path):
    state = {
        "codec": {"out.weight": torch.tensor([3.0]), "out.bias": torch.zeros(1)},
        "initial_norms": {"out.weight": 4.0, "out.bias": 0.0},
    }

    snapshot = read(tmp_path, state)

    assert row(snapshot, "codec.out.weight").drift == pytest.approx(-0.25)
    assert row(snapshot, "codec.out.bias").drift is None
    assert row(snapshot, "initial_norms.out.weight").drift is None


def test_codes_in_use_follow_from_the_counts_beside_them(tmp_path):
    book = {"codes_VD": torch.ones(4, 3), "counts_V": torch.tensor([5.0, 5.0, 0.0, 0.0])}

    snapshot = read(tmp_path, {"books": {"0": book, "1": {"codes_VD": torch.ones(4, 3)}}})

    assert row(snapshot, "books.0.codes_VD").codes == pytest.approx(2)
    assert row(snapshot, "books.1.codes_VD").codes is None


def test_two_checkpoints_differ_by_distance_norm_and_what_one_alone_has(tmp_path):
    here = read(tmp_path, {"a": torch.tensor([3.0, 0.0]), "b": torch.ones(2), "c": 1.0})
    there = read(tmp_path, {"a": torch.tensor([0.0, 2.0]), "b": torch.ones(3), "d": 1.0}, "b.ckpt")

    found = {d.name: d for d in differences(here, there)}

    assert list(found) == ["a", "b", "c", "d"]
    assert found["a"].distance == pytest.approx(math.sqrt(13) / 2)
    assert found["a"].norm_change == pytest.approx(0.5)
    assert found["b"].distance is None
    assert (found["c"].there, found["d"].here) == (None, None)
    assert all(d.distance == 0 for d in differences(here, here))


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    touched = tmp_path / "touched"

    class Trap:
        def __reduce__(self):
            return touched.touch, ()

    torch.save({"model": Trap()}, tmp_path / "trap.ckpt", pickle_module=pickle)

    with pytest.raises(UsageError) as error:
        read_file(tmp_path / "trap.ckpt", label="trap")

    assert "cannot be read" in error.value.message
    assert not touched.exists()


def test_a_cut_file_is_one_clear_error(tmp_path):
    path = tmp_path / "cut.ckpt"
    torch.save({"a": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:300])

    with pytest.raises(UsageError, match="cannot be read"):
        read_file(path, label="cut")


def test_a_checkpoint_says_step_and_environment_and_is_verified(tmp_path):
    meta = {"environment": {"device": "cpu", "threads": 1}}
    saved = save_checkpoint(tmp_path / "attempt-1", tmp_path, 70, {"x": 1.0}, meta)
    path = tmp_path / saved.path

    whole = read_file(path, label="whole")
    note = path.with_suffix(".json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"sha256": "0" * 64}))
    altered = read_file(path, label="altered")
    note.unlink()
    alone = read_file(path, label="alone")

    assert (whole.step, whole.is_verified, whole.environment["threads"]) == (70, True, 1)
    assert (altered.is_verified, alone.is_verified, alone.step) == (False, None, None)


def test_the_newest_or_the_wanted_checkpoint_is_taken_and_what_is_kept_is_named(tmp_path):
    run = make_run("base", 0)
    saved = [save_checkpoint(tmp_path / "a", tmp_path, s, {"x": 1.0}, {}) for s in (30, 20, 10)]
    (tmp_path / saved[2].path).unlink()

    assert choose_checkpoint(run, saved, None, tmp_path).step == 30
    assert choose_checkpoint(run, saved, 20, tmp_path).step == 20
    with pytest.raises(NotFoundError) as error:
        choose_checkpoint(run, saved, 10, tmp_path)
    assert error.value.hint == "kept are those of steps 30, 20"
    with pytest.raises(NotFoundError, match="no checkpoint on this machine"):
        choose_checkpoint(run, saved, None, tmp_path / "elsewhere")
