"""Which audio a run was trained on, to the byte, kept with the run."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.protocol import Run
from trainer.data.corpus import Clip, Corpus


def manifest(corpus: Corpus) -> dict[str, Any]:
    """Return what the corpus was made of, ready for JSON.

    For a folder each file with path, SHA-256, samples, speaker and split, and each that was
    skipped with the reason; for synthetic audio its arguments. ``sha256`` is that of every sample.
    """
    return {
        "schema": "ablate.manifest/1",
        **corpus.origin,
        "sha256": corpus.digest,
        "train": _summary(corpus.train),
        "valid": _summary(corpus.valid),
        "files": [dataclasses.asdict(recording) for recording in corpus.recordings],
        "skipped": [{"path": path, "reason": reason} for path, reason in corpus.skipped],
    }


def _summary(clips: Sequence[Clip]) -> dict[str, Any]:
    return {
        "clips": len(clips),
        "samples": sum(map(len, clips)),
        "speakers": sorted({clip.speaker for clip in clips}),
    }


def keep_manifest(corpus: Corpus, run: Run) -> None:
    """Keep the manifest with the run, as the artifact ``manifest.json``."""
    text = json.dumps(manifest(corpus), indent=1, ensure_ascii=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.json"
        path.write_text(text, encoding="utf-8")
        run.artifact(path)
