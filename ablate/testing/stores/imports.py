"""What a store promises about runs of other tools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ablate.domain import IMPORTED, AttemptState, Plan, RunState, StudyCell
from ablate.errors import LeaseLostError, NotFoundError, UsageError
from ablate.spool.batch import Ending, SpoolBatch
from ablate.store import open_store
from ablate.store.base import ClaimFilter, ImportedRun, Store
from ablate.testing.factories import feed, logs, make_plan, make_variant, must_claim

# ruff: noqa: D102 - a test's name says what it tests

IDENTITY = "ab" * 32


def imported(**changes: Any) -> ImportedRun:
    """Return a run that failed elsewhere."""
    fields: dict[str, Any] = {
        "identity": IDENTITY,
        "seed": 7,
        "config": {"lr": 0.1},
        "ending": Ending(state=AttemptState.FAILED, reason="by the other tool"),
        "started_at": 100.0,
        "finished_at": 160.0,
    }
    return ImportedRun(**fields | changes)


def batches() -> Iterator[SpoolBatch]:
    """Yield its points in two transactions."""
    yield SpoolBatch(
        start_offset=0, end_offset=1, has_started=True, logs=logs(range(3), {"a/b/c": 1.0})
    )
    yield SpoolBatch(start_offset=1, end_offset=2, logs=logs(range(3, 5), {"a/b/c": 2.0}))


def plan_with(*cells: StudyCell, study: str = "foreign") -> Plan:
    """Return a plan of imported cells alone."""
    variants = [
        make_variant(name, is_baseline=i == 0)
        for i, name in enumerate(dict.fromkeys(cell.variant for cell in cells))
    ]
    return make_plan(study, variants, seeds=(), trainer=IMPORTED, imported=cells)


CELL = StudyCell(variant="theirs", identity=IDENTITY, seed=7)


class ImportsContract:
    """`import_run` and plans with imported cells."""

    def test_imported_run_is_seen_once_a_plan_has_it(self, store: Store) -> None:
        assert store.import_run(imported(), batches(), by="ada")
        assert store.runs() == ()
        assert store.studies() == ()

        store.apply_plan(plan_with(CELL))

        (run,) = store.runs("foreign")
        assert (run.label, run.trainer, run.step) == ("theirs-s7", IMPORTED, 4)
        assert (run.state, run.reason) == (RunState.FAILED, "by the other tool")
        assert run.config == {"lr": 0.1}
        assert run.wall_s == pytest.approx(60.0)
        (curve,) = store.curves([run.id], ["a/b/c"])
        assert (curve.steps, curve.values) == ((0, 1, 2, 3, 4), (1.0, 1.0, 1.0, 2.0, 2.0))
        assert store.study("foreign").plan == plan_with(CELL)

    def test_importing_twice_changes_nothing(self, store: Store) -> None:
        store.import_run(imported(), batches(), by="ada")
        store.apply_plan(plan_with(CELL))
        before = (store.runs(), store.studies(), store.attempts(store.runs()[0].id))

        assert not store.import_run(imported(), batches(), by="bob")
        store.apply_plan(plan_with(CELL))

        assert (store.runs(), store.studies(), store.attempts(store.runs()[0].id)) == before

    def test_import_that_was_broken_off_is_hidden_and_begun_anew(self, store: Store) -> None:
        def broken() -> Iterator[SpoolBatch]:
            yield next(batches())
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.import_run(imported(), broken(), by="ada")
        assert store.runs() == ()
        assert store.holds() == ()

        assert store.import_run(imported(), batches(), by="ada")

        store.apply_plan(plan_with(CELL))
        (run,) = store.runs()
        assert [a.state for a in store.attempts(run.id)] == [AttemptState.LOST, AttemptState.FAILED]
        (curve,) = store.curves([run.id], ["a/b/c"])
        assert len(curve.steps) == 5

    def test_run_that_another_tool_still_trains_is_whole_and_running(self, store: Store) -> None:
        going = imported(ending=Ending(state=AttemptState.RUNNING))
        assert store.import_run(going, batches(), by="ada")
        store.apply_plan(plan_with(CELL))

        assert not store.import_run(going, batches(), by="bob")
        (run,) = store.runs("foreign")
        assert (run.state, run.step, run.attempts) == (RunState.RUNNING, 4, 1)
        assert run.wall_s == pytest.approx(60.0)
        assert store.holds() == ()
        assert store.claim("r", ClaimFilter()) is None
        assert store.cancel([run.id], by="ada") == ()

    def test_run_without_a_point_is_whole_too(self, store: Store) -> None:
        def nothing() -> Iterator[SpoolBatch]:
            yield SpoolBatch(start_offset=0, end_offset=1, has_started=True)

        assert store.import_run(imported(), nothing(), by="ada")
        store.apply_plan(plan_with(CELL))

        (run,) = store.runs("foreign")
        assert (run.state, run.step) == (RunState.FAILED, None)
        assert not store.import_run(imported(), nothing(), by="ada")

    def test_run_being_imported_has_no_name_yet(self, store: Store) -> None:
        store.import_run(imported(), batches(), by="ada")

        with pytest.raises(NotFoundError):
            store.run("")

    def test_second_importer_of_a_run_stops_the_first(self, store: Store, store_url: str) -> None:
        other = open_store(store_url)

        def overtaken() -> Iterator[SpoolBatch]:
            yield next(batches())
            assert other.import_run(imported(), batches(), by="bob")
            yield list(batches())[1]

        with pytest.raises(LeaseLostError):
            store.import_run(imported(), overtaken(), by="ada")
        other.close()

        assert not store.import_run(imported(), batches(), by="ada")

    def test_imported_runs_are_never_trained(self, store: Store) -> None:
        store.import_run(imported(), batches(), by="ada")
        store.apply_plan(plan_with(CELL))
        (run,) = store.runs()

        assert store.claim("r", ClaimFilter()) is None
        assert store.requeue([run.id], by="ada") == ()
        assert store.cancel([run.id], by="ada") == ()
        assert store.runs() == (run,)

    def test_trained_and_imported_variants_share_a_study(self, store: Store) -> None:
        store.import_run(imported(), batches(), by="ada")
        own, theirs = make_variant("own", is_baseline=True), make_variant("theirs")
        store.apply_plan(make_plan("both", (own, theirs), seeds=(0, 1), imported=(CELL,)))

        assert [run.label for run in store.runs()] == ["own-s0", "own-s1", "theirs-s7"]
        claims = [must_claim(store), must_claim(store)]
        feed(store, claims[0], start=None, logs=logs([1], {"a/b/c": 3.0}))
        assert store.claim("r", ClaimFilter()) is None

    def test_plan_without_the_imported_run_is_refused(self, store: Store) -> None:
        with pytest.raises(UsageError, match="theirs-s7 was not imported"):
            store.apply_plan(plan_with(CELL))

        assert store.studies() == ()
