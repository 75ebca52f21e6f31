"""What a store promises about runs that go on as those of a longer variant."""

from __future__ import annotations

import dataclasses

import pytest

from ablate.domain import AttemptState, Claim, Longer, Origin, Plan, RunState
from ablate.errors import UsageError
from ablate.spool.batch import Ending
from ablate.store.base import MirrorCursor, Store
from ablate.testing.factories import (
    feed,
    logs,
    make_checkpoint,
    make_plan,
    make_variant,
    must_claim,
)

# ruff: noqa: D102 - a test's name says what it tests

SHORT = make_variant("base", config={"steps": 50}, is_baseline=True)
LONG = make_variant("base", config={"steps": 80}, is_baseline=True)
LONGER = Longer(
    variant="base", identity=LONG.identity, former=SHORT.identity, change="steps 50 -> 80"
)


def short(study: str = "scale-fix", seeds: tuple[int, ...] = (0,)) -> Plan:
    """Return the plan of the runs that are there."""
    return make_plan(study, (SHORT,), seeds=seeds)


def trained(store: Store, state: AttemptState = AttemptState.SUCCEEDED) -> Claim:
    """Train the next run to step 50, with a checkpoint there."""
    claim = must_claim(store)
    points = logs([10, 50], {"a/b": 1.0})
    feed(store, claim, start=None, logs=points, checkpoints=(make_checkpoint(50),))
    store.finish(claim, Ending(state=state))
    return claim


class LongerContract:
    """Which runs can go on, and what they are then."""

    def test_run_goes_on_from_its_checkpoint_with_its_points(self, store: Store) -> None:
        store.apply_plan(short())
        run_id = trained(store).run.id
        assert store.can_go_on("scale-fix", [LONGER], [0]) == (run_id,)
        store.move_mirror_cursor(
            "m", MirrorCursor(run_id=run_id, remote_id="r", attempt=1, step=50, is_finished=True)
        )

        moved = store.apply_plan(make_plan(variants=(LONG,), seeds=(0,)), longer=[LONGER], by="me")

        assert moved == (run_id,)
        (run,) = store.runs()
        assert (run.id, run.identity, run.config) == (run_id, LONG.identity, {"steps": 80})
        assert (run.state, run.step) == (RunState.QUEUED, 50)
        assert store.mirror_cursors("m") == ()
        claim = must_claim(store)
        assert [c.step for c in claim.resume_from] == [50]
        feed(store, claim, start=50, inexact="steps 50 -> 80", logs=logs([80], {"a/b": 2.0}))
        store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
        (curve,) = store.curves([run_id], ["a/b"])
        assert tuple(curve.steps) == (10, 50, 80)
        assert store.run(run_id).inexact == "steps 50 -> 80"

    def test_without_being_told_nothing_goes_on(self, store: Store) -> None:
        store.apply_plan(short())
        run_id = trained(store).run.id

        assert store.apply_plan(make_plan(variants=(LONG,), seeds=(0,))) == ()

        assert store.run(run_id).identity == SHORT.identity
        assert [run.state for run in store.runs()] == [RunState.QUEUED]

    def test_each_seed_goes_on_where_it_can(self, store: Store) -> None:
        store.apply_plan(short(seeds=(0, 1, 2)))
        done = trained(store).run.id
        trained(store, AttemptState.FAILED)

        moved = store.apply_plan(make_plan(variants=(LONG,), seeds=(0, 1, 2)), longer=[LONGER])

        assert moved == (done,)
        assert [run.step for run in store.runs()] == [50, None, None]

    def test_seed_that_is_no_longer_wanted_stays_as_it_is(self, store: Store) -> None:
        store.apply_plan(short(seeds=(0,)))
        trained(store)

        assert store.apply_plan(make_plan(variants=(LONG,), seeds=(1,)), longer=[LONGER]) == ()

    @pytest.mark.parametrize("state", [AttemptState.PAUSED, AttemptState.LOST])
    def test_run_that_waits_to_be_resumed_goes_on(self, store: Store, state: AttemptState) -> None:
        store.apply_plan(short())
        run_id = trained(store, state).run.id

        moved = store.apply_plan(make_plan(variants=(LONG,), seeds=(0,)), longer=[LONGER])

        assert moved == (run_id,)

    @pytest.mark.parametrize(
        "state", [AttemptState.FAILED, AttemptState.DIVERGED, AttemptState.STOPPED]
    )
    def test_run_that_ended_badly_does_not(self, store: Store, state: AttemptState) -> None:
        store.apply_plan(short())
        trained(store, state)

        assert store.can_go_on("scale-fix", [LONGER], [0]) == ()

    def test_running_and_unsaved_runs_do_not(self, store: Store) -> None:
        store.apply_plan(short())
        claim = must_claim(store)
        feed(store, claim, start=None, checkpoints=(make_checkpoint(50),))
        assert store.can_go_on("scale-fix", [LONGER], [0]) == ()

        store.apply_plan(short(seeds=(1,)))
        unsaved = must_claim(store)
        store.finish(unsaved, Ending(state=AttemptState.SUCCEEDED))
        assert store.can_go_on("scale-fix", [LONGER], [1]) == ()

    def test_run_that_another_study_wants_stays(self, store: Store) -> None:
        store.apply_plan(short())
        store.apply_plan(short("other"))
        run_id = trained(store).run.id
        store.set_archived("other", True)

        assert store.apply_plan(make_plan(variants=(LONG,), seeds=(0,)), longer=[LONGER]) == ()
        assert store.run(run_id).identity == SHORT.identity

    def test_run_from_which_another_begins_stays(self, store: Store) -> None:
        origin = Origin(variant="base", identity=SHORT.identity, step=50)
        child = make_variant("child", config={"steps": 90}, start_at=origin)
        store.apply_plan(make_plan(variants=(SHORT, child), seeds=(0,)))
        trained(store)

        assert store.can_go_on("scale-fix", [LONGER], [0]) == ()

    def test_longer_run_that_is_there_already_is_not_made_twice(self, store: Store) -> None:
        store.apply_plan(make_plan("other", (LONG,), seeds=(0,)))
        longer = trained(store).run.id
        store.apply_plan(short())
        trained(store)

        assert store.apply_plan(make_plan(variants=(LONG,), seeds=(0,)), longer=[LONGER]) == ()

        assert [run.id for run in store.runs("scale-fix")] == [longer]

    def test_plan_that_is_refused_leaves_runs_as_they_were(self, store: Store) -> None:
        store.apply_plan(short())
        run_id = trained(store).run.id
        bad = dataclasses.replace(LONG, name="bad\0", is_baseline=False)

        with pytest.raises(UsageError, match="variant name"):
            store.apply_plan(make_plan(variants=(LONG, bad), seeds=(0,)), longer=[LONGER])

        assert store.run(run_id).identity == SHORT.identity
