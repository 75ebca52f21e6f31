"""A study as comparisons read it from the store."""

import dataclasses

import pytest

from ablate.analysis.comparison import compare
from ablate.analysis.loading import load
from ablate.errors import NotFoundError
from tests.support.factories import fake_store, make_scale_fix


def test_load_reads_the_study_through_the_store():
    data = make_scale_fix()

    loaded = load(fake_store(data), "scale-fix")

    assert compare(loaded) == compare(data)


def test_load_without_the_baseline_compares_with_the_first_named_and_says_so():
    store = fake_store(make_scale_fix())

    data = load(store, "scale-fix", ["phase_fixed", "phase_a"])

    assert data.baseline == "phase_fixed"
    assert data.names == ("phase_a", "phase_fixed")
    assert "compared with phase_fixed" in data.notes[0]
    assert load(store, "scale-fix", ["phase_a"], baseline="phase1").names == ("phase1", "phase_a")


def test_load_of_an_unknown_phase_names_the_closest():
    with pytest.raises(NotFoundError) as error:
        load(fake_store(make_scale_fix()), "scale-fix", ["phase_1"])

    assert error.value.hint == "did you mean 'phase1'?"


def test_load_for_a_comparison_reads_what_verdicts_need_and_what_is_asked_for():
    store = fake_store(make_scale_fix())

    data = load(store, "scale-fix", keys=["train/norm/final*"])

    assert compare(data) == dataclasses.replace(compare(load(store, "scale-fix")))
    assert "train/norm/final_conv_weight" in data.keys
    sparing = load(store, "scale-fix", keys=())
    assert "train/norm/final_conv_weight" not in sparing.keys
    assert "train/norm/final_conv_weight" in sparing.logged
