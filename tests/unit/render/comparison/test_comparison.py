import csv
import io
import json
import math
import re
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from ablate.analysis.comparison import compare
from ablate.analysis.judging.verdicts import Verdict
from ablate.analysis.statistics.contrasts import ContrastVerdict
from ablate.domain import RunState
from ablate.errors import NotFoundError
from ablate.render.comparison.tables import CONTRAST_TONES, VERDICT_TONES, summary_text
from ablate.render.comparison.text import render
from ablate.render.tables import latex_text
from ablate.text import from_csv_text, printable
from tests.support.factories import (
    HEALTHY,
    HOSTILE,
    PHASES,
    hostile_data,
    make_data,
    make_scale_fix,
)

FORMATS = ("table", "md", "csv", "json", "ndjson", "html", "latex")


def strict(text):
    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def comparison():
    return compare(make_scale_fix())


@pytest.mark.parametrize("fmt", FORMATS)
def test_hostile_names_pass_through_every_format_unharmed(fmt):
    text = render(compare(hostile_data()), fmt)

    if fmt in ("csv", "json", "ndjson"):
        return  # data is given as it is; the next tests read it back
    assert "\x1b" not in text
    assert "<script>" not in text or fmt in ("table", "latex")
    assert "<img" not in text or fmt in ("table", "latex")


def test_hostile_names_come_back_from_json_and_csv_as_given():
    comparison = compare(hostile_data())

    rows = strict(render(comparison, "json"))["rows"]
    assert tuple(row["variant"] for row in rows) == HOSTILE
    lines = render(comparison, "ndjson").split("\n")
    assert tuple(strict(line)["variant"] for line in lines) == HOSTILE
    cells = list(csv.DictReader(io.StringIO(render(comparison, "csv"))))
    assert tuple(dict.fromkeys(from_csv_text(cell["variant"]) for cell in cells)) == HOSTILE


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_terminal_text_fits_and_shows_names_with_brackets(width):
    text = render(compare(hostile_data()), "table", width=width)

    assert max(cell_len(line) for line in text.split("\n")) <= width
    assert "\x1b" not in text
    for name in HOSTILE:
        assert printable(name).split(" ")[0] in text.replace("\n", "")


def test_colour_is_written_only_when_asked(comparison):
    assert "\x1b[" in render(comparison, "table", width=120, color=True)
    assert "\x1b" not in render(comparison, "table", width=120)


def test_plain_text_is_whole_without_lines_or_colour(comparison):
    text = render(comparison, "table", is_full=True)

    assert "\x1b" not in text
    assert "…" not in text
    assert not re.search(r"[─━│┃]", text)
    for row in comparison.rows:
        assert row.variant in text
        assert all(reason in text for reason in row.reasons)


@pytest.mark.parametrize("width", [50, 70, 100, 140, 240])
def test_every_value_is_on_a_terminal_of_any_width(comparison, width):
    text = render(comparison, "table", width=width, is_full=True)

    for row in comparison.rows:
        for summary in row.values.values():
            for part in summary_text(summary).split(" "):
                assert part in text


def test_same_numbers_in_json_csv_markdown_latex_html_and_plain(comparison):
    rows = {r["variant"]: r for r in strict(render(comparison, "json"))["rows"]}
    cells = {
        (c["variant"], c["key"]): c for c in csv.DictReader(io.StringIO(render(comparison, "csv")))
    }
    texts = [render(comparison, fmt, is_full=True) for fmt in ("table", "md", "html")]
    latex = render(comparison, "latex")

    for row in comparison.rows:
        for key, summary in row.values.items():
            value, cell = rows[row.variant]["values"][key], cells[row.variant, key]
            assert value["mean"] == float(cell["mean"]) == summary.mean
            assert value["ci_low"] == float(cell["ci_low"]) == summary.ci_low
            assert value["n"] == int(cell["n"]) == summary.n
            shown = summary_text(summary)
            assert all(shown in text for text in texts)
            is_ranked = next(m for m in comparison.metrics if m.key == key).goal != "target"
            assert not is_ranked or latex_text(shown) in latex
            if contrast := summary.contrast_to("base"):
                assert value["contrast"]["p"] == float(cell["p"]) == contrast.p
                assert value["contrast"]["difference"] == float(cell["difference"])


