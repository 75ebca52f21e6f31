"""When a run that logs nothing counts as hung."""

from __future__ import annotations

import pytest

from ablate.execution.pace import Pace


class Run:
    """A run that logs now and then, looked at four times a second."""

    def __init__(self, limit_s: float | None = None, n_hangs: int = 0) -> None:
        self.now = 0.0
        self.pace = Pace(limit_s, n_hangs=n_hangs, now=lambda: self.now)

    def step(self, seconds: float) -> None:
        self.idle(seconds - 0.25)
        self._look(has_logged=True)

    def idle(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.25)):
            self._look(has_logged=False)

    def _look(self, *, has_logged: bool) -> None:
        self.now += 0.25
        self.pace.look(has_logged=has_logged)


def test_slow_start_is_no_hang_but_an_endless_one_is() -> None:
    run = Run()
    run.idle(1790)
    assert not run.pace.is_hung
    run.idle(20)
    assert run.pace.is_hung


def test_fast_run_may_evaluate_for_ten_minutes() -> None:
    run = Run()
    for _ in range(100):
        run.step(0.5)
    run.idle(590)
    assert not run.pace.is_hung
    run.idle(20)
    assert run.pace.is_hung


def test_slow_run_is_given_twenty_of_its_longest_steps() -> None:
    run = Run()
    for seconds in (60, 120, 60):
        run.step(seconds)
    run.idle(2390)
    assert not run.pace.is_hung
    run.idle(20)
    assert run.pace.is_hung


def test_run_that_hung_before_is_given_more_time() -> None:
    run = Run(n_hangs=1)
    run.step(1)
    run.step(1)
    run.idle(2390)
    assert not run.pace.is_hung
    run.idle(20)
    assert run.pace.is_hung


@pytest.mark.parametrize(("declared_s", "is_hung"), [(20.0, True), (0.0, False)])
def test_declared_limit_is_the_limit(declared_s: float, is_hung: bool) -> None:
    run = Run(declared_s)
    run.idle(21)
    assert run.pace.is_hung is is_hung
    run.idle(4000)
    assert run.pace.is_hung is is_hung


def test_time_in_which_nobody_looked_does_not_count() -> None:
    run = Run(20.0)
    run.now += 4000
    run.idle(10)
    assert not run.pace.is_hung


def test_unusual_pause_is_told() -> None:
    run = Run()
    for _ in range(10):
        run.step(1)
    run.idle(59)
    assert run.pace.told_s is None
    run.idle(16)
    assert run.pace.told_s == pytest.approx(75)
    run.step(1)
    assert run.pace.told_s is None
