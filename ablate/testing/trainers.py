"""Trainers for tests: they train nothing, log a number at each step, and do what a test asks."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.keys import STEPS, TOTAL
from ablate.protocol import Run


def counting(config: Mapping[str, Any], run: Run) -> None:
    """Log the step as the loss of each step, and go on where an earlier attempt has saved.

    Config: ``steps``; ``pause_s`` after each step; ``raise_at``: the step at which it fails;
    ``exit_at``: the step at which its process ends without a word.
    """
    step = run.resume() or 0
    while step < config[STEPS]:
        step += 1
        run.log({TOTAL: float(step)}, step)
        if step == config.get("raise_at"):
            raise RuntimeError("asked to fail")
        if step == config.get("exit_at"):
            os._exit(3)
        if run.should_stop:
            run.save(step, step)
            return
        time.sleep(config.get("pause_s", 0.0))


def whereabouts(config: Mapping[str, Any], run: Run) -> None:
    """Keep a file that says in which folder it runs, and with how many threads."""
    path = run.dir / "where.txt"
    path.write_text(f"{Path.cwd()}\n{run.threads}\n{run.device}\n", encoding="utf-8")
    run.log({TOTAL: 0.0}, config[STEPS])