def test_json_has_the_documented_shape(comparison):
    document = strict(render(comparison, "json"))

    assert document["schema"] == "ablate.compare/1"
    assert {"study", "at_step", "baseline", "metrics", "rows"} <= document.keys()
    assert {"key", "goal", "rule", "target", "primary", "margin"} <= document["metrics"][0].keys()
    row = document["rows"][1]
    assert {"variant", "runs", "diverged", "failed", "verdict", "reasons", "values"} <= row.keys()
    value = row["values"]["train/audio/rms"]
    assert {"mean", "kind", "ci_low", "ci_high", "n", "initial", "change", "status"} <= value.keys()
    contrast = value["contrast"]
    assert value["contrasts"] == [contrast]
    assert {"difference", "ci_low", "ci_high", "p", "p_smallest", "pairs"} <= contrast.keys()
    assert {"verdict", "method", "n_variant", "n_baseline"} <= contrast.keys()
    assert {"reference", "primary", "scale", "ratio", "ratio_low", "ratio_high"} <= contrast.keys()
    assert {"p_equal", "within_margin", "error", "df", "seeds_low"} <= contrast.keys()
    assert (document["preview"], value["stands_at"]) == (None, None)


@pytest.mark.parametrize(
    ("value", "kind", "word"),
    [(math.nan, "nan", "NaN"), (math.inf, "+inf", "Infinity"), (-math.inf, "-inf", "-Infinity")],
)
def test_numbers_that_are_not_finite_are_null_with_a_kind_and_words_in_csv(value, kind, word):
    data = make_data(
        {"base": {0: {"valid/loss/l1": [1.0, value]}}},
        spec={"metrics": {"valid/loss/l1": {"goal": "min", "rule": "last"}}},
    )
    comparison = compare(data)

    summary = strict(render(comparison, "json"))["rows"][0]["values"]["valid/loss/l1"]
    (cell,) = csv.DictReader(io.StringIO(render(comparison, "csv")))
    assert (summary["mean"], summary["kind"]) == (None, kind)
    assert cell["mean"] == word
    assert cell["ci_low"] == ""
    assert word in render(comparison, "table")


def test_markdown_rows_all_have_as_many_cells_as_the_header():
    text = render(compare(hostile_data()), "md", is_full=True)

    table = [line for line in text.split("\n") if line.startswith("| ")]
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table[:4]}
    assert counts == {len(HOSTILE) + 3}


def test_latex_escapes_everything_special():
    text = render(compare(hostile_data()), "latex")
    body = text.replace("{tabular}", "").replace("{table}", "")

    assert not re.search(r"(?<!\\)[#%]", body)
    assert r"\textbackslash{}slash \& 100\% of \$x\_1\textasciicircum{}2 \{y\}" in body


def test_html_holds_no_tag_of_a_name():
    text = render(compare(hostile_data()), "html")

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>" not in text


def test_nothing_to_compare_is_said_in_every_format():
    comparison = compare(make_data({"base": {0: {}}}, spec={"metrics": {"valid/loss/l1": "min"}}))

    for fmt in FORMATS:
        assert render(comparison, fmt)
    assert "no run has logged a point" in render(comparison, "table", width=80)
    assert strict(render(comparison, "json"))["at_step"] is None


@pytest.mark.parametrize("fmt", FORMATS)
def test_same_data_gives_the_same_bytes(fmt):
    first, second = (render(compare(make_scale_fix()), fmt) for _ in range(2))

    assert first == second


def test_diverged_runs_are_named_beside_the_number_of_runs():
    import dataclasses

    phases = {**PHASES, "boom": dataclasses.replace(HEALTHY, diverges_at=120)}
    text = render(compare(make_scale_fix(phases=phases)), "table", is_full=True)

    assert "3 (1 diverged)" in text
    assert "(n=2)" in text


