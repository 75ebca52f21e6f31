"""MLflow's own UI, in a real browser, shows what the database holds."""

from __future__ import annotations

import json
import math
import shutil
import signal
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.patience import PATIENCE_S
from tests.support.present import present
from tests.support.projects import STUDY, Project, kill, make_project

# Warnings are MLflow's own, about the libraries it uses.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("default"),
]
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose runs, one of them resumed, are in MLflow."""
    project = make_project(tmp_path_factory.mktemp("mirrored"), STUDY)
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", "--steps", "70")
    project.ablate("mlflow", "sync")
    project.ablate("run", "toy")
    project.ablate("mlflow", "sync")
    return project


@pytest.fixture(scope="module")
def address(mirrored: Project) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOST", "0.0.0.0")  # as clusters export it
        server = mirrored.start("mlflow", "ui", "--port", str(port))
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return urllib.request.urlopen(url, timeout=5).status == 200
        except (urllib.error.URLError, ConnectionError):
            return False

    mirrored.wait_for(answers)
    yield url
    kill(server, signal.SIGTERM)


def test_ui_listens_on_this_machine_and_answers_nobody_elses_pages(address: str) -> None:
    port = urllib.parse.urlsplit(address).port
    listening = [c.laddr for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {a.ip for a in listening if a and a.port == port} == {"127.0.0.1"}
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        request = urllib.request.Request(
            f"{address}/api/2.0/mlflow/experiments/create", b'{"name": "x"}', headers
        )
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=PATIENCE_S)


def client(project: Project):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{project.folder}/.ablate/mlflow/mlflow.db")


def remote_runs(project: Project) -> dict[str, Any]:
    mlflow = client(project)
    experiment = present(mlflow.get_experiment_by_name("ablate/toy"))
    found = mlflow.search_runs([experiment.experiment_id], "tags.`ablate.run` LIKE '%'")
    return {str(run.info.run_name): run for run in found}


def test_values_in_mlflow_equal_the_database(mirrored: Project) -> None:
    mlflow = client(mirrored)
    runs = remote_runs(mirrored)

    assert set(runs) == {"slow-s0", "slow-s1", "fast-s0", "fast-s1"}
    for label, run in runs.items():
        variant, _, seed = label.rpartition("-s")
        for key in ("train/loss/total", "train/audio/rms"):
            ours = mirrored.rows(
                "select step, value, time from run_metrics "
                "where variant = ? and seed = ? and key = ? order by step",
                variant,
                int(seed),
                key,
            )
            theirs = sorted(mlflow.get_metric_history(run.info.run_id, key), key=lambda m: m.step)
            assert [(m.step, m.value, m.timestamp) for m in theirs] == [
                (step, value, round(time * 1000)) for step, value, time in ours
            ]
            assert len(ours) == 201


def test_runs_carry_factors_and_config_as_params_and_their_origin_as_tags(
    mirrored: Project,
) -> None:
    run = remote_runs(mirrored)["fast-s1"]

    assert run.data.params["variant"] == "fast"
    assert run.data.params["seed"] == "1"
    assert run.data.params["lr"] == "0.1"
    assert run.data.tags["ablate.study"] == "toy"
    assert run.info.status == "FINISHED"


def test_syncing_again_or_anew_doubles_nothing(mirrored: Project) -> None:
    def content() -> dict[str, list[tuple[int, float]]]:
        mlflow = client(mirrored)
        return {
            label: [
                (m.step, m.value)
                for m in mlflow.get_metric_history(run.info.run_id, "train/loss/total")
            ]
            for label, run in remote_runs(mirrored).items()
        }

    before = content()
    mirrored.ablate("mlflow", "sync")
    assert content() == before
    mirrored.ablate("mlflow", "sync", "--rebuild")
    assert content() == before


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_ui_lists_the_runs_and_draws_two_phases(
    mirrored: Project, address: str, tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    runs = remote_runs(mirrored)
    experiment = runs["slow-s0"].info.experiment_id
    chosen = [runs[label].info.run_id for label in ("slow-s0", "fast-s0")]
    query = urllib.parse.urlencode(
        {
            "runs": json.dumps(chosen),
            "metric": json.dumps("train/loss/total"),
            "experiments": json.dumps([experiment]),
            "plot_metric_keys": json.dumps(["train/loss/total"]),
        }
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(f"{address}/#/experiments/{experiment}/runs")
        for label in runs:
            page.get_by_text(label, exact=True).first.wait_for()
        page.screenshot(path=tmp_path / "runs.png")
        page.goto(f"{address}/#/metric?{query}")
        page.locator(".js-plotly-plot path.js-line").nth(1).wait_for(state="attached")
        drawn = [trace.get_attribute("d") for trace in page.locator("path.js-line").all()]
        legend = page.locator("body").inner_text()
        page.screenshot(path=tmp_path / "curves.png")
        browser.close()

    assert len([path for path in drawn if path and len(path) > 100]) >= 2
    assert "slow-s0" in legend
    assert "fast-s0" in legend


def test_infinities_are_not_shown_as_numbers(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write(
        "toytrain.py",
        "def train(config, run):\n"
        "    for step, x in enumerate([1.0, float('inf'), float('nan'), 2.0]):\n"
        "        run.log({'train/loss/total': x, 'train/é/日本<x>🙂': x}, step)\n",
    )
    project.ablate("study", "create", "toy")
    project.ablate("run", "toy", "--only", "slow")
    project.ablate("mlflow", "sync")

    mlflow = client(project)
    run = remote_runs(project)["slow-s0"]
    history = mlflow.get_metric_history(run.info.run_id, "train/loss/total")

    values = {m.step: m.value for m in history}
    assert values[0] == 1.0
    assert values[3] == 2.0
    assert 1 not in values
    assert math.isnan(values[2])
    (name,) = (n for n in run.data.metrics if n.startswith("train/é/日本_x__-"))
    assert run.data.tags[f"ablate.key.{name}"] == "train/é/日本<x>🙂"
