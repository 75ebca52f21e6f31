"""Studies of any shape and any numbers: compared, reported and drawn, or refused with one error."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

from ablate.analysis.comparison import compare
from ablate.analysis.curves.study_data import StudyData
from ablate.domain import Event, RunState
from ablate.render.comparison.text import render
from dashboards.compare_page import compare_html
from dashboards.report import report_html, report_markdown
from tests.support.damage import outcome
from tests.support.factories import SPEC, make_data, make_scale_fix
from tests.support.thorough import few_or_many

ROOT = Path(__file__).parents[2]
N_STUDIES = few_or_many(25, 3000)
FORMATS = ("table", "md", "csv", "json", "ndjson", "html", "latex")
KEYS = sorted({key for _, key in make_scale_fix(seeds=(0,), steps=20).curves})
OTHER_KEYS = (
    *("loss", "valid/pesq", "train/loss/own", "train/pull/own", "train/grad/own"),
    *("train/update/head", "train/update/encoder", "train/change/codebook_q0"),
    *("train/rvq/usage_q0", "train/rvq/explained_variance", "train/optim/lr"),
    *("train/optim/clip_fraction", "train/audio/rms_ac", "train/stage/decoder", "train/norm/total"),
    *("valid/white/l1", "valid/mean/l1", "system/cpu/percent"),
)
ODD = (0.0, -0.0, 1.0, -1.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf"))
EVENTS = ("guard_fired", "warmup_ended", "quantizer_activated", "file_skipped", "jump", "resumed")


def values(rng: random.Random, steps: list[int]) -> dict[int, float]:
    """Return a curve: equal, odd, growing, noisy or tiny numbers, with or without odd ones."""
    kind = rng.choice(("equal", "odd", "growing", "noise", "integers"))
    scale = rng.choice((1e-300, 1e-12, 0.1, 1.0, 1e6, 1e300))
    constant = rng.choice((*ODD[:5], 0.3))

    def value(step: int) -> float:
        if kind == "odd" or rng.random() < 0.02:
            return rng.choice(ODD)
        made = {
            "equal": constant,
            "growing": scale * (1 + step),
            "noise": scale * rng.gauss(1, 1),
        }
        return made.get(kind, float(rng.randrange(-2, 3)))

    return {step: value(step) for step in steps}


def study(rng: random.Random) -> StudyData:
    """Return a study of up to four variants with up to fifty seeds."""
    keys = [*KEYS, *OTHER_KEYS]
    if rng.random() < 0.7:
        keys = rng.sample(keys, rng.randrange(1, 12))
    n_seeds = rng.choice((1, 1, 2, 3, 5, 50 if len(keys) < 12 else 4))
    made, states, events = {}, {}, {}
    for variant in ("base", "a", "b", "c")[: rng.randrange(1, 5)]:
        made[variant] = {}
        for seed in range(rng.choice((n_seeds, n_seeds, n_seeds - 1))):
            last, every = rng.choice((0, 1, 7, 700)), rng.choice((1, 10, 99))
            steps = list(range(rng.choice((0, 0, last)), last + 1, every))
            share = rng.choice((0.0, 0.9, 0.9, 1.0, 1.0, 1.0))  # 0: a run without a point
            logged = [key for key in keys if rng.random() < share]
            made[variant][seed] = {key: values(rng, steps) for key in logged}
            states[variant, seed] = rng.choice((RunState.SUCCEEDED, *RunState))
            events[variant, seed] = [
                Event(rng.choice(EVENTS), rng.choice(steps), {"guard": "collapse"}, 0.0)
                for _ in range(rng.choice((0, 0, 3)))
            ]
    spec = rng.choice(({}, SPEC, {"metrics": {keys[0]: rng.choice(("min", "max"))}}))
    return make_data(made, spec=spec, states=states, events=events)


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def answer(data: StudyData, at_step: int | None, width: int | None) -> None:
    comparison = compare(data, at_step=at_step)
    for form in FORMATS:
        assert render(comparison, form, width=width)
    json.loads(render(comparison, "json"), parse_constant=refuse)
    assert compare_html(comparison, data)
    assert report_html(data, comparison)
    assert report_markdown(data, comparison)


def test_every_study_is_answered_in_every_format() -> None:
    answered = 0
    for seed in range(N_STUDIES):
        rng = random.Random(seed)
        data = study(rng)
        at_step, width = rng.choice((None, None, 0, 5, 10**9)), rng.choice((None, 20, 80))
        answered += outcome(f"study {seed}", partial(answer, data, at_step, width)) is None
    assert answered > N_STUDIES / 2


def answers(number: int) -> str:
    """Return a digest of what is said of the first studies, in every form."""
    digest = hashlib.sha256()
    for seed in range(number):
        data = study(random.Random(seed))
        comparison = compare(data)
        for form in FORMATS:
            digest.update(render(comparison, form).encode())
        digest.update(report_markdown(data, comparison).encode())
    return digest.hexdigest()


def test_answers_do_not_depend_on_how_python_hashes_texts() -> None:
    number = few_or_many(10, 300)
    code = f"from tests.fuzz.test_answers import answers; print(answers({number}))"

    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "2")
    }

    assert len(said) == 1
