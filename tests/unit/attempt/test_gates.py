"""Gates: what a run is judged by while it trains, and that a resumed run is judged alike."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ablate.analysis.curves.windows import value_at, value_before
from ablate.attempt.gates import GateWatch
from ablate.attempt.job import Job
from ablate.domain import AttemptState
from ablate.rules import Action
from ablate.store.curves import Curve
from tests.support.attempts import Attempt
from tests.support.jobs import KEY, demand, gate, make_job


def judged(attempt: Attempt) -> list[tuple[int, Any, Any]]:
    return [
        (event.step, event.data["values"], event.data["statuses"])
        for event in attempt.read().events
        if event.name == "gate_judged"
    ]


def test_job_with_gates_survives_its_file(tmp_path: Path) -> None:
    job = make_job(tmp_path, gates=(gate(5), gate(9, demand(rule="mean_last_10%"), do="flag")))

    assert Job.read(job.write()) == job


def test_a_critical_target_stops_the_run_with_its_reason(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, gates=(gate(10, demand(), demand(">= 8", key="a/b")),))
    for step in range(11):
        attempt.context.log({KEY: 0.0037, "a/b": 3.0}, step)

    assert attempt.context.should_stop
    ending = attempt.context.ending
    assert ending.state is AttemptState.STOPPED
    assert ending.reason == (
        "gate 10: train/audio/rms 0.0037 is critical (0.075 +-20%), a/b 3 is critical (>= 8)"
    )
    statuses = {KEY: "critical", "a/b": "critical"}
    assert judged(attempt) == [(10, {KEY: 0.0037, "a/b": 3.0}, statuses)]


@pytest.mark.parametrize(
    ("do", "value"), [("flag", 0.0037), ("stop", 0.1), ("stop", 0.075), ("stop", None)]
)
def test_what_is_not_critical_or_only_flagged_goes_on(
    tmp_path: Path, do: Action, value: float | None
) -> None:
    attempt = Attempt(tmp_path, gates=(gate(10, do=do),))
    for step in range(21):
        attempt.context.log({"a/b": 1.0} | ({KEY: value} if value else {}), step)

    assert not attempt.context.should_stop
    assert len(judged(attempt)) == 1


def test_a_value_that_is_no_number_is_critical(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, gates=(gate(10),))
    attempt.context.log({KEY: math.nan}, 10)

    assert attempt.context.should_stop
    assert attempt.context.ending.reason == "gate 10: train/audio/rms nan is critical (0.075 +-20%)"


@pytest.mark.parametrize("asked", ["log", "save", "should_stop", "ending"])
def test_all_that_is_logged_at_the_step_counts_in_any_order(tmp_path: Path, asked: str) -> None:
    attempt = Attempt(tmp_path, gates=(gate(10, demand(), demand(">= 8", key="v/b"), do="flag"),))
    attempt.context.log({KEY: 0.5, "v/b": 0.0}, 9)
    attempt.context.log({"v/b": 9.0}, 10)
    attempt.context.log({KEY: 0.075}, 10)
    assert judged(attempt) == []

    match asked:
        case "log":
            attempt.context.log({KEY: 0.5, "v/b": 0.0}, 11)
        case "save":
            attempt.context.save(10, {})
        case _:
            assert getattr(attempt.context, asked) is not None

    assert judged(attempt) == [(10, {KEY: 0.075, "v/b": 9.0}, {KEY: "good", "v/b": "good"})]


def test_values_on_a_device_count_at_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablate.attempt.device_log.is_on_device", lambda _: True)
    attempt = Attempt(tmp_path, gates=(gate(10),))
    attempt.context.log({KEY: torch.tensor(0.075)}, 9)
    attempt.context.log({KEY: torch.tensor(0.5)}, 10)

    assert attempt.context.should_stop
    assert judged(attempt) == [(10, {KEY: 0.5}, {KEY: "critical"})]


def test_a_gate_between_logged_steps_is_judged_by_what_was_before_it(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, gates=(gate(15, do="flag"),))
    for step in (10, 20):
        attempt.context.log({KEY: 0.0075 * step}, step)
        assert not attempt.context.should_stop

    assert judged(attempt) == [(15, {KEY: 0.075}, {KEY: "good"})]


def test_a_resumed_run_is_judged_alike_and_once(tmp_path: Path) -> None:
    drift = demand("drift < 10%", "mean_last_50", key="a/norm")
    gates = (gate(10, drift, do="flag"), gate(30, drift, do="stop"))
    calm, first = Attempt(tmp_path / "calm", gates=gates), Attempt(tmp_path / "run", gates=gates)

    def train(attempt: Attempt, steps: range) -> None:
        for step in steps:
            attempt.context.log({"a/norm": 1.0 + step / 60}, step)

    train(calm, range(31))
    train(first, range(21))
    first.context.save(20, {})
    resumed = Attempt(tmp_path / "run", attempt=2, gates=gates, resume_from=first.checkpoints())
    resumed.context.resume()
    train(resumed, range(21, 31))

    assert calm.context.ending.state is AttemptState.STOPPED
    assert resumed.context.ending == calm.context.ending
    assert judged(first) + judged(resumed) == judged(calm)
    assert len(judged(calm)) == 2


def test_gates_added_to_the_study_behind_a_checkpoint_are_not_judged(tmp_path: Path) -> None:
    first = Attempt(tmp_path)
    first.context.log({KEY: 0.5}, 20)
    first.context.save(20, {})
    gates = (gate(10), gate(30, do="flag"))

    resumed = Attempt(tmp_path, attempt=2, gates=gates, resume_from=first.checkpoints())
    resumed.context.resume()
    resumed.context.log({KEY: 0.075}, 30)

    assert not resumed.context.should_stop
    assert [step for step, _, _ in judged(resumed)] == [30]


RULES = ("last", "min", "max", "mean_last_10%", "mean_last_100%", "mean_last_5")
points = st.lists(
    st.tuples(st.integers(0, 30), st.floats(0, 2) | st.just(math.nan)), min_size=1, max_size=40
)


@given(points, st.sampled_from(RULES), st.sampled_from(["drift < 10%", ">= 1"]), st.integers(1, 30))
def test_a_gate_sees_what_a_comparison_at_its_step_sees(
    logged: list[tuple[int, float]], rule: str, target: str, cut: int
) -> None:
    """Also when the run was interrupted at any step before it, and points come out of order."""
    one = demand(target, rule)
    gates = (gate(20, one), gate(31, one))
    watch = GateWatch(gates)
    for index, (step, value) in enumerate(logged):
        watch.observe({KEY: value}, step)
        if index == cut:
            state = json.loads(json.dumps(watch.state()))
            watch = GateWatch(gates)
            watch.restore(state, 0)

    found = watch.judge(40)

    steps, values = zip(*sorted(dict(logged).items()), strict=True)
    curve = Curve(run_id="r", key=KEY, steps=steps, values=values)
    for judgement in found:
        seen = value_at(curve, one.rule, judgement.gate.step)
        initial = value_before(curve, seen) if seen else None
        expected = one.target.judge(seen and seen.value, initial)
        assert judgement.values.get(KEY, "none") == pytest.approx(
            seen.value if seen else "none", abs=0, nan_ok=True
        )
        assert judgement.statuses[KEY] is expected
