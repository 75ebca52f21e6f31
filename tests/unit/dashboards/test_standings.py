"""The figure of where variants stand: seeds, means, the target, and what is decided."""

from __future__ import annotations

import dataclasses
import math

import pytest

from ablate.analysis.comparison import compare
from ablate.domain import Copy
from ablate.render.comparison.brief import sorted_rows
from dashboards.figures.standings import StandingsInfo, standings_figure, standings_info
from dashboards.theme import looks
from tests.support.arms import KEY, LEVEL, SPEC, arm
from tests.support.factories import make_data
from tests.support.present import present

STUDY = {"base": arm(2.0), "low": arm(1.0), "near": arm(2.02, 0.001)}


def info_of(key: str, study=STUDY) -> StandingsInfo:
    comparison = compare(make_data(study, every=10, spec=SPEC))
    metric = next(metric for metric in comparison.metrics if metric.key == key)
    return present(standings_info(comparison, metric, sorted_rows(comparison)))


def test_an_interval_leaves_the_line_of_the_reference_just_where_it_is_decided() -> None:
    info = info_of(KEY)
    found = {s.variant: s for s in info.standings}

    assert info.reference == "base"
    assert info.null == pytest.approx(2.0, rel=0.02)
    assert present(found["low"].high) < present(info.null)
    assert present(found["near"].low) < present(info.null) < present(found["near"].high)
    assert found["base"].low is None
    # A ratio of one half about the reference's level.
    assert present(found["low"].low) < found["low"].mean < present(found["low"].high)


def test_rows_are_sorted_by_verdict_and_hold_every_seed() -> None:
    info = info_of(KEY)

    assert [s.variant for s in info.standings] == ["low", "base", "near"]
    assert all(len(s.seeds) == 3 for s in info.standings)


def test_a_target_is_a_band_and_values_over_decades_have_a_logarithmic_axis() -> None:
    info = info_of(LEVEL)

    assert present(info.band) == pytest.approx((0.06, 0.09))
    assert info.is_log
    assert not info_of(KEY).is_log


def test_the_axis_holds_all_seeds_and_the_target_not_vast_intervals() -> None:
    info = info_of(LEVEL)
    figure = standings_figure(info, looks(["base", "low", "near"], "base"))

    low, high = figure["layout"]["xaxis"]["range"]
    assert 10**low < 0.001 < 0.09 < 10**high
    assert 10**high < 1


def test_where_no_value_is_finite_there_is_no_figure() -> None:
    comparison = compare(
        make_data({"base": {0: {KEY: [math.nan]}}}, spec={"metrics": {KEY: "min"}})
    )

    assert standings_info(comparison, comparison.metrics[0], sorted_rows(comparison)) is None


@pytest.mark.parametrize("scale", ["identity", "log"])
def test_a_light_band_shows_how_far_copies_of_the_reference_lie(scale: str) -> None:
    study = STUDY | {"copy": arm(2.1)}
    spec = {"metrics": {KEY: {"goal": "min", "scale": scale}}}
    data = make_data(study, every=10, spec=spec)
    copied = dataclasses.replace(
        data,
        variants=data.variants[:-1],
        runs=tuple(run for run in data.runs if run.variant != "copy"),
        copies=(dataclasses.replace(data.variants[-1], copy=Copy(of="base", seeds=(0, 1, 2))),),
        copy_runs=data.runs_of("copy"),
    )
    comparison = compare(copied)
    info = present(standings_info(comparison, comparison.metrics[0], sorted_rows(comparison)))
    found = looks([s.variant for s in info.standings], "base")
    [low, high], null = present(info.floor), present(info.null)

    assert low < null < high
    far = present(comparison.floor("base", KEY)).contrasts["copy"]
    end = null * present(far.ratio) if scale == "log" else null + present(far.difference)
    assert end == pytest.approx(high)
    figure = standings_figure(info, found)
    assert [(s["x0"], s["x1"]) for s in figure["layout"]["shapes"]] == [(low, high), (null, null)]
    assert "grey: as far as its copies lie" in figure["layout"]["xaxis"]["title"]["text"]
    assert info_of(KEY).floor is None
