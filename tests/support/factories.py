"""Made-up studies that behave like real ones: a healthy phase, a collapse, a divergence.

The losses follow from two curves per run, the output's rms and its likeness to the target: for an
output of relative level r and likeness q, ``loss / silent = sqrt(1 - 2 q r + r^2)``, which is 1 for
silence and 0 for a perfect copy.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from ablate.analysis.curves.study_data import RunCurve, StudyData
from ablate.domain import Event, Plan, Run, RunState, Study, Variant
from ablate.planning.references import references_of
from ablate.planning.study_file.spec import declarations
from ablate.store.base import Store
from ablate.store.curves import Curve, Stretches

TARGET_RMS = 0.075
SILENT = {"stft": 1.21, "l1": 0.038, "rms_frame": 0.056}
WEIGHTS = {"stft": 1.0, "l1": 10.0, "rms_frame": 0.1}

SPEC: dict[str, Any] = {
    "metrics": {
        "valid/loss/stft": {"goal": "min", "rule": "mean_last_10%"},
        "valid/loss/l1": {"goal": "min", "rule": "mean_last_10%"},
        "valid/audio/si_sdr_db": {"goal": "max", "rule": "last"},
    },
    "targets": {
        "train/audio/rms": "0.075 +-20%",
        "train/rvq/perplexity_q0": ">= 8",
        "train/norm/out_proj_weight": "drift < 10%",
        "train/norm/out_proj_bias": "drift < 10%",
    },
    "guards": {
        "collapse": {"when": "train/audio/rms < 0.0075", "for": 100, "after": 200, "do": "stop"}
    },
}
HOSTILE = (
    "[/red]",
    "[bold red]x",
    "<script>alert(1)</script>",
    "=cmd()",
    "a|b",
    "emoji 👩\u200d🔬 漢字",
    "esc\x1b[31mred",
    "back\\slash & 100% of $x_1^2 {y}~#",
    '"quoted", comma',
    "`code` *star* _under_",
)


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """How a made-up phase trains, as fractions of its length."""

    first_rms: float
    last_rms: float
    speed: float
    """Time constants of the decay over the whole run."""
    likeness: float
    perplexity: float
    weight_drift: float
    bias_drift: float
    diverges_at: int | None = None


HEALTHY = Behaviour(0.53, 0.068, 9.0, 0.90, 96.0, 0.06, 0.04)
COLLAPSE = Behaviour(0.231, 0.0030, 7.0, 0.02, 8.6, -0.05, -0.193)
LOUD = Behaviour(0.60, 0.140, 6.0, 0.05, 4.5, -0.60, -0.55)
PHASES: dict[str, Behaviour] = {
    "phase1": LOUD,
    "phase2a": dataclasses.replace(COLLAPSE, last_rms=0.004, weight_drift=-0.73, perplexity=8.2),
    "phase_a": COLLAPSE,
    "phase_fixed": HEALTHY,
}


def make_variant(name: str, **changes: Any) -> Variant:
    identity = hashlib.sha256(name.encode()).hexdigest()
    values: dict[str, Any] = {
        "name": name,
        "identity": identity,
        "config": {"steps": 700},
        "factors": {},
        "is_phase": True,
    }
    return Variant(**(values | changes))


def make_run(variant: str, seed: int, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "id": hashlib.sha256(f"{variant}/{seed}".encode()).hexdigest()[:16],
        "study": "scale-fix",
        "variant": variant,
        "seed": seed,
        "identity": hashlib.sha256(variant.encode()).hexdigest(),
        "config": {"steps": 700, "name": variant},
        "trainer": "bundled",
        "state": RunState.SUCCEEDED,
        "attempts": 1,
        "step": 700,
        "checkpoint_step": 700,
        "reason": None,
        "wall_s": 60.0,
    }
    return Run(**(values | changes))


def make_curve(
    run_id: str, key: str, values: Sequence[float] | Mapping[int, float], *, every: int = 1
) -> Curve:
    """Return a curve from values at every ``every``-th step, or from step -> value."""
    points = values if isinstance(values, Mapping) else dict(enumerate(values))
    steps = tuple(step * (1 if isinstance(values, Mapping) else every) for step in points)
    return Curve(
        run_id=run_id,
        key=key,
        steps=steps,
        values=tuple(map(float, points.values())),
        times=tuple(1_700_000_000.0 + step for step in steps),
    )


def make_data(
    values: Mapping[str, Mapping[int, Mapping[str, Sequence[float] | Mapping[int, float]]]],
    *,
    every: int = 1,
    spec: Mapping[str, Any] | None = None,
    states: Mapping[tuple[str, int], RunState] | None = None,
    events: Mapping[tuple[str, int], Sequence[Event]] | None = None,
    **changes: Any,
) -> StudyData:
    """Return a study from variant -> seed -> key -> values; the first variant is the baseline."""
    declared = declarations(spec or {})
    runs: list[Run] = []
    curves: list[Curve] = []
    for name, seeds in values.items():
        for seed, keys in seeds.items():
            run = make_run(name, seed)
            made = [make_curve(run.id, key, found, every=every) for key, found in keys.items()]
            curves += made
            state = (states or {}).get((name, seed), RunState.SUCCEEDED)
            step = max((c.steps[-1] for c in made), default=None)
            runs.append(dataclasses.replace(run, state=state, step=step))
    ids = {(r.variant, r.seed): r.id for r in runs}
    variants = tuple(make_variant(name, is_baseline=i == 0) for i, name in enumerate(values))
    data = StudyData(
        study="scale-fix",
        question="Which change stops the collapse?",
        baseline=next(iter(values)),
        variants=variants,
        metrics=declared.metric_rules,
        targets=declared.target_rules,
        references=references_of(spec or {}, variants, next(iter(values))),
        pairing=declared.pairing,
        guards=declared.guard_rules,
        runs=tuple(runs),
        curves={(curve.run_id, curve.key): curve for curve in curves},
        events={ids[cell]: tuple(found) for cell, found in (events or {}).items()},
    )
    return dataclasses.replace(data, **changes)


def hostile_data() -> StudyData:
    key = "valid/loss/l1"
    return make_data(
        {name: {s: {key: [1.0 + 0.1 * s] * 3} for s in range(2)} for name in HOSTILE},
        spec={"metrics": {key: "min"}, "targets": {"train/<b>|_$": ">= 1"}},
        study="<study> [x] | $",
        question="<img src=x onerror=alert(1)> \x1b[2J?",
    )


def make_scale_fix(
    *,
    phases: Mapping[str, Behaviour] = PHASES,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 700,
    every: int = 10,
    **changes: Any,
) -> StudyData:
    """Return a whole study like the seed report's, with every key of the bundled trainer's kind."""
    declared = declarations(SPEC)
    runs: list[Run] = []
    curves: list[Curve] = []
    events: dict[str, tuple[Event, ...]] = {}
    for name, behaviour in phases.items():
        for seed in seeds:
            end = behaviour.diverges_at if seed == seeds[-1] else None
            run = make_run(name, seed, step=end or steps, config={"steps": steps, "name": name})
            if end:
                run = dataclasses.replace(
                    run,
                    state=RunState.DIVERGED,
                    reason=f"train/loss/total is not finite at step {end}",
                )
            runs.append(run)
            made = _run_curves(run, behaviour, steps, every, end)
            curves += made
            events[run.id] = _run_events(run, made, steps, end)
    data = StudyData(
        study="scale-fix",
        question="Which change stops the output amplitude from collapsing without killing the "
        "codes?",
        baseline=next(iter(phases)),
        variants=tuple(make_variant(n, is_baseline=i == 0) for i, n in enumerate(phases)),
        metrics=declared.metric_rules,
        targets=declared.target_rules,
        guards=declared.guard_rules,
        runs=tuple(runs),
        curves={(curve.run_id, curve.key): curve for curve in curves},
        events=events,
    )
    return dataclasses.replace(data, **changes)


def _run_curves(
    run: Run, behaviour: Behaviour, steps: int, every: int, end: int | None
) -> list[Curve]:
    second = round(steps * 0.686)
    draw = random.Random(f"{run.variant}/{run.seed}")
    scale = {name: math.exp(draw.gauss(0, 0.08)) for name in ("rms", "perplexity", "likeness")}
    noise = random.Random(f"{run.variant}/{run.seed}/noise")

    def rms(x: float) -> float:
        last = behaviour.last_rms * scale["rms"]
        decay = math.exp(-behaviour.speed * x)
        return last + (behaviour.first_rms - last) * decay

    def likeness(x: float) -> float:
        return min(0.97, behaviour.likeness * scale["likeness"]) * (1 - math.exp(-6 * x))

    def ratio(x: float) -> float:
        r, q = rms(x) / TARGET_RMS, likeness(x)
        return math.sqrt(max(1e-6, 1 - 2 * q * r + r * r))

    def codes(x: float) -> float:
        goal = behaviour.perplexity * scale["perplexity"]
        return goal + (26 - goal) * math.exp(-5 * x)

    formulas: dict[str, Callable[[float], float]] = {
        "train/audio/rms": rms,
        "train/audio/target_rms": lambda _: TARGET_RMS,
        "train/rvq/perplexity_q0": codes,
        "train/norm/out_proj_weight": lambda x: 0.564 * (1 + behaviour.weight_drift * x),
        "train/norm/out_proj_bias": lambda x: 0.135 * (1 + behaviour.bias_drift * x),
        "train/norm/final_conv_weight": lambda x: 3.659 * (1 - 0.008 * x),
        "valid/audio/rms": rms,
        "valid/audio/si_sdr_db": lambda x: -42 + 44 * likeness(x) ** 2,
    }
    for name, silent in SILENT.items():
        formulas[f"train/loss/{name}"] = lambda x, s=silent: s * ratio(x)
        formulas[f"train/silent/{name}"] = lambda _, s=silent: s
        formulas[f"train/weighted/{name}"] = lambda x, s=silent, w=WEIGHTS[name]: w * s * ratio(x)
        formulas[f"train/force/{name}"] = lambda x, s=silent, w=WEIGHTS[name]: (
            w * s * (likeness(x) - rms(x) / TARGET_RMS) * rms(x) / TARGET_RMS / ratio(x)
        )
        if name != "rms_frame":
            formulas[f"valid/loss/{name}"] = formulas[f"train/loss/{name}"]
            formulas[f"valid/silent/{name}"] = formulas[f"train/silent/{name}"]
    jump = second / steps
    formulas["train/loss/rvq"] = lambda x: 1.15 + 0.1 * x + (0.95 if x >= jump else 0.0)
    formulas["train/weighted/rvq"] = formulas["train/loss/rvq"]
    formulas["train/loss/total"] = lambda x: (
        4.6 + sum(formulas[f"train/weighted/{n}"](x) for n in (*WEIGHTS, "rvq"))
    )
    curves: list[Curve] = []
    for key, formula in formulas.items():
        sparse = 5 if key.startswith(("valid/", "train/force/")) else 1
        points: dict[int, float] = {}
        for step in range(0, steps + 1, every * sparse):
            if end and step > end:
                break
            still = "silent" in key or "target" in key
            jitter = 1.0 if still else math.exp(noise.gauss(0, 0.01))
            points[step] = formula(step / steps) * jitter
            if end and key.startswith("train/loss/") and step >= end - every:
                points[step] = math.nan
        curves.append(make_curve(run.id, key, points))
    q1 = {s: 16.2 + 0.01 * (s - second) for s in range(second, (end or steps) + 1, every)}
    if q1:
        curves.append(make_curve(run.id, "train/rvq/perplexity_q1", q1))
    return curves


def _run_events(
    run: Run, curves: Sequence[Curve], steps: int, end: int | None
) -> tuple[Event, ...]:
    second = round(steps * 0.686)
    moments = [Event("warmup_ended", round(steps * 0.286), {}, 0.0)]
    moments.append(Event("quantizer_activated", second, {"n_active": 2}, 0.0))
    level = next(c for c in curves if c.key == "train/audio/rms")
    low = [s for s, v in zip(level.steps, level.values, strict=True) if v < 0.0075 and s >= 300]
    if low:
        moments.append(Event("guard_fired", low[0], {"guard": "collapse", "action": "flag"}, 0.0))
    return tuple(e for e in moments if not end or e.step <= end)


class FakeStore:
    """The reading half of a store, over values in memory."""

    url = "memory:"

    def __init__(self, data: StudyData, spec: Mapping[str, Any] = SPEC) -> None:
        plan = Plan(
            study=data.study,
            question=data.question,
            trainer="bundled",
            trainer_version="1",
            spec=spec,
            variants=data.variants,
            seeds=tuple(sorted({r.seed for r in data.runs})),
        )
        self._study = Study(id=1, name=data.study, plan=plan, created_at=0.0, updated_at=0.0)
        self._data = data

    def study(self, name: str) -> Study:
        assert name == self._study.name
        return self._study

    def runs(self, study: str | None = None) -> tuple[Run, ...]:
        return self._data.runs

    def keys_by_run(self, run_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for run, key in sorted(self._data.curves):
            if run in run_ids:
                found.setdefault(run, []).append(key)
        return {run: tuple(keys) for run, keys in found.items()}

    def curves(
        self,
        run_ids: Sequence[str],
        keys: Sequence[str],
        *,
        first_step: int = 0,
        last_step: int | None = None,
        with_times: bool = True,
    ) -> tuple[RunCurve, ...]:
        last = 2**63 if last_step is None else last_step
        cells = [(run, key) for run in run_ids for key in keys]
        found = [
            self._data.curves[cell].between(first_step, last)
            for cell in cells
            if cell in self._data.curves
        ]
        return tuple(curve for curve in found if curve.steps)

    def stretches(
        self, run_ids: Sequence[str], keys: Sequence[str], width: int
    ) -> tuple[Stretches, ...]:
        return tuple(curve.stretched(width) for curve in self.curves(run_ids, keys))

    def events(self, run_ids: Sequence[str]) -> tuple[tuple[str, Event], ...]:
        return tuple((run, e) for run in run_ids for e in self._data.events.get(run, ()))


def fake_store(data: StudyData) -> Store:
    """Return a store from which the study can be loaded."""
    return cast("Store", FakeStore(data))
