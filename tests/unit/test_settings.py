"""Flags over environment over the project's file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ablate.errors import UsageError
from ablate.settings import load_settings, user_name


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DB", "MLFLOW", "MLFLOW_URI", "MLFLOW_MAX_POINTS", "SYSTEM_METRICS_S"):
        monkeypatch.delenv(f"ABLATE_{name}", raising=False)
    (tmp_path / "ablate.toml").write_text(
        'mlflow_uri = "http://file:5000"\nmlflow_max_points = 300\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_environment_comes_before_the_file_and_the_file_before_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = load_settings()
    monkeypatch.setenv("ABLATE_MLFLOW_URI", "http://environment:5000")
    monkeypatch.setenv("ABLATE_SYSTEM_METRICS_S", "0")
    after = load_settings()

    assert (before.mlflow_uri, before.mlflow_max_points) == ("http://file:5000", 300)
    assert (before.mlflow_max_keys, before.system_metrics_s) == (50, 10.0)
    assert after.mlflow_uri == "http://environment:5000"
    assert after.system_metrics_s == 0


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ABLATE_MLFLOW_MAX_POINTS", "few", "ABLATE_MLFLOW_MAX_POINTS = few"),
        ("ABLATE_MLFLOW_MAX_POINTS", "9", ">= 10"),
        ("ABLATE_SYSTEM_METRICS_S", "nan", ">= 0"),
        ("ABLATE_MLFLOW_URI", "host:5000", "not an address"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(UsageError, match=said):
        load_settings()


def test_user_without_an_account_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)

    assert user_name() == "uid 54321"
