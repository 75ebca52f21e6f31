"""What follows when the process of an attempt ends without a word, or hangs."""

from __future__ import annotations

import signal

from ablate.domain import Attempt, AttemptState
from ablate.execution.deaths import count_hangs, ending_of_death, ending_of_hang

KILLED = -signal.SIGKILL


def attempts(*made: tuple[AttemptState, int | None, int | None, str | None]) -> list[Attempt]:
    """Return attempts of (state, exit code, start step, error); the last one is at work."""
    rows = [*made]
    return [
        Attempt(
            id=number,
            run_id="r",
            number=number,
            state=state,
            runner="me",
            started_at=0.0,
            finished_at=1.0,
            start_step=start_step,
            exit_code=exit_code,
            spool_offset=0,
            error=error,
            traceback=None,
            inexact=None,
        )
        for number, (state, exit_code, start_step, error) in enumerate(rows, 1)
    ]


def died(start_step: int | None = None) -> tuple[AttemptState, int, int | None, None]:
    return AttemptState.LOST, KILLED, start_step, None


def hung(start_step: int | None = None) -> tuple[AttemptState, None, int | None, str]:
    return AttemptState.LOST, None, start_step, "hung: nothing logged for 9 s after step 3"


def at_work(start_step: int | None = None) -> tuple[AttemptState, None, int | None, None]:
    return AttemptState.RUNNING, None, start_step, None


def ending(*made: tuple) -> AttemptState:
    return ending_of_death(KILLED, attempts(*made), stops=0).state


def test_third_death_at_one_place_fails_the_run() -> None:
    assert ending(at_work()) is AttemptState.LOST
    assert ending(died(), at_work()) is AttemptState.LOST
    assert ending(died(), died(), at_work()) is AttemptState.FAILED


def test_run_that_gets_further_may_die_as_often_as_it_likes() -> None:
    further = [died(step) for step in range(0, 1000, 100)]
    assert ending(*further, at_work(1000)) is AttemptState.LOST
    assert ending(*further, died(1000), died(1000), at_work(1000)) is AttemptState.FAILED


def test_a_retry_begins_to_count_anew() -> None:
    failed = (AttemptState.FAILED, KILLED, None, "in 3 attempts")
    assert ending(died(), died(), failed, at_work()) is AttemptState.LOST
    assert ending(died(), died(), failed, died(), died(), at_work()) is AttemptState.FAILED


def test_what_we_ended_is_no_death_of_its_own() -> None:
    lost = (AttemptState.LOST, None, None, "its runner died")
    assert ending(lost, lost, lost, at_work()) is AttemptState.LOST
    with_server = ending_of_death(None, attempts(died(), died(), at_work()), stops=0)
    assert (with_server.state, with_server.exit_code) == (AttemptState.LOST, None)


def test_third_hang_at_one_place_fails_the_run() -> None:
    first = ending_of_hang(600.4, 35, attempts(hung(), at_work()))
    last = ending_of_hang(600.4, 35, attempts(hung(), hung(), at_work()))

    assert (first.state, first.reason) == (
        AttemptState.LOST,
        "hung: nothing logged for 600 s after step 35",
    )
    assert last.state is AttemptState.FAILED
    assert "in 3 attempts" in (last.reason or "")


def test_hangs_and_deaths_have_budgets_of_their_own() -> None:
    assert ending(hung(), hung(), died(), at_work()) is AttemptState.LOST
    assert count_hangs(attempts(hung(), died(), hung())) == 2
    assert count_hangs(attempts(hung(), (AttemptState.FAILED, None, None, "x"))) == 0
