"""Files that a reader sees whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ablate.errors import StoreError


@contextmanager
def written_whole(path: Path) -> Generator[BinaryIO]:
    """Open a file that appears under its name only once it is written to the end.

    A link stays and what it points to is written; a device or a pipe is written to as it is.

    Raises:
        StoreError: If it cannot be written.
    """
    target = path.resolve()
    is_special = target.exists() and not target.is_file()
    aside = target if is_special else target.with_name(f".{target.name[:100]}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            yield file
        if not is_special:
            aside.replace(target)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if not is_special:
            aside.unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder and below, 0 where there is none.

    Links are not followed; what vanishes meanwhile is not counted.
    """
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total
