"""The page of keys is what the keys and the signs say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ablate import keys
from ablate.analysis.diagnosis.causes import SIGNS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "keys.md").read_text()


def test_page_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate_keys.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def test_every_sign_group_and_event_stands_there() -> None:
    wanted = [f"**{sign.name}**" for sign in SIGNS]
    wanted += [f"/{group.name}/<name>`" for group in keys.GROUPS if group.splits]
    wanted += ["`guard_fired`", "`quantizer_activated` (`n_active`)"]

    assert [text for text in wanted if text not in PAGE] == []
