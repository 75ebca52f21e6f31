"""Jobs of trainers that are never imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ablate.attempt.job import Job
from ablate.rules import Action, Demand, Gate, MetricRule, Target

KEY = "train/audio/rms"


def make_job(folder: Path, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "attempt_id": 1,
        "attempt": 1,
        "label": "a-s0",
        "run_dir": folder,
        "project": None,
        "train": "m:train",
        "config": {"steps": 100},
        "seed": 0,
        "device": "cpu",
        "gpus": (),
        "threads": 1,
        "guards": (),
        "gates": (),
        "step_limit": None,
        "resume_from": (),
    }
    return Job(**{**values, **changes})


def demand(target: str = "0.075 +-20%", rule: str = "last", key: str = KEY) -> Demand:
    return Demand(key, Target.parse(target), MetricRule.parse(rule))


def gate(step: int, *demands: Demand, do: Action = "stop") -> Gate:
    return Gate(step=step, do=do, demands=demands or (demand(),))
