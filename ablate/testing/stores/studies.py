"""What a store promises about studies and their runs."""

from __future__ import annotations

import dataclasses
import math

import pytest

from ablate.domain import AttemptState, RunState
from ablate.errors import NotFoundError, UsageError
from ablate.spool.batch import Ending
from ablate.store.base import ClaimFilter, Store
from ablate.testing.factories import make_plan, make_variant, must_claim

# ruff: noqa: D102 - a test's name says what it tests


class StudiesContract:
    """Plans, studies, runs."""

    def test_new_store_is_empty(self, store: Store) -> None:
        assert store.studies() == ()
        assert store.runs() == ()

    def test_plan_comes_back_as_given(self, store: Store) -> None:
        config = {"a": {"b": [1, 2.0, -0.0, None, True, "é🎛️"]}, "big": 2**70, "x": 1e308}
        variant = make_variant("phase1", config=config, factors={"gan": True}, is_baseline=True)
        plan = make_plan(variants=(variant,), spec={"nan": math.inf, "deep": {"k": []}})

        store.apply_plan(plan)

        assert store.study("scale-fix").plan == plan
        assert store.runs()[0].config == config

    def test_runs_come_seed_by_seed_in_the_plans_order(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("zeta", "alpha"), seeds=(3, 1)))

        runs = store.runs("scale-fix")

        assert [run.label for run in runs] == ["zeta-s3", "alpha-s3", "zeta-s1", "alpha-s1"]
        assert {run.state for run in runs} == {RunState.QUEUED}
        assert all(len(run.id) == 16 and int(run.id, 16) >= 0 for run in runs)

    def test_plan_applied_twice_changes_nothing(self, store: Store) -> None:
        store.apply_plan(make_plan())
        before = (store.studies(), store.runs())

        store.apply_plan(make_plan())

        assert (store.studies(), store.runs()) == before

    def test_more_seeds_and_variants_add_what_is_missing(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))
        before = {run.label: run.id for run in store.runs()}

        store.apply_plan(make_plan(variants=("a", "b", "c"), seeds=(0, 1)))

        after = {run.label: run.id for run in store.runs()}
        assert len(after) == 6
        assert before.items() <= after.items()

    def test_cells_that_the_plan_drops_are_orphaned(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))
        orphan = store.runs()[1]

        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))

        assert [run.variant for run in store.runs("scale-fix")] == ["a"]
        assert store.run(orphan.id) == orphan
        must_claim(store)
        assert store.claim("r", ClaimFilter()) is None

    def test_orphan_that_is_wanted_again_is_the_same_run(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))
        before = store.runs()

        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        store.apply_plan(make_plan(variants=("a", "b"), seeds=(0,)))

        assert store.runs() == before

    def test_changed_config_under_the_same_name_is_another_run(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
        before = store.runs()[0]

        changed = make_variant("a", config={"other": 1}, is_baseline=True)
        store.apply_plan(make_plan(variants=(changed,), seeds=(0,)))

        (after,) = store.runs("scale-fix")
        assert after.id != before.id
        assert after.config == {"other": 1}
        assert store.run(before.id).config == before.config

    def test_equal_cells_of_two_studies_share_one_run(self, store: Store) -> None:
        same = make_variant("phase1", is_baseline=True)
        renamed = dataclasses.replace(same, name="start")
        store.apply_plan(make_plan("one", (same,), seeds=(0,)))
        store.apply_plan(make_plan("two", (renamed,), seeds=(0,)))

        (one,), (two,) = store.runs("one"), store.runs("two")
        assert one.id == two.id
        assert (one.variant, two.variant) == ("phase1", "start")
        claim = must_claim(store)
        assert claim.run.study == "one"
        store.finish(claim, Ending(state=AttemptState.SUCCEEDED))
        assert [run.state for run in store.runs()] == [RunState.SUCCEEDED] * 2

    def test_shared_run_is_claimed_while_any_study_wants_it(self, store: Store) -> None:
        store.apply_plan(make_plan("one", ("a", "b"), seeds=(0,)))
        store.apply_plan(make_plan("two", ("a", "b"), seeds=(0,)))
        store.apply_plan(make_plan("one", ("a",), seeds=(0,)))

        claims = [must_claim(store), must_claim(store)]

        assert [(c.run.study, c.run.variant) for c in claims] == [("one", "a"), ("two", "b")]

    def test_variants_of_one_identity_share_one_run(self, store: Store) -> None:
        one = make_variant("one", is_baseline=True)
        two = dataclasses.replace(one, name="two", is_baseline=False)
        store.apply_plan(make_plan(variants=(one, two), seeds=(0,)))

        first, second = store.runs("scale-fix")

        assert first.id == second.id
        assert [first.variant, second.variant] == ["one", "two"]
        must_claim(store)
        assert store.claim("r", ClaimFilter()) is None

    def test_unknown_study_names_the_closest(self, store: Store) -> None:
        store.apply_plan(make_plan("scale-fix"))

        with pytest.raises(NotFoundError) as caught:
            store.study("scale-fx")

        assert "scale-fx" in caught.value.message
        assert "scale-fix" in (caught.value.hint or "")
        with pytest.raises(NotFoundError):
            store.runs("scale-fx")
        with pytest.raises(NotFoundError):
            store.set_archived("scale-fx", True)

    def test_archived_study_is_hidden_and_not_claimed(self, store: Store) -> None:
        store.apply_plan(make_plan())
        store.set_archived("scale-fix", True)

        assert store.studies() == ()
        assert store.runs() == ()
        assert [study.name for study in store.studies(with_archived=True)] == ["scale-fix"]
        assert store.study("scale-fix").is_archived
        assert store.claim("r", ClaimFilter()) is None
        store.set_archived("scale-fix", False)
        must_claim(store)

    def test_run_is_found_by_any_unique_prefix(self, store: Store) -> None:
        store.apply_plan(make_plan(seeds=range(40)))
        runs = store.runs()

        assert store.run(runs[7].id) == runs[7]
        assert store.run(runs[7].id[:12]) == runs[7]
        with pytest.raises(NotFoundError, match="more than one") as caught:
            store.run("")
        assert min(run.id for run in runs) in caught.value.message
        for unknown in ("zzzz", "%", "_", "'; drop table runs; --"):
            with pytest.raises(NotFoundError, match="no run"):
                store.run(unknown)

    @pytest.mark.parametrize(
        "name", ["🎛️ é", "../../x", "'; DROP TABLE studies; --", "a" * 1000, " x. ", "[/red]"]
    )
    def test_odd_names_come_back_as_given(self, store: Store, name: str) -> None:
        store.apply_plan(make_plan(name, (name,), seeds=(0,)))

        assert store.study(name).plan.variants[0].name == name
        assert store.runs(name)[0].label == f"{name}-s0"

    @pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "a" * 2000])
    def test_names_that_cannot_be_stored_are_refused_by_name(self, store: Store, name: str) -> None:
        with pytest.raises(UsageError, match="study name"):
            store.apply_plan(make_plan(name))
        with pytest.raises(UsageError, match="variant name"):
            store.apply_plan(make_plan(variants=("good", name)))
        assert store.studies(with_archived=True) == ()

    def test_seed_that_no_column_holds_is_refused(self, store: Store) -> None:
        store.apply_plan(make_plan("edge", seeds=(2**63 - 1, -(2**63))))
        with pytest.raises(UsageError, match=str(2**63)):
            store.apply_plan(make_plan("beyond", seeds=(2**63,)))

    def test_failed_plan_leaves_nothing(self, store: Store) -> None:
        store.apply_plan(make_plan(variants=("a",)))
        before = (store.studies(), store.runs())
        bad = make_variant("b", config={"x": object()})

        with pytest.raises(UsageError, match="JSON"):
            store.apply_plan(make_plan(variants=("a", bad)))

        assert (store.studies(), store.runs()) == before

    def test_returned_values_do_not_change(self, store: Store) -> None:
        store.apply_plan(make_plan())
        run = store.runs()[0]
        claim = must_claim(store)
        store.finish(claim, Ending(state=AttemptState.FAILED, reason="no"))

        assert run.state is RunState.QUEUED
        assert store.run(run.id).state is RunState.FAILED

    def test_store_does_not_show_a_password(self, store: Store) -> None:
        assert "://" in store.url
