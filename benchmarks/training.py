"""What a step of the bundled trainer costs, where it goes, and what watching it adds.

Every configuration has a fresh process with one thread; those that are compared take turns. CPU
time, since the machine may be busy.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import Row, arguments, fresh, medians, report, scratch

QUIET = {"valid_every": 10**6, "checkpoint_every": 10**6}
"""Apart from the last step, which is outside of what is measured."""
Presets = Mapping[str, Mapping[str, Any]]
PRESETS: Presets = {
    "base": {"preset": "base"},
    "pre_output (phase1)": {"preset": "pre_output"},
    "pre_output (phase_a)": {
        "preset": "pre_output",
        "quantizer.ste": "consistent",
        "quantizer.post_affine": True,
        "model.final_conv": "default",
        "losses.rms_frame.weight": 0.1,
        "losses.rms_band.weight": 0.05,
    },
}
GAN = {"discriminator.enabled": True}
WARM = 20


def steps_per_cpu_s(overrides: Mapping[str, Any], steps: int) -> float:
    """Return the steps a CPU second of a run that logs, from step `WARM` to the one before last."""
    from trainer import loop
    from trainer.training import Training

    marks: dict[int, float] = {}
    update = Training.update

    def timed_update(self: Training, *given: Any) -> Any:
        marks[self.step] = time.process_time()
        return update(self, *given)

    Training.update = timed_update  # type: ignore[method-assign]
    with scratch() as folder:
        loop.train(_config(overrides, steps), _run(folder))
    return (steps - 1 - WARM) / (marks[steps - 1] - marks[WARM])


def watching_shares(overrides: Mapping[str, Any], steps: int) -> dict[str, float]:
    """Return what part of a run's CPU time is spent inside what only watches it, in per cent.

    Counted inside one process: the difference of two runs is lost in their noise.
    """
    from ablate.attempt.context import RunContext
    from trainer import loop, movement
    from trainer.watching import diagnostics

    spent: dict[str, float] = dict.fromkeys(("records", "diagnostics", "writing the log"), 0.0)

    def counted(place: Any, name: str, what: str) -> None:
        inner = getattr(place, name)

        def timed(*given: Any, **named: Any) -> Any:
            begin = time.process_time()
            try:
                return inner(*given, **named)
            finally:
                spent[what] += time.process_time() - begin

        setattr(place, name, timed)

    counted(loop, "describe", "records")
    counted(diagnostics, "pulls", "diagnostics")
    counted(movement.StepSize, "__init__", "diagnostics")
    counted(movement.StepSize, "read", "diagnostics")
    counted(RunContext, "log", "writing the log")
    with scratch() as folder:
        run = _run(folder)
        begin = time.process_time()
        loop.train(_config(overrides, steps), run)
        whole = time.process_time() - begin
    return {what: 100 * seconds / (whole - sum(spent.values())) for what, seconds in spent.items()}


def _config(overrides: Mapping[str, Any], steps: int) -> dict[str, Any]:
    from trainer.spec import BUNDLED

    return BUNDLED.resolve({"data.valid_s": 1.2, **QUIET, **overrides, "steps": steps})


class _Nowhere:
    """A run that keeps nothing."""

    device = "cpu"
    threads = 1
    processes = 1
    should_stop = False
    checkpoint_steps: frozenset[int] = frozenset()

    def seed(self, stream: str) -> int:
        return len(stream)

    def resume(self) -> None:
        return None

    def log(self, *_: Any) -> None: ...

    def event(self, *_: Any, **__: Any) -> None: ...

    def save(self, *_: Any) -> None: ...

    def artifact(self, *_: Any, **__: Any) -> None: ...


def _run(folder: Path) -> Any:
    """Return a run that logs into a spool, as in a worker."""
    from ablate.attempt.context import RunContext
    from ablate.attempt.job import Job
    from ablate.spool.spool import SpoolWriter

    job = Job(
        attempt_id=1,
        attempt=1,
        label="run",
        run_dir=folder,
        project=None,
        train="",
        config={},
        seed=0,
        device="cpu",
        gpus=(),
        threads=1,
        guards=(),
        gates=(),
        step_limit=None,
        resume_from=(),
    )
    job.write()
    return RunContext(job, SpoolWriter(job.folder.spool, attempt_id=1), on_step=lambda: None)


def profile(overrides: Mapping[str, Any], steps: int) -> list[tuple[str, float]]:
    """Return the kinds of work of a step with their share of its CPU time, largest first."""
    import torch
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiling

    from trainer import loop

    torch.set_num_threads(1)
    config = _config(overrides, steps)
    with profiling(activities=[ProfilerActivity.CPU]) as found:
        loop.train(config, _Nowhere())  # type: ignore[arg-type]
    kinds: dict[str, float] = {}
    for row in found.key_averages():
        kinds[_kind(row.key)] = kinds.get(_kind(row.key), 0.0) + row.self_cpu_time_total
    total = sum(kinds.values())
    return sorted(((k, v / total) for k, v in kinds.items()), key=lambda pair: -pair[1])


def _kind(name: str) -> str:
    groups = {
        "convolution, backward": ("convolution_backward", "ConvolutionBackward"),
        "convolution, forward": ("convolution", "mkldnn", "conv1d"),
        "FFT": ("fft", "stft"),
        "matrix products": ("addmm", "::mm", "bmm"),
        "copies, fills, padding": ("copy_", "fill_", "pad", "::cat", "zero_", "clone"),
        "activations, normalisation": ("elu", "silu", "layer_norm", "norm"),
        "code look-up": ("embedding", "argmax", "index", "scatter"),
        "optimizer": ("adam", "Optimizer"),
    }
    for kind, parts in groups.items():
        if any(part in name for part in parts):
            return kind
    return "small elementwise work and dispatch"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("speed", "watching", "profile"))
    parser.add_argument("--preset", choices=PRESETS, action="append", help="some of them")
    parser.add_argument("--steps", type=int, default=220)
    parser.add_argument("--turns", type=int, default=3)
    asked = arguments(parser)
    presets = {name: PRESETS[name] for name in asked.preset or PRESETS}
    tables = {"speed": speed, "watching": watching, "profile": profiles}
    with scratch() as folder:
        for name, table in tables.items():
            if asked.only in (None, name):
                title, rows = table(presets, asked.steps, asked.turns, folder)
                report(title, rows, asked.json)


def speed(presets: Presets, steps: int, turns: int, folder: Path) -> tuple[str, list[Row]]:
    """Return how fast each preset is."""
    rows: list[Row] = []
    for (name, preset), gan in itertools.product(presets.items(), ({}, GAN)):
        asked = ({**preset, **gan}, steps // 2 if gan else steps)
        found = [
            {"steps/CPU-s": fresh(steps_per_cpu_s, *asked, folder=folder)} for _ in range(turns)
        ]
        rows.append({"": name + (", GAN" if gan else ""), **medians(found)})
    return "Speed on one thread, logging as it ships", rows


def watching(presets: Presets, steps: int, turns: int, folder: Path) -> tuple[str, list[Row]]:
    """Return what watching adds to each preset."""
    rows: list[Row] = []
    for name, preset in presets.items():
        found = [fresh(watching_shares, preset, steps, folder=folder) for _ in range(turns)]
        rows.append({"": name, **medians(found)})
    return "What watching adds to a step, per cent of the rest", rows


def profiles(presets: Presets, steps: int, turns: int, folder: Path) -> tuple[str, list[Row]]:
    """Return where the CPU time of a step goes."""
    del turns
    rows: dict[str, dict[str, Any]] = {}
    for name, preset in presets.items():
        for kind, share in fresh(profile, preset, min(steps, 60), folder=folder):
            rows.setdefault(kind, {"": kind})[name] = 100 * share
    return "Where a step goes, per cent of CPU time", list(rows.values())


if __name__ == "__main__":
    main()