def with_seeds(first: int, second: int):
    """Compare two variants with so many seeds, the second with a lower loss."""
    key = "valid/loss/l1"
    curves = {
        name: {s: {key: [level + 0.01 * math.sin(s * level) + 0.001 * s] * 3} for s in range(n)}
        for name, n, level in (("base", first, 2.0), ("lower", second, 1.5))
    }
    return compare(make_data(curves, spec={"metrics": {key: "min"}}))


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("seeds", [(41, 41), (100, 100), (1, 100), (100, 1), (1, 1)])
def test_any_number_of_seeds_can_be_shown(fmt, seeds):
    assert "lower" in render(with_seeds(*seeds), fmt)


def under_way():
    key = "valid/loss/l1"
    return compare(
        make_data(
            {"base": {0: {key: [2.0] * 11}}, "late": {0: {key: [1.0] * 4}}},
            every=10,
            spec={"metrics": {key: "min"}},
            states={("late", 0): RunState.RUNNING},
        )
    )


@pytest.mark.parametrize("fmt", ["table", "md", "latex", "html"])
def test_that_runs_are_under_way_is_said_before_everything_else(fmt):
    text = render(under_way(), fmt)

    line = "At step 100 of 700: 1 of 2 runs is under way; verdicts are previews"
    assert line in text
    assert text.index(line) < text.index("scale-fix at step" if fmt == "latex" else "At step 100, ")
    assert "@30" in text


def test_what_is_under_way_is_in_json_and_csv():
    document = strict(render(under_way(), "json"))
    lines = [strict(line) for line in render(under_way(), "ndjson").split("\n")]
    cells = list(csv.DictReader(io.StringIO(render(under_way(), "csv"))))

    assert document["preview"].startswith("at step 100 of 700: 1 of 2 runs is under way")
    assert {line["preview"] for line in lines} == {document["preview"]}
    late = document["rows"][1]
    assert (late["verdict"], late["values"]["valid/loss/l1"]["stands_at"]) == ("under way", 30)
    assert [cell["stands_at"] for cell in cells] == ["", "30"]


def test_other_seeds_are_said_to_be_compared_by_means():
    key = "valid/loss/l1"
    comparison = compare(
        make_data(
            {
                "base": {s: {key: [2.0 + 0.01 * s] * 3} for s in range(1, 4)},
                "new": {s: {key: [1.0 + 0.01 * s] * 3} for s in range(11, 14)},
            },
            spec={"metrics": {key: "min"}},
        )
    )

    text = render(comparison, "table", is_full=True)
    (cell,) = (c for c in csv.DictReader(io.StringIO(render(comparison, "csv"))) if c["method"])
    assert "Noise: each side's own seeds (Welch)." in text
    assert (cell["method"], cell["n_variant"], cell["n_baseline"]) == ("welch", "3", "3")
    assert (cell["p"], cell["pairs"], cell["contrast"]) == ("", "0", "better")


def test_every_verdict_has_a_tone():
    assert set(VERDICT_TONES) == set(Verdict)
    assert set(CONTRAST_TONES) | {"equal"} == set(get_args(ContrastVerdict))


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=60)
@given(st.lists(finite, min_size=6, max_size=6), st.lists(finite, min_size=6, max_size=6))
def test_any_finite_numbers_can_be_compared_and_written(firsts, lasts):
    key, target = "valid/loss/l1", "train/norm/w"
    points = list(zip(firsts, lasts, strict=True))
    data = make_data(
        {
            "base": {s: {key: points[s], target: points[s]} for s in range(3)},
            "other": {s: {key: points[3 + s], target: points[3 + s]} for s in range(3)},
        },
        spec={"metrics": {key: "min"}, "targets": {target: "drift < 10%"}},
    )
    comparison = compare(data)

    for fmt in FORMATS:
        render(comparison, fmt)
    strict(render(comparison, "json"))


def test_a_key_that_was_not_read_is_still_suggested():
    data = make_data({"base": {0: {"valid/loss/l1": [1.0]}}}, logged=("train/perf/steps_per_s",))

    with pytest.raises(NotFoundError) as error:
        compare(data, metrics=["train/perf/step_per_s"])

    assert error.value.hint == "did you mean 'train/perf/steps_per_s'?"
