"""What a variant sounds and looks like: the samples that a run has kept, inside the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ablate.attempt.artifacts import Artifact
from ablate.render.document import Block, Clip, Clips, Heading, Notes, Sound

MAX_BYTES = 16_000_000
"""Of all samples of a report; as text in the page they take a third more."""
_SOUNDS = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".mp3": "audio/mpeg",
}
_PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """The newest samples of one run of a variant."""

    label: str
    """The run's."""
    step: int
    files: tuple[Artifact, ...]


def sample_blocks(samples: Samples, *, max_bytes: int) -> tuple[Block, ...]:
    """Return sounds and pictures, utterance by utterance, as many as the size allows.

    ``<utterance>-<what>.wav`` and ``<utterance>.png`` belong together.
    """
    clips: list[Clip] = []
    used = 0
    grouped = _by_utterance(samples.files)
    for utterance, files in grouped.items():
        used += sum(file.path.stat().st_size for file in files.values())
        if used > max_bytes:
            break
        clips.append(_clip(utterance, files))
    left = len(grouped) - len(clips)
    note = (
        f"{left} of {len(grouped)} utterances are left out, as the page would become too large: "
        f"ablate artifacts {samples.label} -o FOLDER"
    )
    return (
        Heading(f"Samples of {samples.label} at step {samples.step}"),
        Notes((note,) if left else ()),
        Clips(tuple(clips)),
    )


def share_of_each(samples: Mapping[str, Samples]) -> int:
    """Return how many bytes of samples each variant may have."""
    return MAX_BYTES // max(1, len(samples))


def _by_utterance(files: Sequence[Artifact]) -> dict[str, dict[str, Artifact]]:
    """Return utterance -> what -> file; a picture's what is empty."""
    grouped: dict[str, dict[str, Artifact]] = {}
    for file in files:
        path = PurePosixPath(file.name)
        if path.suffix.lower() in _PICTURES:
            grouped.setdefault(path.stem, {})[""] = file
        elif path.suffix.lower() in _SOUNDS:
            utterance, _, what = path.stem.rpartition("-")
            grouped.setdefault(utterance or what, {})[what] = file
    return dict(sorted(grouped.items()))


_ORDER = ("original", "output", "conversion")


def _clip(utterance: str, files: Mapping[str, Artifact]) -> Clip:
    known = {what: place for place, what in enumerate(_ORDER)}
    sounds = sorted(filter(None, files), key=lambda what: (known.get(what, len(known)), what))
    return Clip(
        title=utterance,
        picture=_data_uri(files[""]) if "" in files else "",
        sounds=tuple(Sound(what, _data_uri(files[what])) for what in sounds),
    )


def _data_uri(file: Artifact) -> str:
    kind = (_SOUNDS | _PICTURES)[file.path.suffix.lower()]
    return f"data:{kind};base64,{base64.b64encode(file.path.read_bytes()).decode()}"
