"""The table for a paper: who is best, who cannot be told from it, differences."""

from __future__ import annotations

import math
import re

from ablate.analysis.comparison import compare
from ablate.render.comparison.text import render
from tests.support.factories import make_data, make_scale_fix

KEY, OTHER = "valid/loss/l1", "valid/audio/si_sdr_db"


def arm(loss: float, db: float, seeds: int = 3):
    return {
        s: {
            KEY: [loss * (1 + 0.02 * math.sin(7 * s + 40 * loss))] * 11,
            OTHER: [db + 0.1 * math.sin(5 * s + db)] * 11,
        }
        for s in range(seeds)
    }


SPEC = {
    "metrics": {KEY: {"goal": "min", "primary": True}, OTHER: "max"},
    "targets": {"train/audio/rms": "0.075 +-20%"},
}
STUDY = {
    "base": arm(2.0, 1.0),
    "low": arm(1.0, 9.0),
    "as_low": arm(1.01, 3.0),
    "late": {0: {}},
}


def cells(text: str) -> dict[str, list[str]]:
    lines = [line.removesuffix(r" \\") for line in text.splitlines() if " & " in line]
    return {line.split(" & ")[0]: line.split(" & ")[1:] for line in lines}


def test_the_best_and_its_ties_are_bold_in_each_metric() -> None:
    table = cells(render(compare(make_data(STUDY, every=10, spec=SPEC)), "latex"))

    bold = {name: [c.startswith(r"\textbf") for c in row[:2]] for name, row in table.items()}
    assert bold["base"] == [False, False]
    assert bold["low"] == [True, True]
    assert bold[r"as\_low"] == [True, False]


def test_differences_stand_in_the_table_with_what_is_decided_marked() -> None:
    text = render(compare(make_data(STUDY, every=10, spec=SPEC)), "latex")
    table = cells(text)

    assert table["variant"] == [
        r"l1 $\downarrow$",
        r"si\_sdr\_db $\uparrow$",
        r"$\Delta$ l1",
    ]
    assert re.fullmatch(r"x0\.\d+ \[0\.\d+, 0\.\d+\]\*", table["low"][2])
    assert table["base"][2] == ""
    assert r"$\Delta$: difference to base" in text


def test_the_caption_is_short_and_who_has_no_data_is_left_out() -> None:
    text = render(compare(make_data(STUDY, every=10, spec=SPEC)), "latex")

    assert r"\caption{scale-fix at step 100, mean over 3 seeds.}" in text
    assert "late" not in text


def test_a_failed_variant_is_never_the_best() -> None:
    comparison = compare(make_scale_fix())
    failed = {row.variant for row in comparison.rows if row.verdict == "failed"}

    assert failed
    assert not any(metric.best & failed for metric in comparison.metrics)


def test_several_references_are_named_in_the_table() -> None:
    data = make_data(
        STUDY,
        every=10,
        spec=SPEC | {"references": ["base", "low"]},
    )
    table = cells(render(compare(data), "latex"))

    assert [part.rpartition(" ")[2] for part in table[r"as\_low"][2].split("; ")] == [
        "(base)",
        "(low)",
    ]
