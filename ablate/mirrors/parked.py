"""What a mirror refused, in a file beside its log: of no worth without the mirror."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from ablate.files import replacing
from ablate.mirrors.records import Parked


class ParkedItems:
    """The refused items of one mirror. Nothing is kept in memory: two processes may take turns.

    Args:
        path: A JSON file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[tuple[str, str], Parked]:
        """Return the items by study and what they are."""
        if not self._path.exists():
            return {}
        items = [Parked(**item) for item in json.loads(self._path.read_text(encoding="utf-8"))]
        return {(item.study, item.what): item for item in items}

    def park(self, study: str, what: str, *, label: str, reason: str) -> None:
        """Set an item aside; one that was before keeps its time."""
        items = self.read()
        earlier = items.get((study, what))
        since = earlier.since if earlier else time.time()
        items[study, what] = Parked(study=study, what=what, label=label, reason=reason, since=since)
        self._write(items)

    def release(self, study: str, what: str) -> None:
        """Forget an item, parked or not."""
        items = self.read()
        if items.pop((study, what), None):
            self._write(items)

    def _write(self, items: dict[tuple[str, str], Parked]) -> None:
        with replacing(self._path) as aside:
            aside.write_text(json.dumps([asdict(i) for i in items.values()], indent=1), "utf-8")
