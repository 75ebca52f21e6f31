"""Ablation studies of PyTorch training runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ablate.notebook import StudyFrames

__all__ = ["__version__", "load"]

__version__ = "0.1.0"


def load(study: str, *, db: str | Path | None = None) -> StudyFrames:
    """Return a study of the results database as pandas frames; see `ablate.notebook`.

    Args:
        study: Its name.
        db: SQLAlchemy URL or SQLite file; None for that of the project around the current folder.

    Raises:
        NotFoundError: If there is no such database or study, with the closest name.
        StoreError: If the database cannot be read.
    """
    from ablate.notebook import load as load_frames

    return load_frames(study, db=db)
