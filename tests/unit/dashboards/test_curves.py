import json
import math
from typing import Any

import pytest

from ablate.domain import Event
from dashboards.figures.curves import curves_figure, curves_info
from dashboards.theme import BASELINE, looks
from tests.support.factories import make_curve, make_data, make_scale_fix
from tests.support.figures import checked
from tests.support.present import present


def drawn(*arguments, **options):
    """Return the curves that there must be."""
    return present(curves_info(*arguments, **options))


def test_mean_and_range_are_over_the_seeds_at_each_step():
    data = make_data({"base": {0: {"a/b/k": [1.0, 4.0]}, 1: {"a/b/k": [3.0, 2.0]}}})

    (curves,) = drawn(data, "a/b/k").variants

    assert curves.mean.values == (2.0, 3.0)
    assert (curves.low.values, curves.high.values) == ((1.0, 2.0), (3.0, 4.0))
    assert curves.seeds[1].values == (3.0, 2.0)


def test_a_seed_that_ends_early_leaves_the_mean_of_those_that_go_on():
    data = make_data({"base": {0: {"a/b/k": [1.0, 1.0, 1.0]}, 1: {"a/b/k": [3.0]}}})

    (curves,) = drawn(data, "a/b/k").variants

    assert curves.mean.values == (2.0, 1.0, 1.0)


def test_steps_that_a_seed_skipped_are_not_part_of_the_mean():
    data = make_data(
        {"base": {0: {"a/b/k": {0: 1.0, 5: 1.0, 10: 1.0}}, 1: {"a/b/k": {0: 3.0, 10: 3.0}}}}
    )

    (curves,) = drawn(data, "a/b/k").variants

    assert curves.mean.steps == (0, 10)


def test_values_that_are_not_finite_leave_a_gap():
    data = make_data({"base": {0: {"a/b/k": [1.0, math.nan, math.inf]}}})
    info = drawn(data, "a/b/k")

    assert info.variants[0].mean.values == (1.0, None, None)
    json.dumps(curves_figure(info, looks(["base"], "base")), allow_nan=False)


def test_long_curves_are_drawn_as_means_that_keep_their_extremes():
    values = [1.0] * 5000
    values[1234] = 99.0
    info = drawn(make_data({"base": {0: {"a/b/k": values}}}), "a/b/k")

    (curves,) = info.variants
    assert info.stretch == 13
    assert len(curves.mean.steps) <= 400
    assert max(map(present, curves.high.values)) == 99.0
    assert curves.mean.values[0] == 1.0


def test_losses_stand_beside_their_silent_value():
    logged = {"train/loss/l1": [2.0, 1.0], "train/silent/l1": [1.0, 1.0]}
    data = make_data({"base": {0: logged}})

    assert present(drawn(data, "train/loss/l1").silent).values == (1.0, 1.0)
    assert drawn(data, "train/silent/l1").silent is None


@pytest.mark.parametrize(
    ("target", "band"),
    [
        ("0.075 +-20%", (0.06, 0.09)),
        (">= 8", (8.0, None)),
        ("<= 1.2", (None, 1.2)),
        ("drift < 10%", None),
    ],
)
def test_band_is_what_the_target_allows(target, band):
    data = make_data({"base": {0: {"a/b/k": [1.0]}}}, spec={"targets": {"a/b/k": target}})

    assert drawn(data, "a/b/k").band == (pytest.approx(band) if band else None)


def test_axis_is_logarithmic_where_positive_values_span_decades():
    wide, flat, signed = [1.0, 0.001], [1.0, 0.5], [100.0, -1.0]
    data = make_data({"base": {0: {"wide": wide, "flat": flat, "signed": signed}}})

    assert [drawn(data, k).is_log for k in ("wide", "flat", "signed")] == [True, False, False]


def test_events_are_marks_named_with_the_phases_that_had_them():
    logged = {"a/b/k": [1.0] * 11}
    both = Event("warmup_ended", 20, {}, 0.0)
    one = Event("guard_fired", 60, {"guard": "collapse"}, 0.0)
    data = make_data(
        {"base": {0: logged}, "other": {0: logged}},
        every=10,
        events={("base", 0): [both], ("other", 0): [both, one]},
    )

    marks = drawn(data, "a/b/k").marks

    assert [(m.step, m.text) for m in marks] == [
        (20, "warmup_ended"),
        (60, "guard collapse (other)"),
    ]


def test_events_of_every_start_and_routine_events_are_no_marks():
    routine = [Event("codebook_restarted", step, {}, 0.0) for step in range(10, 100, 10)]
    start, once = Event("data_ready", 0, {}, 0.0), Event("warmup_ended", 50, {}, 0.0)
    data = make_data(
        {"base": {0: {"a/b/k": [1.0] * 11}}},
        every=10,
        events={("base", 0): [start, *routine, once]},
    )

    assert [m.text for m in drawn(data, "a/b/k").marks] == ["warmup_ended"]


def test_a_key_without_points_has_no_figure():
    assert curves_info(make_data({"base": {0: {}}}), "a/b/k") is None


def test_figure_draws_band_seeds_mean_and_silent_line():
    data = make_scale_fix()
    info = drawn(data, "train/loss/l1", at_step=500)

    figure = checked(curves_figure(info, looks(data.names, data.baseline)))

    traces: Any = figure.data
    named = [trace.name for trace in traces if trace.name]
    assert named == [*data.names, "silent output"]
    # Range (two edges), three seeds and the mean of each of four phases, and the silent line.
    assert len(traces) == 4 * 6 + 1
    assert any(note.text == "compared here" for note in figure.layout.annotations)


def test_target_label_on_a_logarithmic_axis_stands_at_the_band():
    data = make_data(
        {"base": {0: {"a/b/k": [1.0, 0.001]}}}, spec={"targets": {"a/b/k": "0.075 +-20%"}}
    )

    figure = checked(curves_figure(drawn(data, "a/b/k"), looks(["base"], "base")))

    assert figure.layout.annotations[0].y == pytest.approx(math.log10(0.09))


def test_a_variant_keeps_its_look_and_the_baseline_is_grey():
    names = [f"v{i}" for i in range(20)]

    found = looks(names, "v3")

    assert found["v3"].color == BASELINE
    assert found == looks(names, "v3")
    assert len({(look.color, look.dash) for look in found.values()}) == 20


def test_curve_of_a_made_up_run_is_given_as_logged():
    assert make_curve("r", "a/b/k", [1.0, 2.0], every=5).steps == (0, 5)
