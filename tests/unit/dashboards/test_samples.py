"""Sounds and pictures of a run in its report."""

import re

import pytest

from ablate.analysis.comparison import compare
from ablate.render.document import Clips, Heading, Notes
from dashboards.report import report_html, write_report
from dashboards.samples import sample_blocks
from tests.support.factories import HEALTHY, make_scale_fix
from tests.support.samples import make_samples


def test_what_belongs_to_an_utterance_stands_together_original_first(tmp_path):
    heading, notes, shown = sample_blocks(make_samples(tmp_path), max_bytes=10**6)

    assert heading == Heading("Samples of phase_fixed-s0 at step 700")
    assert notes == Notes(())
    assert isinstance(shown, Clips)
    first = shown.clips[0]
    assert [clip.title for clip in shown.clips] == ["u0", "u1"]
    assert [s.label for s in first.sounds] == ["original", "output", "conversion"]
    assert all(s.uri.startswith("data:audio/wav;base64,UklGR") for s in first.sounds)
    assert first.picture.startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize(("max_bytes", "shown"), [(10**6, 3), (20_000, 2), (100, 0)])
def test_what_would_make_the_page_too_large_is_left_out_and_told(tmp_path, max_bytes, shown):
    _, notes, clips = sample_blocks(make_samples(tmp_path, utterances=3), max_bytes=max_bytes)

    assert isinstance(clips, Clips)
    assert len(clips.clips) == shown
    assert isinstance(notes, Notes)
    assert bool(notes.lines) == (shown < 3)
    if notes.lines:
        assert notes.lines[0].startswith(f"{3 - shown} of 3 utterances are left out")
        assert "ablate artifacts phase_fixed-s0 -o FOLDER" in notes.lines[0]


def test_report_holds_the_samples_and_its_policy_allows_them_alone(tmp_path):
    data = make_scale_fix(phases={"phase_fixed": HEALTHY})
    samples = {"phase_fixed": make_samples(tmp_path)}

    page = report_html(data, compare(data), samples)

    assert page.count("<audio controls") == 6
    assert page.count("<img src=") == 2
    assert "media-src data:;" in page
    assert all(uri.startswith("data:") for uri in re.findall(r' src="([^"]+)"', page))
    assert "<audio controls" not in report_html(data, compare(data))


def test_a_markdown_report_has_no_samples(tmp_path):
    data = make_scale_fix(phases={"phase_fixed": HEALTHY})

    write_report(
        tmp_path / "r.md", data, compare(data), {"phase_fixed": make_samples(tmp_path / "s")}
    )

    assert "data:audio" not in (tmp_path / "r.md").read_text(encoding="utf-8")
