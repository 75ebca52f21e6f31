"""Which points are copied: few enough, and the same in pieces as at once."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ablate.mirrors.names import accepted
from ablate.mirrors.thinning import lasts, others, stride_of
from tests.support.factories import make_curve, make_run


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(3, 3000))
def test_no_key_has_more_points_than_allowed(planned: int, last: int, max_points: int) -> None:
    stride = stride_of(make_run("a", 0, config={"steps": planned}), last, max_points)

    assert math.ceil(last / stride) + 1 <= max_points


def test_what_was_planned_decides_while_a_run_keeps_to_it() -> None:
    run = make_run("a", 0, config={"steps": 100_000})

    assert {stride_of(run, last, 2000) for last in (0, 500, 99_999, 100_000)} == {51}
    assert stride_of(run, 200_000, 2000) == 102
    assert stride_of(make_run("a", 0, config={}), 1999, 2000) == 1


@given(
    st.dictionaries(st.integers(0, 300), st.sampled_from([1.0, math.nan, math.inf]), min_size=1),
    st.integers(1, 20),
    st.integers(0, 20),
)
def test_pieces_that_end_between_ranges_give_what_the_whole_gives(
    points: dict[int, float], stride: int, cut: int
) -> None:
    steps = sorted(points)
    whole = make_curve("r", "k", {s: points[s] for s in steps})
    first = make_curve("r", "k", {s: points[s] for s in steps if s <= cut * stride})
    rest = make_curve("r", "k", {s: points[s] for s in steps if s > cut * stride})

    in_pieces = [p.step for p in (*lasts([first], stride), *lasts([rest], stride))]
    at_once = [p.step for p in lasts([whole], stride)]
    left_out = [p.step for p in others([whole], stride)]
    sent = [s for s in steps if not math.isinf(points[s])]

    assert in_pieces == at_once
    assert sorted(at_once + left_out) == sent
    assert at_once[-1:] == sent[-1:]  # the last point is always there
    assert (0 in at_once) == (0 in sent)


def test_names_that_mlflow_takes_stay_and_others_stay_apart() -> None:
    assert accepted("train/loss/l1") == "train/loss/l1"
    odd = ["a/<", "a/>", "a/..", "a/.", "a/_", "x" * 400, "x" * 401, "//", "/a"]

    names = [accepted(name) for name in odd]

    assert len(set(names)) == len(odd)
    assert all(len(name) <= 230 for name in names)
