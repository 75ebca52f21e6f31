"""Recordings of the user's own: what is refused before launch, and what a run does without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.projects import Project

RATE_HZ = 16000
STUDY = """\
study: voices
base:
  data.source: folder
  data.path: voices
  data.segment_s: 0.1
  steps: 2
  valid_every: 2
phases:
  p: {set: {preset: base}}
seeds: 1
"""


def tone(seconds: float, hz: float) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)


def record(project: Project, name: str, audio: np.ndarray, subtype: str = "PCM_16") -> Path:
    path = project.folder / "voices" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE_HZ, subtype=subtype)
    return path


def record_unusable(project: Project) -> list[str]:
    """Write a file for each way of being unusable; return their names."""
    record(project, "cut.wav", tone(0.5, 200)).write_bytes(b"RIFF")
    record(project, "empty.wav", np.zeros(0))
    record(project, "infinite.wav", np.full(8000, np.inf), "FLOAT")
    record(project, "nan.wav", np.full(8000, np.nan), "FLOAT")
    record(project, "one.wav", np.ones(1))
    (project.folder / "voices/renamed.wav").write_text("these are words " * 1000)
    (project.folder / "voices/zero.flac").write_bytes(b"")
    return [
        "cut.wav",
        "empty.wav",
        "infinite.wav",
        "nan.wav",
        "one.wav",
        "renamed.wav",
        "zero.flac",
    ]


def refused(project: Project, added: str = "") -> str:
    """Return what is said about the study when it is created; nothing may be there then."""
    project.write("studies/voices.yaml", STUDY.replace("  steps: 2\n", f"  steps: 2\n{added}"))
    shown = project.ablate("study", "create", "voices", code=2)
    assert "--> studies/voices.yaml:" in shown
    assert not (project.folder / ".ablate").exists()
    return shown


@pytest.mark.parametrize("usable", [0, 1])
def test_folder_with_too_few_usable_recordings_is_refused(project: Project, usable: int) -> None:
    record_unusable(project)
    if usable:
        record(project, "good.wav", tone(0.5, 200))

    shown = refused(project)

    assert f"data.path: voices holds {usable} usable recordings" in shown
    assert "cut.wav cannot be read" in shown
    assert "studies/voices.yaml:4:" in shown


def test_pattern_that_fits_no_file_is_refused(project: Project) -> None:
    record(project, "a.wav", tone(0.5, 200))
    record(project, "b.wav", tone(0.5, 200))

    shown = refused(project, "  data.speaker_pattern: '_(?P<speaker>[a-z]+)_'\n")

    assert "data.speaker_pattern: '_(?P<speaker>[a-z]+)_' matches no file" in shown
    assert "not a.wav" in shown


def test_defect_of_a_units_file_is_refused_with_its_line(project: Project) -> None:
    for name in ("a.wav", "b.wav"):
        record(project, name, tone(0.5, 200))
    project.write("units.txt", "a.wav\t1 2 3\nb.wav\t1 2 9\n")
    added = "  data.units_file: units.txt\n  model.content_units: 9\n"

    shown = refused(project, added)

    assert "data.units_file: units.txt:2: unit 9 is out of range" in shown
    assert "studies/voices.yaml:7:" in shown


@pytest.mark.training
def test_run_does_without_what_cannot_be_used_and_names_it(project: Project) -> None:
    unusable = record_unusable(project)
    for i in range(6):
        record(project, f"{'ann' if i % 2 else 'bob'}/{i}.wav", tone(0.3, 150 + 20 * i))
    (project.folder / "voices/README.md").write_text("# Voices\n")
    project.write("studies/voices.yaml", STUDY)

    project.ablate("study", "create", "voices")
    project.ablate("run", "voices")

    rows = project.rows("select data from events where name = 'file_skipped'")
    told = {event["file"]: event["reason"] for event in (json.loads(row[0]) for row in rows)}
    assert sorted(told) == sorted([*unusable, "README.md"])
    assert all(told.values())
    assert project.rows("select state from runs") == [("succeeded",)]
