"""Whether an SQLite file that is open is still the one that its path names.

SQLite goes on in a file that was deleted or replaced, and all that it is given is lost with it.
"""

from __future__ import annotations

from pathlib import Path

from ablate.errors import StoreGoneError


class OpenFile:
    """The file of a database, the one that is there now, or that whoever opens it makes.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[int, int] | None = None
        self.check()

    def check(self) -> None:
        """Take note of which file it is, once there is one; then see that it is still that.

        Raises:
            StoreGoneError: If it was deleted or replaced.
        """
        try:
            status = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError:
            return  # whoever writes next will say what is wrong
        else:
            found = status.st_dev, status.st_ino
        if self._known is None:
            self._known = found
        elif found != self._known:
            what = "replaced by another file" if found else "deleted or moved"
            raise StoreGoneError(
                f"database {self._path} was {what} while it was in use",
                hint="what was logged is safe in the spools: put the file back, or, once nothing "
                "runs: ablate db rebuild",
            )
