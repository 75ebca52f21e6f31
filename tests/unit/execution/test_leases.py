"""Who may be taken over, and until when a trainer may go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.attempt.permit import Permit, clock
from ablate.attempt.runners import Life
from ablate.domain import Hold
from ablate.execution.leases import Watch


class World:
    """A clock that the test sets, and runners whose lives it decides."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lives: dict[str, Life] = {}
        self.watch = Watch(
            now=lambda: self.now, life=lambda name: self.lives.get(name, Life.UNKNOWN)
        )

    def look(self, *holds: Hold, after_s: float = 5.0, took_s: float = 0.0) -> tuple[Hold, ...]:
        self.now += after_s
        asked_at = self.now
        self.now += took_s
        return self.watch.abandoned(holds, asked_at)


HOLD = Hold(attempt_id=1, runner="other", token=1, beats=0, lease_s=30.0)


def test_dead_runner_is_taken_over_at_once() -> None:
    world = World()
    world.lives["other"] = Life.DEAD

    assert world.look(HOLD) == (HOLD,)


def test_living_runner_of_this_machine_is_never_taken_over() -> None:
    world = World()
    world.lives["other"] = Life.ALIVE

    assert [world.look(HOLD) for _ in range(1000)] == [()] * 1000
    assert not world.watch.is_undecided


def test_unknown_runner_is_taken_over_when_it_gave_no_sign_for_a_lease() -> None:
    world = World()

    seen = [world.look(HOLD) for _ in range(7)]

    assert seen == [(), (), (), (), (), (), (HOLD,)]


def test_every_beat_begins_a_new_lease() -> None:
    world = World()

    seen = [world.look(replace(HOLD, beats=n // 6)) for n in range(60)]

    assert not any(seen)
    assert not world.watch.is_undecided


def test_time_without_the_database_does_not_count() -> None:
    world = World()
    for _ in range(6):
        assert world.look(HOLD) == ()

    assert world.look(HOLD, after_s=120) == ()
    assert [world.look(HOLD) for _ in range(6)] == [(), (), (), (), (), (HOLD,)]


def test_answer_that_was_long_in_coming_was_an_outage() -> None:
    world = World()
    for _ in range(6):
        assert world.look(HOLD) == ()

    assert world.look(HOLD, took_s=10) == ()
    assert [world.look(HOLD) for _ in range(5)] == [()] * 5


def test_after_an_outage_that_its_owner_noticed_it_watches_anew() -> None:
    world = World()
    for _ in range(6):
        assert world.look(HOLD) == ()

    world.watch.restart()

    assert [world.look(HOLD) for _ in range(7)] == [(), (), (), (), (), (), (HOLD,)]


def test_undecided_until_a_sign_or_the_end() -> None:
    world = World()
    world.look(HOLD)
    assert world.watch.is_undecided
    world.look(replace(HOLD, beats=1))
    assert not world.watch.is_undecided
    world.look()
    assert not world.watch.is_undecided


def test_permit_is_valid_until_its_time(tmp_path: Path) -> None:
    runner, trainer = Permit(tmp_path / "permit"), Permit(tmp_path / "permit")
    assert trainer.is_valid  # a trainer that no runner limits

    trainer = Permit(tmp_path / "permit")
    runner.extend(clock() - 1)
    assert not trainer.is_valid
    runner.extend(clock() + 60)
    assert trainer.is_valid


def test_damaged_permit_permits_nothing(tmp_path: Path) -> None:
    (tmp_path / "permit").write_bytes(b"abc")

    assert not Permit(tmp_path / "permit").is_valid


def test_permit_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Permit(tmp_path / "nowhere" / "permit").extend(1.0)
