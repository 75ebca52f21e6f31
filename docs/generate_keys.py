"""Write `docs/reference/keys.md` from the keys and the signs themselves; see `make docs`."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ablate import keys
from ablate.analysis.diagnosis import silence, trivial, twins
from ablate.analysis.diagnosis.causes import SIGNS
from ablate.keys import Group, Payload

PAGE = Path(__file__).parent / "reference" / "keys.md"
WIDTH = 120
HEAD = """\
# Keys that earn a diagnosis

<!-- Written by docs/generate_keys.py (make docs); change ablate/keys.py or a sign instead. -->

A trainer may log whatever it likes. What it logs under one of these keys, the analysis understands:
a verdict can then say more than a number, and a report can name a cause. A key is
`split/group/name`; other names [become one](../howto/import.md#which-name-a-metric-gets). None is
needed: each sign below speaks as soon as the keys are there that it reads.
[How causes are found](../explanation/diagnosis.md) says what each looks for.

`ablate.keys` has them all, so that a trainer need not spell them: `keys.LOSS.key("l1")` is
`train/loss/l1`, and `keys.RMS` is `train/audio/rms`.
"""


def main() -> None:
    """Write the page; with `--check` only say whether it is up to date."""
    new = page()
    if "--check" in sys.argv:
        old = PAGE.read_text(encoding="utf-8")
        sys.exit(f"{PAGE} is not what the code says; run: make docs" if new != old else 0)
    PAGE.write_text(new, encoding="utf-8")


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_signs(), *_groups(), *_events()])


def _signs() -> Iterator[str]:
    yield "## What a verdict reads\n"
    yield from _item("Losses beside those of silence", silence.SILENCE_READS)
    yield from _item("Losses beside those of outputs that know nothing", trivial.TRIVIAL_READS)
    yield from _item("A change that has no effect", twins.TWIN_READS)
    yield "\n## What each sign reads\n"
    for sign in SIGNS:
        yield from _item(f"**{sign.name}**", sign.reads)
    yield ""


def _item(title: str, reads: tuple[str, ...]) -> Iterator[str]:
    listed = ", ".join(f"`{_plain(pattern)}`" for pattern in dict.fromkeys(reads))
    yield _filled(f"- {title}: {listed}")


def _plain(pattern: str) -> str:
    """Return a pattern as a reader writes it: ``<split>/loss/<name>``."""
    return re.sub(r"(?<=q)\*", "<n>", re.sub(r"^\*", "<split>", pattern)).replace("*", "<name>")


def _groups() -> Iterator[str]:
    yield "## Groups\n"
    for group in keys.GROUPS:
        yield _filled(f"- `{_plain(group.pattern)}`: {group.about.replace('<name>', '`<name>`')}.")
        if named := _named(group):
            yield _filled(f"  Known: {', '.join(f'`{name}`' for name in named)}.")
    yield ""


def _named(group: Group) -> list[str]:
    """Return the keys of a group that have a name in `ablate.keys`."""
    values = [v for name, v in vars(keys).items() if name.isupper() and isinstance(v, str)]
    return sorted({v for v in values if "*" not in v and fnmatchcase(v, group.pattern)})


def _events() -> Iterator[str]:
    yield "## Events\n"
    yield "An event explains a curve. These are known; a trainer may record any others.\n"
    found = [v for v in vars(keys).values() if isinstance(v, type) and issubclass(v, Payload)]
    for event in sorted((e for e in found if e is not Payload), key=lambda e: e.NAME):
        fields: dict[str, Any] = getattr(event, "__dataclass_fields__", {})
        says = f" ({', '.join(f'`{name}`' for name in fields)})" if fields else ""
        yield _filled(f"- `{event.NAME}`{says}: {(event.__doc__ or '').splitlines()[0]}")
    yield ""


def _filled(text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent="",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


if __name__ == "__main__":
    main()
