"""A disk that is small enough to be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system of its own."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self) -> None:
        """Take every byte that is left."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def clear(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink()

    def files(self) -> set[str]:
        """Return the names of the files on it."""
        found = {Path(at) / name for at, _, names in os.walk(self.folder) for name in names}
        return {path.name for path in found - {self._filler}}


@contextmanager
def mounted(folder: Path, size: str) -> Generator[SmallDisk | None]:
    """Mount an empty file system in memory; yield None where one may not be mounted.

    Args:
        folder: Where; it is made.
        size: As `mount` takes it, such as ``2m``.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        yield None
        return
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
