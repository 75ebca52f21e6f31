import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from markupsafe import escape

from ablate.analysis.comparison import compare
from ablate.domain import RunState
from ablate.errors import UsageError
from ablate.render.comparison.tables import summary_text
from dashboards.compare_page import compare_html, compare_page
from dashboards.figures.effects import effects_figure, effects_info
from dashboards.page import script_safe
from dashboards.report import report_html, report_markdown, write_report
from dashboards.theme import label, looks
from tests.support.factories import HOSTILE, hostile_data, make_data, make_scale_fix
from tests.support.figures import checked
from tests.support.present import present


class Reader(HTMLParser):
    """Collects tags, scripts and visible text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self.text = [], [], []
        self.inside = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = (tag, dict(attrs))
            self.scripts.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside = None

    def handle_data(self, data):
        if self.inside:
            tag, attrs, before = self.scripts[-1]
            self.scripts[-1] = (tag, attrs, before + data)
        else:
            self.text.append(data)


@pytest.fixture(scope="module")
def study():
    data = make_scale_fix()
    return data, compare(data)


@pytest.fixture(scope="module")
def report(study):
    return report_html(*study)


def data_blocks(reader):
    return [t for _, a, t in reader.scripts if a.get("type") == "application/json"]


def test_report_loads_nothing_and_runs_only_the_scripts_it_names(report):
    reader = Reader(report)

    policy = next(a["content"] for t, a in reader.tags if t == "meta" and "http-equiv" in a)
    running = [text for tag, attrs, text in reader.scripts if tag == "script" and not attrs]
    assert "default-src 'none'" in policy
    assert len(running) == 2
    for text in running:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not any(
        {"src", "onclick", "onload", "onerror"} & attrs.keys() for _, attrs in reader.tags
    )
    assert all(a["href"].startswith("#") for t, a in reader.tags if "href" in a)


def test_every_figure_has_its_data(report):
    reader = Reader(report)

    figures = [a["id"] for _, a in reader.tags if a.get("class") == "figure"]
    blocks = [a["id"] for _, a, _ in reader.scripts if a.get("type") == "application/json"]
    assert len(figures) > 20
    assert blocks == [f"{figure}-data" for figure in figures]
    for text in data_blocks(reader):
        assert checked(json.loads(text)).layout.height >= 100


def test_report_holds_the_numbers_of_the_comparison(study, report):
    _, comparison = study
    markdown = report_markdown(*study)

    for row in comparison.rows:
        for summary in row.values.values():
            assert summary_text(summary) in report
            assert summary_text(summary) in markdown
        for reason in row.reasons:
            assert str(escape(reason)) in report


def test_report_has_what_a_hand_written_one_has(report):
    text = "".join(Reader(report).text)

    for title in (
        "Summary",
        "Variants compared",
        "When it became clear",
        "Loss trends",
        "Codes (RVQ)",
        "Critical parameters",
        "Losses beside their silent values",
        "Loss budget",
        "Scale forces",
        "Events",
        "Curves",
    ):
        assert title in text


def test_same_data_gives_the_same_bytes(study, report):
    data = make_scale_fix()

    assert report_html(data, compare(data)) == report
    assert report_markdown(data, compare(data)) == report_markdown(*study)


def test_hostile_names_stay_text_on_a_page():
    data = hostile_data()

    page = compare_html(compare(data), data)

    reader = Reader(page)
    assert sum(tag == "script" for tag, _ in reader.tags) == page.count("<script")
    assert not any(tag == "img" for tag, _ in reader.tags)
    assert "\x1b" not in page
    assert "<script>alert(1)</script>" in "".join(reader.text)
    for block in data_blocks(reader):
        assert "<" not in block


def test_hostile_names_stay_text_in_a_figure():
    data = hostile_data()
    comparison = compare(data)
    info = present(effects_info(comparison, comparison.metrics[0]))

    figure = checked(effects_figure(info, looks(HOSTILE, HOSTILE[0])))

    traces: Any = figure.data
    assert "<script>" not in "".join(trace.name for trace in traces)
    assert label("<b>") == "&lt;b&gt;"


def test_effects_are_the_contrasts_of_the_comparison(study):
    _, comparison = study
    metric = comparison.metrics[0]

    info = present(effects_info(comparison, metric))

    for effect in info.effects:
        contrast = present(comparison.row(effect.variant).values[metric.key].contrast_to("phase1"))
        assert info.is_ratio
        assert (effect.difference, effect.low) == (contrast.ratio, contrast.ratio_low)
    assert [e.variant for e in info.effects] == ["phase2a", "phase_a", "phase_fixed"]


def test_effects_that_are_no_ratios_are_differences(study):
    _, comparison = study
    metric = next(m for m in comparison.metrics if m.key == "valid/audio/si_sdr_db")

    info = present(effects_info(comparison, metric))

    assert not info.is_ratio
    for effect in info.effects:
        contrast = present(comparison.row(effect.variant).values[metric.key].contrast_to("phase1"))
        assert (effect.difference, effect.high) == (contrast.difference, contrast.ci_high)


def test_effects_of_the_baseline_alone_have_no_figure():
    data = make_data({"base": {0: {"k": [1.0]}}}, spec={"metrics": {"k": "min"}})
    comparison = compare(data)

    assert effects_info(comparison, comparison.metrics[0]) is None


def test_a_script_element_cannot_be_ended_by_its_data():
    text = '{"a":"</script><!--\u2028"}'

    assert json.loads(script_safe(text)) == json.loads(text)
    assert "<" not in script_safe(text)


def test_files_are_written_whole_and_by_their_name(tmp_path, study):
    data, comparison = study

    write_report(tmp_path / "new" / "r.md", data, comparison)
    write_report(tmp_path / "r.html", data, comparison)
    compare_page(comparison, data, tmp_path / "c.html")

    assert (tmp_path / "new" / "r.md").read_text("utf-8").startswith("# scale-fix")
    assert {p.name for p in tmp_path.iterdir()} == {"new", "r.html", "c.html"}
    with pytest.raises(UsageError, match=r"r\.pdf"):
        write_report(tmp_path / "r.pdf", data, comparison)


def test_a_study_without_points_still_has_a_report():
    data = make_data({"base": {0: {}}}, spec={"metrics": {"valid/loss/l1": "min"}})
    comparison = compare(data)

    assert "no run has logged a point" in report_html(data, comparison)
    assert "no run has logged a point" in report_markdown(data, comparison)


def test_markdown_report_of_hostile_names_has_no_html():
    data = hostile_data()

    text = report_markdown(data, compare(data))

    assert not re.search(r"<(script|img|b|study)", text)
    assert "\x1b" not in text


def test_a_report_of_runs_under_way_says_so_first_and_shows_withheld_differences_as_open():
    key = "valid/loss/l1"
    base = {s: {key: [2.0 + 0.01 * s] * 11} for s in range(4)}
    odd = {s: {key: [1.0 + 0.01 * s] * 11} for s in range(3)} | {3: {key: [1.0] * 4}}
    late = {0: {key: [1.0] * 4}}
    states = {("odd", 3): RunState.DIVERGED, ("late", 0): RunState.RUNNING}
    data = make_data(
        {"base": base, "odd": odd, "late": late},
        every=10,
        spec={"metrics": {key: "min"}},
        states=states,
    )
    comparison = compare(data)

    line = "At step 100 of 700: 1 of 9 runs is under way; verdicts are previews. At step 100, 9"
    assert line in report_markdown(data, comparison)
    assert line in "".join(Reader(report_html(data, comparison)).text)
    (effect,) = present(effects_info(comparison, comparison.metrics[0])).effects
    assert (effect.variant, effect.is_resolved) == ("odd", False)
