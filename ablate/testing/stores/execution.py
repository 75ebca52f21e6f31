"""What a store promises about claims, leases, tokens and states."""

from __future__ import annotations

import dataclasses
import time

import pytest

from ablate.domain import AttemptState, Claim, RunState
from ablate.errors import LeaseLostError
from ablate.spool.batch import Ending, SpoolBatch
from ablate.store.base import ClaimFilter, Store
from ablate.testing.factories import feed, logs, make_checkpoint, make_plan, must_claim

# ruff: noqa: D102 - a test's name says what it tests

ENDINGS = {
    AttemptState.SUCCEEDED: RunState.SUCCEEDED,
    AttemptState.FAILED: RunState.FAILED,
    AttemptState.DIVERGED: RunState.DIVERGED,
    AttemptState.STOPPED: RunState.STOPPED,
    AttemptState.CANCELLED: RunState.CANCELLED,
    AttemptState.PAUSED: RunState.QUEUED,
    AttemptState.LOST: RunState.QUEUED,
}


def assert_lost(store: Store, claim: Claim) -> None:
    """Nothing may be written with this claim any more, and nothing is."""
    attempt = store.attempts(claim.run.id)[claim.attempt - 1]
    offset = attempt.spool_offset
    batch = SpoolBatch(start_offset=offset, end_offset=offset + 9, logs=logs([7], {"stale": 1.0}))
    with pytest.raises(LeaseLostError):
        store.ingest(claim, batch)
    with pytest.raises(LeaseLostError):
        store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
    assert store.renew([claim]) == {claim.attempt_id}
    assert "stale" not in store.metric_keys([claim.run.id])
    assert store.attempts(claim.run.id)[claim.attempt - 1] == attempt


