"""What a store promises about runs that begin from the checkpoint of another."""

from __future__ import annotations

import dataclasses

import pytest

from ablate.domain import AttemptState, Origin, Plan, RunState, Variant
from ablate.spool.batch import Ending
from ablate.store.base import ClaimFilter, Store
from ablate.testing.factories import (
    feed,
    logs,
    make_checkpoint,
    make_plan,
    make_variant,
    must_claim,
)

# ruff: noqa: D102 - a test's name says what it tests


def branch(name: str, parent: Variant, step: int) -> Variant:
    """Return a variant that begins from a checkpoint of another."""
    origin = Origin(variant=parent.name, identity=parent.identity, step=step)
    return make_variant(name, start_at=origin)


def family(study: str = "scale-fix") -> Plan:
    """Return a plan whose child stands before its parent, and a grandchild before both."""
    parent = make_variant("parent", is_baseline=True)
    child = branch("child", parent, 100)
    return make_plan(study, (branch("grandchild", child, 200), child, parent), seeds=(0,))


class LineageContract:
    """Parents, what waits for them, and from where a claim begins."""

    def test_plan_with_origins_comes_back_and_runs_know_their_parents(self, store: Store) -> None:
        plan = family()

        store.apply_plan(plan)
        store.apply_plan(plan)

        assert store.study("scale-fix").plan == plan
        grandchild, child, parent = store.runs()
        assert parent.parent is None
        assert child.parent is not None
        assert grandchild.parent is not None
        assert (child.parent.run_id, child.parent.variant) == (parent.id, "parent")
        assert (grandchild.parent.run_id, grandchild.parent.step) == (child.id, 200)
        assert (child.parent.state, child.parent.has_checkpoint) == (RunState.QUEUED, False)
        assert child.waits_for == "waits for parent-s0 to reach step 100"

    def test_run_is_claimed_only_once_its_parent_has_made_the_checkpoint(
        self, store: Store
    ) -> None:
        store.apply_plan(family())
        parent = must_claim(store)
        assert parent.run.variant == "parent"
        assert parent.branch_steps == {100}
        assert parent.branch_from is None
        feed(store, parent, start=None, checkpoints=(make_checkpoint(50),))
        assert store.claim("r", ClaimFilter()) is None

        feed(store, parent, checkpoints=(make_checkpoint(100), make_checkpoint(150)))

        child = must_claim(store)
        assert child.run.variant == "child"
        assert child.resume_from == ()
        assert child.branch_from is not None
        assert child.branch_from.run_id == parent.run.id
        assert child.branch_from.checkpoint == make_checkpoint(100)
        assert child.branch_from.label == "parent-s0@100"
        assert child.branch_steps == {200}
        assert child.run.start_step == 100
        assert store.claim("r", ClaimFilter()) is None

    def test_points_of_a_branch_count_behind_its_start_and_a_new_one_replaces_them(
        self, store: Store
    ) -> None:
        store.apply_plan(family())
        parent = must_claim(store)
        feed(store, parent, start=None, checkpoints=(make_checkpoint(100),))
        first = must_claim(store)
        feed(store, first, start=100, logs=logs(range(99, 120), {"x": 1.0}))
        store.finish(first, Ending(state=AttemptState.LOST))

        again = must_claim(store)
        feed(store, again, start=100, logs=logs(range(101, 111), {"x": 2.0}))

        assert again.branch_from == first.branch_from
        (curve,) = store.curves([again.run.id], ["x"])
        assert curve.steps == tuple(range(101, 111))
        assert set(curve.values) == {2.0}

    def test_own_checkpoint_frees_a_run_from_its_parent(self, store: Store) -> None:
        store.apply_plan(family())
        parent = must_claim(store)
        feed(store, parent, start=None, checkpoints=(make_checkpoint(100),))
        child = must_claim(store)
        feed(store, child, start=100, checkpoints=(make_checkpoint(130),))
        store.finish(child, Ending(state=AttemptState.PAUSED))
        store.finish(parent, Ending(state=AttemptState.LOST))
        again = must_claim(store)
        assert again.run.variant == "child"
        store.finish(again, Ending(state=AttemptState.PAUSED))

        parent = must_claim(store, "second")
        while parent.run.variant != "parent":
            parent = must_claim(store, "second")
        feed(store, parent, start=None)  # from the beginning: its checkpoint is replaced

        run = store.run(child.run.id)
        assert run.parent is not None
        assert not run.parent.has_checkpoint
        assert run.waits_for is None
        assert run.start_step == 130

    @pytest.mark.parametrize(
        ("ending", "words"),
        [
            (AttemptState.FAILED, "which failed before step 100"),
            (AttemptState.DIVERGED, "which diverged before step 100"),
            (AttemptState.STOPPED, "which was stopped before step 100"),
            (AttemptState.SUCCEEDED, "which ended without a checkpoint at step 100"),
        ],
    )
    def test_child_of_a_parent_that_ended_waits_and_says_so(
        self, store: Store, ending: AttemptState, words: str
    ) -> None:
        store.apply_plan(family())
        parent = must_claim(store)
        store.finish(parent, Ending(state=ending, reason="because"))

        assert store.claim("r", ClaimFilter()) is None
        _, child, _ = store.runs()
        assert child.state is RunState.QUEUED
        assert child.waits_for == f"waits for parent-s0, {words}"

    def test_requeued_parent_revives_its_child(self, store: Store) -> None:
        store.apply_plan(family())
        parent = must_claim(store)
        store.cancel([parent.run.id], by="ada")
        assert store.claim("r", ClaimFilter()) is None
        store.requeue([parent.run.id], by="ada")

        parent = must_claim(store)
        feed(store, parent, start=None, checkpoints=(make_checkpoint(100),))

        assert must_claim(store).run.variant == "child"

    def test_checkpoint_that_a_resume_replaced_is_not_there(self, store: Store) -> None:
        store.apply_plan(family())
        parent = must_claim(store)
        points = (make_checkpoint(50), make_checkpoint(100))
        feed(store, parent, start=None, checkpoints=points)
        store.finish(parent, Ending(state=AttemptState.LOST))
        second = store.claim("r", ClaimFilter(only=frozenset({"parent"})))
        assert second is not None

        feed(store, second, start=50)

        assert store.claim("r", ClaimFilter()) is None

    def test_filter_by_step_looks_at_where_a_run_begins(self, store: Store) -> None:
        store.apply_plan(family())
        parent = must_claim(store)
        feed(store, parent, start=None, checkpoints=(make_checkpoint(100),))

        assert store.claim("r", ClaimFilter(below_step=100)) is None
        assert store.claim("r", ClaimFilter(below_step=101)) is not None

    def test_studies_that_share_a_family_name_the_parent_each_in_its_words(
        self, store: Store
    ) -> None:
        plan = family()
        store.apply_plan(plan)
        renamed = tuple(dataclasses.replace(v, name=v.name.upper()) for v in plan.variants)
        store.apply_plan(dataclasses.replace(plan, study="other", variants=renamed))

        (ours, theirs) = (store.runs(name)[1] for name in ("scale-fix", "other"))

        assert ours.id == theirs.id
        assert ours.parent is not None
        assert theirs.parent is not None
        assert (ours.parent.variant, theirs.parent.variant) == ("parent", "PARENT")
