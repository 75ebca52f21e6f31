"""What a store promises about runs that no study wants any more."""

from __future__ import annotations

import dataclasses

import pytest

from ablate.domain import AttemptState, Checkpoint, RunState
from ablate.errors import LeaseLostError, NotFoundError
from ablate.spool.batch import Ending, SpoolBatch
from ablate.store.base import ClaimFilter, MirrorCursor, Store
from ablate.testing.factories import (
    feed,
    logs,
    make_checkpoint,
    make_event,
    make_plan,
    make_variant,
    must_claim,
)
from ablate.testing.stores.imports import CELL, batches, imported, plan_with
from ablate.testing.stores.lineage import branch, family

# ruff: noqa: D102 - a test's name says what it tests


def keep_alone(store: Store, *variants: str, study: str = "scale-fix") -> None:
    """Have a study want these variants alone, at seed 0."""
    store.apply_plan(make_plan(study, variants, seeds=(0,)))


def train(store: Store, state: AttemptState = AttemptState.SUCCEEDED) -> str:
    """Train the next run a little and end it; return its id."""
    claim = must_claim(store)
    checkpoints: tuple[Checkpoint, ...] = (make_checkpoint(100),)
    values = {"x": 1.0, "y": 2.0}
    feed(store, claim, start=None, logs=logs(range(100), values), checkpoints=checkpoints)
    feed(store, claim, events=(make_event("restart", 5),))
    store.finish(claim, Ending(state=state))
    return claim.run.id


class OrphansContract:
    """`orphans` and `delete_orphan`."""

    def test_run_is_orphaned_once_no_study_wants_it(self, store: Store) -> None:
        keep_alone(store, "a", "b")
        keep_alone(store, "b", study="other")
        store.set_archived("other", True)
        orphan_id = train(store)
        train(store)
        assert store.orphans() == ()

        keep_alone(store, "c")

        (orphan,) = store.orphans()
        assert (orphan.run.id, orphan.run.study, orphan.run.label) == (
            orphan_id,
            "scale-fix",
            "a-s0",
        )
        assert (orphan.points, orphan.checkpoints, orphan.is_held) == (200, 1, False)
        store.apply_plan(make_plan("other", ("c",), seeds=(0,)))
        assert {o.run.label for o in store.orphans()} == {"a-s0", "b-s0"}

    def test_deleted_run_leaves_nothing_and_its_place_is_free(self, store: Store) -> None:
        keep_alone(store, "a", "b")
        gone, kept = train(store), train(store)
        cursor = MirrorCursor(run_id=gone, remote_id="r", attempt=1, step=9, is_finished=True)
        store.move_mirror_cursor("m", cursor)
        keep_alone(store, "b")

        assert store.delete_orphan(gone)

        assert store.orphans() == ()
        assert store.run_ids() == {kept}
        assert store.mirror_cursors("m") == ()
        assert store.curves([gone], ["x"]) == ()
        assert store.events([gone]) == ()
        with pytest.raises(NotFoundError):
            store.run(gone)
        (curve,) = store.curves([kept], ["x"])
        assert len(curve.steps) == 100
        assert not store.delete_orphan(gone)
        keep_alone(store, "a", "b")
        (again, _) = store.runs("scale-fix")
        assert (again.state, again.attempts) == (RunState.QUEUED, 0)
        assert again.id != gone

    def test_run_that_a_study_wants_is_not_deleted(self, store: Store) -> None:
        keep_alone(store, "a")
        run_id = train(store)

        assert not store.delete_orphan(run_id)

        keep_alone(store, "b")
        keep_alone(store, "a")
        assert not store.delete_orphan(run_id)
        assert store.run(run_id).step == 99

    def test_run_that_is_being_trained_is_not_deleted(self, store: Store) -> None:
        keep_alone(store, "a")
        claim = must_claim(store)
        keep_alone(store, "b")

        assert not store.delete_orphan(claim.run.id)

        (orphan,) = store.orphans()
        assert orphan.is_held
        (taken,) = store.take_over("second", store.holds())
        store.finish(taken, Ending(state=AttemptState.LOST))
        assert store.delete_orphan(claim.run.id)

    def test_who_held_a_deleted_run_cannot_write_into_the_next(self, store: Store) -> None:
        keep_alone(store, "a")
        late = must_claim(store)
        store.cancel([late.run.id], by="ada")
        keep_alone(store, "b")
        store.delete_orphan(late.run.id)
        new = must_claim(store)  # SQLite gives it the id of the deleted attempt

        late = dataclasses.replace(late, token=new.token)
        with pytest.raises(LeaseLostError):
            store.ingest(late, SpoolBatch(start_offset=0, end_offset=9))
        assert store.renew([late]) == {late.attempt_id}

    def test_run_from_which_a_wanted_one_begins_is_kept(self, store: Store) -> None:
        plan = family()
        store.apply_plan(plan)
        parent_id = train(store)
        child_id = must_claim(store).run.id
        parent = plan.variants[2]
        other = make_plan("other", (branch("child", parent, 100), parent), seeds=(0,))
        store.apply_plan(dataclasses.replace(other, trainer=plan.trainer))
        keep_alone(store, "fresh")
        # A study cannot want a child alone, but it can have wanted both and be kept by another.
        assert parent_id not in {orphan.run.id for orphan in store.orphans()}

        keep_alone(store, "fresh", study="other")

        found = {orphan.run.variant: orphan for orphan in store.orphans()}
        assert found["child"].is_held
        assert not store.delete_orphan(parent_id)
        store.cancel([child_id], by="ada")
        grandchild = next(o.run.id for o in store.orphans() if o.run.variant == "grandchild")
        assert [store.delete_orphan(i) for i in (child_id, grandchild, child_id, parent_id)] == [
            False,
            True,
            True,
            True,
        ]
        assert store.claim("r", ClaimFilter()) is not None

    def test_replaced_import_is_an_orphan(self, store: Store) -> None:
        store.import_run(imported(), batches(), by="ada")
        store.apply_plan(plan_with(CELL))
        newer = dataclasses.replace(CELL, identity="cd" * 32)
        store.import_run(imported(identity=newer.identity), batches(), by="ada")

        (staged,) = store.orphans()
        assert (staged.is_held, staged.run.study, staged.points) == (True, "", 5)
        assert not store.delete_orphan(staged.run.id)

        store.apply_plan(plan_with(newer))
        (replaced,) = store.orphans()
        assert (replaced.is_held, replaced.run.study) == (False, "foreign")
        assert replaced.run.identity == CELL.identity
        assert store.delete_orphan(replaced.run.id)

    def test_branches_of_orphans_that_stay_are_named(self, store: Store) -> None:
        parent = make_variant("parent", is_baseline=True)
        child = branch("child", parent, 100)
        store.apply_plan(make_plan(variants=(parent, child), seeds=(0,)))
        train(store)
        longer = make_variant("parent", config={"steps": 2}, is_baseline=True)

        store.apply_plan(make_plan(variants=(longer, child), seeds=(0,)))

        (orphan,) = store.orphans()
        assert orphan.branches == ("scale-fix/child-s0",)
