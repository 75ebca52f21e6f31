"""What a store promises about points, events and mirrors."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.domain import AttemptState, Claim
from ablate.errors import UsageError
from ablate.spool.batch import Ending, SpoolBatch, StepValues
from ablate.store.base import MirrorCursor, Store
from ablate.testing.factories import (
    feed,
    logs,
    make_checkpoint,
    make_event,
    make_plan,
    must_claim,
)

# ruff: noqa: D102 - a test's name says what it tests

SPECIAL = (0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308, math.nan, math.inf, -math.inf, 3.0, 0.1)

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
floats = st.sampled_from(SPECIAL) | st.floats()


def bits(value: float) -> bytes:
    """Return what tells -0.0 from 0.0 and is equal for every NaN."""
    return b"nan" if math.isnan(value) else struct.pack("<d", value)


def read(
    store: Store, run_id: str, key: str, first_step: int = 0, last_step: int | None = None
) -> dict[int, float]:
    """Return step -> value of one curve."""
    found = store.curves([run_id], [key], first_step=first_step, last_step=last_step)
    return {s: v for curve in found for s, v in zip(curve.steps, curve.values, strict=True)}


def start(store: Store) -> Claim:
    """Claim the run of a study that has one."""
    store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
    return must_claim(store)


def next_attempt(store: Store, claim: Claim) -> Claim:
    """End an attempt as lost and claim the run again."""
    store.finish(claim, Ending(state=AttemptState.LOST))
    return must_claim(store)


class MetricsContract:
    """Points, resumes, events, mirror cursors."""

    def test_special_values_come_back_bit_for_bit(self, store: Store) -> None:
        claim = start(store)
        keys = tuple(f"key{n}" for n in range(len(SPECIAL)))

        feed(store, claim, start=None, logs=(StepValues(0, 1.5, keys, SPECIAL),))

        curves = store.curves([claim.run.id], keys)
        assert [curve.key for curve in curves] == list(keys)
        assert [bits(curve.values[0]) for curve in curves] == [bits(value) for value in SPECIAL]

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.differing_executors,  # one subclass of the contract for each store
        ],
    )
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 8) | st.integers(0, 2**63 - 1),
                st.floats(0, 4e9),
                st.dictionaries(names, floats, max_size=4),
            ),
            max_size=12,
        ),
        st.integers(0, 12),
    )
    def test_any_logs_come_back_the_last_value_counting(
        self,
        store: Store,
        calls: list[tuple[int, float, dict[str, float]]],
        split: int,
    ) -> None:
        study = f"study {len(store.studies())}"
        store.apply_plan(make_plan(study, (study,), seeds=(0,)))
        claim = must_claim(store)
        made = [StepValues(s, t, tuple(v), tuple(v.values())) for s, t, v in calls]

        feed(store, claim, start=None, logs=tuple(made[:split]))
        feed(store, claim, logs=tuple(made[split:]))

        expected: dict[str, dict[int, tuple[bytes, float]]] = {}
        for step, time, values in calls:
            for key, value in values.items():
                expected.setdefault(key, {})[step] = bits(value), time
        assert store.metric_keys([claim.run.id]) == tuple(sorted(expected))
        curves = store.curves([claim.run.id], sorted(expected))
        assert {
            curve.key: {
                step: (bits(value), time)
                for step, value, time in zip(curve.steps, curve.values, curve.times, strict=True)
            }
            for curve in curves
        } == expected
        assert all(curve.steps == tuple(sorted(curve.steps)) for curve in curves)

    def test_streamed_pieces_together_are_the_curves(self, store: Store) -> None:
        claim = start(store)
        feed(store, claim, start=None, logs=logs(range(110), {"b": 1.0, "a": math.inf}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=30, logs=logs(range(29, 90), {"a": -0.0}, time=9.5))
        ids, keys = [claim.run.id], ["b", "none", "a"]

        pieces = list(store.stream(ids, keys))

        whole = store.curves(ids, keys)
        assert [(c.run_id, c.key) for c in whole] == list(
            dict.fromkeys((piece.run_id, piece.key) for piece in pieces)
        )
        for curve in whole:
            own = [piece for piece in pieces if piece.key == curve.key]
            assert sum((piece.steps for piece in own), ()) == curve.steps
            assert sum((piece.times for piece in own), ()) == curve.times
            values = [bits(value) for piece in own for value in piece.values]
            assert values == list(map(bits, curve.values))

    def test_curves_come_by_run_then_key_as_given_and_within_the_range(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))
        one, two = must_claim(store), must_claim(store)
        feed(store, one, start=None, logs=logs(range(10), {"x": 1.0, "y": 2.0}))
        feed(store, two, start=None, logs=logs(range(5), {"y": 3.0}))

        ids = [two.run.id, one.run.id]
        curves = store.curves(ids, ["y", "x", "none"], first_step=3, last_step=6)

        assert [(c.run_id, c.key, c.steps) for c in curves] == [
            (two.run.id, "y", (3, 4)),
            (one.run.id, "y", (3, 4, 5, 6)),
            (one.run.id, "x", (3, 4, 5, 6)),
        ]
        assert curves[0].times == (4.5, 5.5)
        assert store.metric_keys([two.run.id]) == ("y",)
        assert store.keys_by_run([*ids, "none"]) == {one.run.id: ("x", "y"), two.run.id: ("y",)}
        assert store.metric_keys(ids) == ("x", "y")
        assert store.curves([], ["x"]) == store.curves(ids, []) == ()

    def test_batch_that_was_stored_changes_nothing(self, store: Store) -> None:
        claim = start(store)
        batch = feed(
            store, claim, start=None, logs=logs([1], {"x": 1.0}), events=(make_event("e", 1),)
        )

        assert store.ingest(claim, batch) == batch.end_offset

        assert read(store, claim.run.id, "x") == {1: 1.0}
        assert len(store.events([claim.run.id])) == 1

    def test_batch_after_a_gap_writes_nothing_and_says_where_to_read(self, store: Store) -> None:
        claim = start(store)
        stored = feed(store, claim, start=None, logs=logs([1], {"x": 1.0})).end_offset
        gap = SpoolBatch(start_offset=stored + 1, end_offset=stored + 9, logs=logs([2], {"x": 2.0}))

        assert store.ingest(claim, gap) == stored

        assert read(store, claim.run.id, "x") == {1: 1.0}

    def test_of_one_key_and_step_the_later_value_counts(self, store: Store) -> None:
        claim = start(store)
        twice = (*logs([1], {"x": 1.0}), *logs([1], {"x": 2.0, "y": 5.0}, time=9.0))

        feed(store, claim, start=None, logs=twice)
        assert read(store, claim.run.id, "x") == {1: 2.0}
        feed(store, claim, logs=logs([1, 2], {"x": 3.0}, time=20.0))

        (x, y) = store.curves([claim.run.id], ["x", "y"])
        assert dict(zip(x.steps, x.values, strict=True)) == {1: 3.0, 2: 3.0}
        assert x.times == (21.0, 22.0)
        assert (y.values, y.times) == ((5.0,), (10.0,))

    def test_steps_may_come_in_any_order(self, store: Store) -> None:
        claim = start(store)

        feed(store, claim, start=None, logs=logs([5, 2, 9], {"x": 1.0}))
        feed(store, claim, logs=logs([1, 7], {"x": 2.0}))

        assert read(store, claim.run.id, "x") == {1: 2.0, 2: 1.0, 5: 1.0, 7: 2.0, 9: 1.0}
        assert store.run(claim.run.id).step == 9

    @pytest.mark.parametrize("key", ["", "a\0b", "\ud800", "k" * 2000])
    def test_key_that_cannot_be_stored_is_refused_before_anything_is_written(
        self, store: Store, key: str
    ) -> None:
        claim = start(store)
        batch = SpoolBatch(start_offset=0, end_offset=9, logs=logs([1], {"good": 1.0, key: 1.0}))

        with pytest.raises(UsageError, match="metric key"):
            store.ingest(claim, batch)

        assert store.metric_keys([claim.run.id]) == ()
        assert store.attempts(claim.run.id)[0].spool_offset == 0

    def test_resume_replaces_what_came_after_its_checkpoint(self, store: Store) -> None:
        claim = start(store)
        feed(store, claim, start=None, logs=logs(range(0, 160, 10), {"x": 1.0, "once": 1.0}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=100, inexact="other GPU", logs=logs([110, 120], {"x": 2.0}))

        found = read(store, claim.run.id, "x")

        assert found == {**dict.fromkeys(range(0, 101, 10), 1.0), 110: 2.0, 120: 2.0}
        assert max(read(store, claim.run.id, "once")) == 100
        assert store.run(claim.run.id).step == 120
        assert store.attempts(claim.run.id)[1].inexact == "other GPU"
        assert store.attempts(claim.run.id)[1].start_step == 100

    def test_step_of_a_resume_counts_once_whoever_logged_it(self, store: Store) -> None:
        claim = start(store)
        feed(store, claim, start=None, logs=logs(range(0, 101, 50), {"both": 1.0}))
        feed(store, claim, logs=logs([0, 50], {"later": 1.0}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=100, logs=logs([100], {"both": 2.0, "later": 2.0, "new": 2.0}))
        feed(store, claim, logs=logs([100, 110], {"late": 2.0}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=100, logs=logs([100, 110], dict.fromkeys(("late", "new"), 3.0)))

        run_id = claim.run.id
        assert read(store, run_id, "both") == {0: 1.0, 50: 1.0, 100: 1.0}
        assert read(store, run_id, "later") == {0: 1.0, 50: 1.0, 100: 2.0}
        assert read(store, run_id, "new") == {100: 2.0, 110: 3.0}
        assert read(store, run_id, "late") == {100: 2.0, 110: 3.0}
        keys = ["both", "later", "new", "late"]
        found = {(m.key, m.n): m.mean for m in store.means([run_id], keys, [(51, 120)])}
        assert found == {("both", 1): 1.0, ("later", 1): 2.0, ("new", 2): 2.5, ("late", 2): 2.5}
        (streamed,) = [c.steps for c in store.stream([run_id], ["new"]) if c.steps[0] == 100]
        assert streamed == (100,)
        assert store.run(run_id).step == 110

    def test_points_at_a_resume_join_the_bucket_of_those_before_and_after(
        self, store: Store
    ) -> None:
        claim = start(store)
        feed(store, claim, start=None, logs=logs(range(60), {"x": 1.0}))
        feed(store, claim, logs=logs(range(70, 90), {"x": 1.0}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=65, logs=logs(range(65, 75), {"x": 5.0}))

        (mean,) = store.means([claim.run.id], ["x"], [(51, 100)])
        assert (mean.n, mean.mean) == (19, (9 * 1.0 + 10 * 5.0) / 19)
        assert list(read(store, claim.run.id, "x")) == [*range(60), *range(65, 75)]

    def test_branch_counts_from_the_step_at_which_it_begins(self, store: Store) -> None:
        claim = start(store)
        feed(store, claim, start=100, first_step=100, logs=logs([100, 101], {"x": 1.0}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=100, first_step=100, logs=logs([100], {"x": 2.0}))

        assert read(store, claim.run.id, "x") == {100: 2.0}

    def test_attempt_from_the_beginning_replaces_all(self, store: Store) -> None:
        claim = start(store)
        feed(store, claim, start=None, logs=logs(range(0, 160, 10), {"x": 1.0, "gone": 1.0}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=100, logs=logs([110], {"x": 2.0}))
        claim = next_attempt(store, claim)

        feed(store, claim, start=None)
        assert store.run(claim.run.id).step is None
        assert store.metric_keys([claim.run.id]) == ()
        feed(store, claim, logs=logs([0, 10], {"x": 3.0}))

        assert read(store, claim.run.id, "x") == {0: 3.0, 10: 3.0}
        assert store.metric_keys([claim.run.id]) == ("x",)
        assert store.run(claim.run.id).step == 10

    def test_resume_from_an_older_checkpoint_cuts_all_attempts_before(self, store: Store) -> None:
        claim = start(store)
        feed(store, claim, start=None, logs=logs([50, 100, 150], {"x": 1.0}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=100, logs=logs([120, 140], {"x": 2.0}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=50, logs=logs([60], {"x": 3.0}))

        assert read(store, claim.run.id, "x") == {50: 1.0, 60: 3.0}

    def test_attempt_that_never_started_replaces_nothing(self, store: Store) -> None:
        claim = start(store)
        feed(store, claim, start=None, logs=logs([10], {"x": 1.0}))
        claim = next_attempt(store, next_attempt(store, claim))

        assert read(store, claim.run.id, "x") == {10: 1.0}

    def test_step_resumed_from_is_there_once(self, store: Store) -> None:
        claim = start(store)
        feed(store, claim, start=None, logs=logs([100], {"x": 1.0}))
        claim = next_attempt(store, claim)
        feed(store, claim, start=100, logs=logs([100, 110], {"x": 2.0}))

        assert read(store, claim.run.id, "x") == {100: 1.0, 110: 2.0}

    def test_events_come_by_step_without_what_was_replaced(self, store: Store) -> None:
        claim = start(store)
        data = {"value": math.nan, "text": "é\0", "n": [1, None, {"deep": -math.inf}]}
        events = (make_event("late", 150), make_event("early", 20, **data))
        feed(store, claim, start=None, events=events)
        claim = next_attempt(store, claim)
        feed(store, claim, start=100, events=(make_event("resumed", 100),))

        found = store.events([claim.run.id])

        assert [(run_id, event.name, event.step) for run_id, event in found] == [
            (claim.run.id, "early", 20),
            (claim.run.id, "resumed", 100),
        ]
        early = found[0][1].data
        assert math.isnan(early["value"])
        assert (early["text"], early["n"]) == (data["text"], data["n"])

    def test_run_shows_its_newest_step_and_checkpoint(self, store: Store) -> None:
        claim = start(store)
        before = store.run(claim.run.id)
        feed(store, claim, start=None, logs=logs([0, 7], {"x": 1.0}))
        feed(store, claim, checkpoints=(make_checkpoint(5),))

        after = store.run(claim.run.id)

        assert (before.step, before.checkpoint_step) == (None, None)
        assert (after.step, after.checkpoint_step) == (7, 5)

    def test_checkpoint_written_again_is_replaced(self, store: Store) -> None:
        claim = start(store)
        feed(store, claim, start=None, checkpoints=(make_checkpoint(5),))
        feed(store, claim, checkpoints=(make_checkpoint(5),))

        assert store.checkpoints(claim.run.id) == (make_checkpoint(5),)

    def test_mirror_cursors_are_kept_by_mirror_and_run(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))
        one, two = (run.id for run in store.runs())

        def cursor(run_id: str, step: int) -> MirrorCursor:
            return MirrorCursor(
                run_id=run_id, remote_id=f"r-{run_id}", attempt=1, step=step, is_finished=step > 5
            )

        store.move_mirror_cursor("mlflow", cursor(one, -1))
        store.move_mirror_cursor("mlflow", cursor(one, 9))
        store.move_mirror_cursor("mlflow", cursor(two, 3))
        store.move_mirror_cursor("other", cursor(two, 1))

        assert set(store.mirror_cursors("mlflow")) == {cursor(one, 9), cursor(two, 3)}
        store.forget_mirror("mlflow", [one])
        assert store.mirror_cursors("mlflow") == (cursor(two, 3),)
        store.forget_mirror("mlflow")
        assert store.mirror_cursors("mlflow") == ()
        assert store.mirror_cursors("other") == (cursor(two, 1),)