class ExecutionContract:
    """Claims, leases, endings, requeue, cancel."""

    def test_claims_follow_the_plan_of_the_oldest_study(self, store: Store) -> None:
        store.apply_plan(make_plan("zz", ("b", "a"), seeds=(1, 0)))
        store.apply_plan(make_plan("aa", ("c",), seeds=(0,)))

        labels = [must_claim(store).run.label for _ in range(5)]

        assert labels == ["b-s1", "a-s1", "b-s0", "a-s0", "c-s0"]
        assert store.claim("r", ClaimFilter()) is None

    def test_claim_writes_attempt_lease_and_state(self, store: Store) -> None:
        store.apply_plan(make_plan())

        claim = must_claim(store, "runner-7")

        (attempt,) = store.attempts(claim.run.id)
        assert (attempt.id, attempt.number) == (claim.attempt_id, claim.attempt) == (attempt.id, 1)
        assert attempt.state is AttemptState.RUNNING
        assert attempt.runner == "runner-7"
        assert attempt.finished_at is None
        assert claim.run == dataclasses.replace(store.run(claim.run.id), wall_s=claim.run.wall_s)
        assert claim.run.state is RunState.RUNNING
        assert [hold.runner for hold in store.holds()] == ["runner-7"]

    def test_filter_by_study_variant_and_run(self, store: Store) -> None:
        store.apply_plan(make_plan("one", ("a", "b"), seeds=(0, 1)))
        store.apply_plan(make_plan("two", ("c",), seeds=(0,)))
        by_label = {run.label: run.id for run in store.runs()}

        def claim(**wanted: object) -> str | None:
            found = store.claim("r", ClaimFilter(**wanted))  # type: ignore[arg-type]
            return found and found.run.label

        assert claim(studies=frozenset({"two"})) == "c-s0"
        assert claim(studies=frozenset({"two"})) is None
        assert claim(only=frozenset({"b"})) == "b-s0"
        assert claim(only=frozenset({by_label["b-s1"]})) == "b-s1"
        assert claim(excluded_runs=frozenset({by_label["a-s0"]})) == "a-s1"
        assert claim() == "a-s0"

    def test_filter_by_step_looks_at_the_newest_checkpoint(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        claim = must_claim(store)
        feed(store, claim, start=None, checkpoints=(make_checkpoint(100),))
        store.finish(claim, Ending(state=AttemptState.PAUSED))

        assert store.claim("r", ClaimFilter(below_step=100)) is None
        assert store.claim("r", ClaimFilter(below_step=101)) is not None

    def test_run_without_a_checkpoint_is_below_any_step(self, store: Store) -> None:
        store.apply_plan(make_plan())

        assert store.claim("r", ClaimFilter(below_step=1)) is not None

    @pytest.mark.parametrize(("ending", "state"), ENDINGS.items())
    def test_run_takes_the_state_that_follows_from_the_end(
        self, store: Store, ending: AttemptState, state: RunState
    ) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        claim = must_claim(store)

        store.finish(claim, Ending(state=ending, reason="because", traceback="T\nT", exit_code=-9))

        run = store.run(claim.run.id)
        (attempt,) = store.attempts(run.id)
        assert (run.state, run.reason) == (state, "because")
        assert (attempt.state, attempt.error, attempt.traceback) == (ending, "because", "T\nT")
        assert attempt.exit_code == -9
        assert attempt.finished_at is not None
        assert attempt.finished_at >= attempt.started_at
        assert store.holds() == ()
        assert_lost(store, claim)

    def test_explanations_with_odd_characters_do_not_stand_in_the_way(self, store: Store) -> None:
        store.apply_plan(make_plan())
        claim = must_claim(store)

        store.finish(claim, Ending(state=AttemptState.FAILED, reason="a\0b\ud800é🎛️"))

        assert store.run(claim.run.id).reason == "a\\x00b\\ud800é🎛️"

    def test_attempts_are_appended_and_tokens_grow(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        claims = []
        for _ in range(3):
            claims.append(must_claim(store))
            store.finish(claims[-1], Ending(state=AttemptState.PAUSED))

        assert [claim.attempt for claim in claims] == [1, 2, 3]
        assert claims[0].token < claims[1].token < claims[2].token
        numbers = [attempt.number for attempt in store.attempts(claims[0].run.id)]
        assert numbers == [1, 2, 3]
        assert store.run(claims[0].run.id).attempts == 3

    def test_every_renewal_shows_in_the_holds(self, store: Store) -> None:
        store.apply_plan(make_plan())
        claim, other = must_claim(store, "one"), must_claim(store, "two")
        before, unchanged = store.holds()
        assert (before.attempt_id, before.runner) == (claim.attempt_id, "one")

        assert store.renew([claim]) == frozenset()

        after, still = store.holds()
        assert (after.token, after.beats) == (before.token, before.beats + 1)
        assert (still, still.attempt_id) == (unchanged, other.attempt_id)

    def test_runner_that_renewed_after_it_was_seen_is_not_taken_over(self, store: Store) -> None:
        store.apply_plan(make_plan())
        claim = must_claim(store)
        seen = store.holds()
        store.renew([claim])

        assert store.take_over("runner-2", seen) == ()
        assert store.renew([claim]) == frozenset()

    def test_abandoned_attempt_is_taken_over_and_its_holder_fenced_off(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))
        stale, alive = must_claim(store), must_claim(store)
        seen = [hold for hold in store.holds() if hold.attempt_id == stale.attempt_id]

        (claim,) = store.take_over("runner-2", seen)

        assert (claim.attempt_id, claim.attempt) == (stale.attempt_id, 1)
        assert claim.token > stale.token
        assert store.take_over("runner-3", seen) == ()
        assert_lost(store, stale)
        feed(store, claim, logs=logs([1], {"rest": 1.0}))
        store.finish(claim, Ending(state=AttemptState.LOST))
        assert store.run(stale.run.id).state is RunState.QUEUED
        assert store.renew([alive]) == frozenset()

    def test_no_clock_says_who_lives(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.apply_plan(make_plan())
        claim = must_claim(store)
        seen = store.holds()

        monkeypatch.setattr(time, "time", lambda: 4e9)

        assert store.holds() == seen
        assert store.renew([claim]) == frozenset()

    def test_what_was_logged_before_a_run_was_lost_is_kept_by_attempt(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        late = must_claim(store)
        feed(store, late, start=None, logs=logs(range(3), {"x": 1.0}))
        feed(store, late, checkpoints=(make_checkpoint(2),))
        (taken,) = store.take_over("runner-2", store.holds())
        rest = SpoolBatch(start_offset=200, end_offset=300, logs=logs(range(3, 6), {"x": 2.0}))
        with pytest.raises(LeaseLostError):
            store.ingest_late(late, rest)  # the new owner reads the spool itself
        store.finish(taken, Ending(state=AttemptState.LOST))
        again = must_claim(store)
        feed(store, again, start=2, logs=logs(range(3, 5), {"x": 3.0}))

        assert store.ingest_late(late, rest) == 300
        assert store.ingest_late(late, rest) == 300

        (curve,) = store.curves([late.run.id], ["x"])
        assert curve.values == (1.0, 1.0, 1.0, 3.0, 3.0)
        assert [a.spool_offset for a in store.attempts(late.run.id)] == [300, 100]
        assert store.run(late.run.id).state is RunState.RUNNING

    def test_deleted_checkpoints_leave_the_list(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        first = must_claim(store)
        feed(store, first, start=None, checkpoints=(make_checkpoint(100), make_checkpoint(200)))
        store.finish(first, Ending(state=AttemptState.LOST))
        second = must_claim(store)

        pruned = (make_checkpoint(100).path,)
        feed(store, second, start=200, checkpoints=(make_checkpoint(300),), pruned=pruned)

        assert [point.step for point in store.checkpoints(first.run.id)] == [300, 200]

    def test_next_attempt_is_told_the_checkpoints_newest_first(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        claim = must_claim(store)
        assert claim.resume_from == ()
        points = tuple(make_checkpoint(step) for step in (100, 200))
        feed(store, claim, start=None, checkpoints=points)
        store.finish(claim, Ending(state=AttemptState.LOST))

        claim = must_claim(store)

        assert claim.resume_from == (make_checkpoint(200), make_checkpoint(100))
        assert claim.run.checkpoint_step == 200

    def test_checkpoints_that_a_resume_replaced_are_not_offered(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        first = must_claim(store)
        points = tuple(make_checkpoint(step) for step in (100, 200, 300))
        feed(store, first, start=None, checkpoints=points)
        store.finish(first, Ending(state=AttemptState.LOST))
        second = must_claim(store)
        feed(store, second, start=100, checkpoints=(make_checkpoint(150),))
        store.finish(second, Ending(state=AttemptState.LOST))

        steps = [checkpoint.step for checkpoint in store.checkpoints(first.run.id)]

        assert steps == [150, 100]
        assert [c.step for c in must_claim(store).resume_from] == [150, 100]

    def test_requeue_moves_finished_runs_but_not_succeeded_ones(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b", "c", "d", "e"), seeds=(0,)))
        endings = [AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.DIVERGED]
        ids = []
        for ending in endings:
            claim = must_claim(store)
            store.finish(claim, Ending(state=ending, reason="why"))
            ids.append(claim.run.id)
        ids.append(must_claim(store).run.id)

        assert store.requeue([*ids, "unknown"], by="ada") == (ids[1], ids[2])

        states = [store.run(run_id).state for run_id in ids]
        assert states == [RunState.SUCCEEDED, RunState.QUEUED, RunState.QUEUED, RunState.RUNNING]
        assert store.run(ids[1]).reason is None
        assert store.requeue(ids, by="ada") == ()

    def test_cancel_moves_queued_and_running_runs(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b", "c"), seeds=(0,)))
        done, running = must_claim(store), must_claim(store)
        store.finish(done, Ending(state=AttemptState.SUCCEEDED))
        queued = store.runs()[2].id

        moved = store.cancel([queued, running.run.id, done.run.id], by="ada")

        assert moved == (queued, running.run.id)
        assert store.run(queued).state is RunState.CANCELLED
        assert store.run(running.run.id).state is RunState.CANCELLED
        assert store.run(done.run.id).state is RunState.SUCCEEDED
        (attempt,) = store.attempts(running.run.id)
        assert attempt.state is AttemptState.CANCELLED
        assert_lost(store, running)

    def test_run_that_starts_over_has_nothing_and_keeps_all_by_attempt(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        claim = must_claim(store)
        assert store.start_over([claim.run.id], by="ada") == ()
        feed(store, claim, start=None, logs=logs([1, 2], {"x": 1.0}))
        feed(store, claim, checkpoints=(make_checkpoint(2),))
        store.finish(claim, Ending(state=AttemptState.SUCCEEDED))

        assert store.start_over([claim.run.id, "unknown"], by="ada") == (claim.run.id,)

        run = store.run(claim.run.id)
        assert (run.state, run.step, run.checkpoint_step) == (RunState.QUEUED, None, None)
        again = must_claim(store)
        assert (again.attempt, again.resume_from) == (2, ())
        assert len(store.attempts(run.id)) == 2

    def test_cancelled_run_can_be_requeued_and_old_claims_stay_lost(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        old = must_claim(store)
        store.cancel([old.run.id], by="ada")
        store.requeue([old.run.id], by="ada")

        new = must_claim(store)

        assert new.attempt == 2
        assert new.token > old.token
        assert_lost(store, old)
        store.finish(new, Ending(state=AttemptState.SUCCEEDED))
