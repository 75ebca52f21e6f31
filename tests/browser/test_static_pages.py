"""The pages that are written to a file, opened in a real browser without a network."""

import functools
import shutil

import pytest

from ablate.analysis.comparison import compare
from dashboards.compare_page import compare_page
from dashboards.report import write_report
from tests.support.factories import HEALTHY, hostile_data, make_scale_fix
from tests.support.samples import make_samples

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs a chromium on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield browser
        browser.close()


def opened(browser, path, width=1280):
    """Return the page, all drawn, with what it complained of and what it asked for."""
    page = browser.new_page(viewport={"width": width, "height": 1000})
    complaints, requests = [], []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.on(
        "request", lambda r: requests.append(r.url) if r.url[:5] not in ("file:", "data:") else 0
    )
    page.goto(path.as_uri())
    draw_all(page)
    return page, complaints, requests


def draw_all(page):
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.figure')].every(f => f.querySelector('.main-svg'))"
    )


@pytest.fixture(scope="module")
def report(browser, tmp_path_factory):
    """Opens one report in a window of a width, once for each width."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    data = make_scale_fix()
    write_report(path, data, compare(data))
    return functools.cache(lambda width: opened(browser, path, width))


def test_report_draws_every_figure_offline_without_complaint(report):
    page, complaints, requests = report(1280)

    assert complaints == []
    assert requests == []
    assert page.locator(".figure .main-svg").count() > 20


@pytest.mark.parametrize("width", [400, 1280])
def test_page_does_not_scroll_sideways(report, width):
    page, _, _ = report(width)

    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0


def test_samples_load_and_play(browser, tmp_path):
    data = make_scale_fix(phases={"phase_fixed": HEALTHY})
    samples = {"phase_fixed": make_samples(tmp_path / "samples", utterances=1, seconds=0.5)}
    write_report(tmp_path / "report.html", data, compare(data), samples)

    page, complaints, requests = opened(browser, tmp_path / "report.html")

    assert (complaints, requests) == ([], [])
    page.wait_for_function("() => [...document.querySelectorAll('audio')].every(a => a.duration)")
    lengths = page.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)")
    assert lengths == pytest.approx([0.5] * 3, abs=0.01)
    assert page.evaluate("document.querySelector('.clip img').naturalWidth") == 1
    page.evaluate("const a = document.querySelector('audio'); a.muted = true; a.play()")
    page.wait_for_function("() => document.querySelector('audio').currentTime > 0.1")
    page.close()


def test_hostile_names_run_nothing(browser, tmp_path):
    data = hostile_data()
    compare_page(compare(data), data, tmp_path / "page.html")

    page, complaints, _ = opened(browser, tmp_path / "page.html")

    assert complaints == []
    assert "<script>alert(1)</script>" in page.inner_text("body")
    drawn = page.locator(".figure").last.inner_text()
    assert "<script>" in drawn
    page.close()
