"""The second copy of what no spool has: numbers, torn ends, damage, who else writes."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest

from ablate.domain import AttemptState
from ablate.errors import StoreUnavailableError
from ablate.spool.batch import Ending
from ablate.store import open_store
from ablate.store.schema.journal import (
    Deleted,
    Journal,
    Rows,
    database_of,
    journal_path,
    journals_at,
)
from ablate.testing.factories import make_plan, must_claim


def rows(*values: str) -> list[Rows | Deleted]:
    return [Rows("runs", ("id",), [[value] for value in values])]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return a journal with three changes, the first of which is a base."""
    made = Journal(tmp_path / "journal" / "x-0123456789abcdef", "0005")
    made.begin_anew(4, rows("base"))
    made.append(5, rows("five"))
    made.append(6, [*rows("six"), Deleted("five")])
    return made


def again(journal: Journal) -> Journal:
    """Return the journal as another process finds it."""
    other = Journal(journal.path, "0005")
    other.look()
    return other


def content(journal: Journal, seq: int | None = None) -> list[str]:
    found: list[str] = []
    for part in journal.read(seq):
        found += [f"-{part.run_id}"] if isinstance(part, Deleted) else [r[0] for r in part.rows]
    return found


def test_changes_come_back_in_order(journal: Journal) -> None:
    assert content(again(journal)) == ["base", "five", "six", "-five"]
    assert content(again(journal), 5) == ["base", "five"]
    assert [change.seq for change in again(journal).changes] == [4, 5, 6]


def test_number_that_comes_again_replaces_what_followed(journal: Journal) -> None:
    journal.append(5, rows("other"))

    assert content(again(journal)) == ["base", "other"]
    assert again(journal).follows(6)
    assert not again(journal).follows(7)


def test_two_processes_write_by_turns(journal: Journal) -> None:
    other = again(journal)
    other.append(7, rows("seven"))
    journal.look()
    journal.append(8, rows("eight"))
    other.look()
    other.begin_anew(8, rows("anew"))
    journal.look()
    journal.append(9, rows("nine"))

    assert content(again(journal)) == ["anew", "nine"]


def test_change_without_its_end_is_not_there(journal: Journal) -> None:
    whole = journal.path.read_bytes()
    start = journal.changes[-1].start
    for length in range(start, len(whole)):
        journal.path.write_bytes(whole[:length])

        torn = again(journal)

        assert content(torn) == ["base", "five"], length
        torn.append(6, rows("six again"))
        assert content(again(journal)) == ["base", "five", "six again"], length


def test_every_flipped_bit_is_found_and_what_is_before_it_stays(journal: Journal) -> None:
    whole = journal.path.read_bytes()
    ends = [change.end for change in journal.changes]
    for place in range(len(whole) * 8):
        harmed = bytearray(whole)
        harmed[place // 8] ^= 1 << place % 8
        journal.path.write_bytes(harmed)

        found = again(journal)

        # A length that was too long looks like an end that is torn.
        assert [change.end for change in found.changes] == [e for e in ends if e <= place // 8]
        assert found.damage is None or "journal" in found.damage


def test_damaged_file_is_kept_when_it_is_written_anew(journal: Journal) -> None:
    content_before = bytearray(journal.path.read_bytes())
    content_before[journal.changes[1].start + 20] ^= 1
    journal.path.write_bytes(content_before)
    harmed = again(journal)
    assert harmed.damage is not None
    assert not harmed.follows(5)

    harmed.begin_anew(6, rows("all"))

    assert journal.path.with_name(f"{journal.path.name}.damaged").read_bytes() == content_before
    assert content(again(journal)) == ["all"]


def test_what_cannot_be_written_is_not_there(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = journal.path.read_bytes()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("fdatasync", "write"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            with pytest.raises(StoreUnavailableError, match="No space left"):
                journal.append(7, rows("seven"))
            with pytest.raises(StoreUnavailableError, match="No space left"):
                journal.begin_anew(7, rows("seven"))
        assert journal.path.read_bytes() == before
        assert [path.name for path in journal.path.parent.iterdir()] == [journal.path.name]
    journal.append(7, rows("seven"))
    assert content(again(journal))[-1] == "seven"


def test_change_that_is_not_written_down_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_store(str(tmp_path / "x.db"), data_dir=tmp_path)) as store:
        store.apply_plan(make_plan())

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", full)
            with pytest.raises(StoreUnavailableError):
                must_claim(store)
        assert {run.attempts for run in store.runs()} == {0}

        claim = must_claim(store)
        store.finish(claim, Ending(state=AttemptState.SUCCEEDED))

    (path,) = journals_at(tmp_path, f"sqlite:///{tmp_path}/x.db")
    assert [change.seq for change in again(Journal(path, "0005")).changes] == [0, 1, 2, 3]


def test_database_from_before_has_all_its_rows_written_down(tmp_path: Path) -> None:
    url = str(tmp_path / "x.db")
    with closing(open_store(url)) as store:
        store.apply_plan(make_plan())
    open_store(url, data_dir=tmp_path).close()

    (path,) = journals_at(tmp_path, f"sqlite:///{url}")
    (base,) = again(Journal(path, "0005")).changes
    assert (base.seq, base.is_base) == (1, True)
    tables = [part.table for part in again(Journal(path, "0005")).read() if isinstance(part, Rows)]
    assert tables == ["studies", "variants", "runs", "study_runs"]


def test_place_stays_when_the_project_moves_and_a_copy_has_its_own(tmp_path: Path) -> None:
    here, there = tmp_path / "here" / ".ablate", tmp_path / "there" / ".ablate"
    database = "0123456789abcdef"

    first = journal_path(here, f"sqlite:///{here}/ablate.db", database)

    assert first.name == journal_path(there, f"sqlite:///{there}/ablate.db", database).name
    assert first.name != journal_path(here, f"sqlite:///{here}/copy.db", database).name
    assert database_of(first) == database


def test_journal_of_a_newer_version_is_kept_and_not_read(journal: Journal) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ablate.store.schema.journal._VERSION", 2)
        journal.begin_anew(7, rows("new"))

    found = again(journal)

    assert (found.changes, "has version 2" in (found.damage or "")) == ([], True)
