"""Files of our own with damage: spools, notes of checkpoints, settings, whatever is read back."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from zlib import crc32

import pytest

from ablate.domain import AttemptState, Checkpoint, Event
from ablate.settings import load_settings
from ablate.spool.batch import Ending
from ablate.spool.frames import HEADER_BYTES, read_frames
from ablate.spool.spool import SpoolReader, SpoolWriter
from tests.support.damage import damaged, outcome
from tests.support.thorough import few_or_many

_EACH = few_or_many(150, 2500)


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "spool"
    with SpoolWriter(path, attempt_id=7) as writer:
        writer.started(start_step=0, inexact=None)
        for step in range(5):
            writer.points(step, 1.7e9 + step, {"train/loss/total": 0.5, "valid/pesq": float("nan")})
        writer.event(Event(step=3, time=1.7e9, name="restarted", data={"n": 3}))
        writer.checkpoint(Checkpoint(step=4, path="a/b.pt", sha256="0" * 64, size_bytes=5))
        writer.ended(Ending(state=AttemptState.SUCCEEDED))
    return path.read_bytes()


def _drain(path: Path) -> None:
    with SpoolReader(path) as reader:
        reader.attempt_id()
        while True:
            before = reader.offset
            reader.read(max_points=3)
            if reader.offset == before:
                return


def test_damaged_spools(tmp_path: Path, spool: bytes) -> None:
    path = tmp_path / "spool"
    for seed in range(_EACH):
        path.write_bytes(damaged(spool, seed))
        outcome(f"damage {seed}", lambda: _drain(path))


def test_spools_whose_damage_has_a_right_checksum(tmp_path: Path, spool: bytes) -> None:
    path = tmp_path / "spool"
    path.write_bytes(spool)
    with path.open("rb") as file:
        payloads = [frame.payload for frame in read_frames(file.fileno(), path, HEADER_BYTES)]
    for seed in range(_EACH):
        parts = list(payloads)
        at = random.Random(seed).randrange(len(parts))
        parts[at] = damaged(parts[at], seed)
        frames = b"".join(
            struct.pack("<III", len(p), len(p) ^ 0xA5A5A5A5, crc32(p)) + p for p in parts
        )
        path.write_bytes(spool[:HEADER_BYTES] + frames)
        outcome(f"damage {seed}", lambda: _drain(path))


_SETTINGS = b'db = "x/y.db"\nmlflow = false\nmlflow_uri = "http://h:5000"\nmlflow_max_keys = 50\n'


def test_damaged_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ablate.toml"
    for seed in range(_EACH):
        path.write_bytes(damaged(_SETTINGS, seed))
        outcome(f"damage {seed}", load_settings)
    assert [each.name for each in tmp_path.iterdir()] == ["ablate.toml"]
