"""Whether the recordings that a config names can be used. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ablate.protocol import ConfigError
from trainer.config.config import Config
from trainer.data.listing import AUDIO_SUFFIXES, is_audio, read_units, speaker_of, too_few


def check_recordings(config: Config) -> None:
    """Refuse a folder of recordings, or a file of units, that cannot be used.

    Raises:
        ConfigError: Naming the key and what is wrong with the files.
    """
    _check_folder(config)
    if config.data.units_file:
        read_units(config.data.units_file, config.model.content_units)


def _check_folder(config: Config) -> None:
    if config.data.source != "folder":
        return
    if not config.data.path:
        raise ConfigError("data.path", "is missing", hint="name the folder of the recordings")
    folder = Path(config.data.path).expanduser()
    if not folder.is_dir():
        raise ConfigError("data.path", f"there is no folder {config.data.path}")
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if is_audio(p)]
    if not names:
        raise ConfigError(
            "data.path", f"{config.data.path} holds no audio file ({', '.join(AUDIO_SUFFIXES)})"
        )
    pattern = config.data.speaker_pattern
    spoken = sorted(name for name in names if speaker_of(name, pattern))
    if not spoken:
        raise ConfigError(
            "data.speaker_pattern", f"{pattern!r} matches no file, for example not {min(names)}"
        )
    _check_sound(config.data.path, [folder / name for name in spoken])


def _check_sound(folder: str, paths: Sequence[Path]) -> None:
    """Decode until two are found that can be used: the rest is read by the run."""
    from trainer.data.decoding import UnusableError, decode  # noqa: PLC0415 - for folders alone

    usable = 0
    unusable: list[tuple[str, str]] = []
    for path in paths:
        try:
            decode(path)
            usable += 1
        except UnusableError as error:
            unusable.append((path.name, str(error)))
        if usable == 2:
            return
    raise too_few(folder, usable, unusable)
