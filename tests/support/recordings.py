"""Folders of recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from trainer.config.config import Config
from trainer.config.parsing import parse
from trainer.data.corpus import Audio


def tone(seconds: float, *, rate_hz: int = 16000, hz: float = 440.0) -> Audio:
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype("f4")


def folder_config(path: Path, **changes: object) -> Config:
    return parse({"data.source": "folder", "data.path": str(path), **changes})


def write(folder: Path, name: str, audio: Audio, *, rate_hz: int = 16000) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, audio, rate_hz)
