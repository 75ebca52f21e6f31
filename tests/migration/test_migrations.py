import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from ablate.errors import NotFoundError, SchemaVersionError, StoreError
from ablate.store import open_store
from ablate.store.schema.engine import connect, reading, writing
from ablate.store.schema.revision import HEAD, REVISIONS, VERSION_TABLE, peek
from ablate.store.upkeep.migrate import check, downgrade, migrations_folder, upgrade
from ablate.testing.factories import feed, logs, make_plan, must_claim
from tests.support import processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ablate.db"
    return request.getfixturevalue("postgres_url")


def execute(url: str, *statements: str) -> None:
    with closing(connect(url)) as database, writing(database) as connection:
        for statement in statements:
            connection.execute(text(statement))


def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    with closing(connect(url, read_only=True)) as database, reading(database) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def scripts() -> ScriptDirectory:
    return ScriptDirectory(str(migrations_folder()))


def test_known_revisions_are_the_migrations_in_one_line():
    found = [script.revision for script in scripts().walk_revisions()]

    assert tuple(reversed(found)) == REVISIONS
    assert scripts().get_heads() == [HEAD]


def test_alembic_folder_does_not_shadow_the_library():
    assert (ROOT / "alembic" / "env.py").is_file()
    assert list((ROOT / "alembic").rglob("__init__.py")) == []


def test_revision_template_makes_a_migration_that_python_reads(tmp_path):
    folder = tmp_path / "alembic"
    (folder / "versions").mkdir(parents=True)
    (folder / "script.py.mako").write_text((ROOT / "alembic" / "script.py.mako").read_text())

    script = ScriptDirectory(str(folder)).generate_revision("0099", "Add a table", head="base")

    assert script is not None
    compile(Path(script.path).read_text(), script.path, "exec")
    assert (script.revision, script.down_revision) == ("0099", None)


def test_new_database_has_the_tables_of_the_models(url):
    upgrade(url)

    status = check(url)

    assert status.is_good, status
    assert (status.revision, status.head) == (HEAD, HEAD)
    assert status.differences == status.damage == status.foreign_tables == ()


def test_check_sees_a_table_that_differs(url):
    upgrade(url)
    execute(url, "ALTER TABLE runs ADD COLUMN mood TEXT", "DROP INDEX ix_runs_state")

    status = check(url)

    assert not status.is_good
    assert "mood" in str(status.differences)
    assert "ix_runs_state" in str(status.differences)


def test_downgrade_to_nothing_and_up_again(url):
    open_store(url).close()

    downgrade(url, "base")
    assert peek(url).is_empty

    open_store(url).close()
    assert check(url).is_good


def test_second_upgrade_changes_nothing(url):
    store = open_store(url)
    store.apply_plan(make_plan())
    before = store.runs()
    store.close()

    upgrade(url)

    store = open_store(url)
    assert store.runs() == before
    store.close()


def test_newer_schema_is_refused_naming_both_revisions(url):
    upgrade(url)
    execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '0999'")

    for use in (open_store, upgrade, lambda url: open_store(url, read_only=True)):
        with pytest.raises(SchemaVersionError, match=f"schema 0999.*{HEAD}") as caught:
            use(url)
        assert "newer ablate" in (caught.value.hint or "")
    assert check(url).revision == "0999"


def test_older_schema_is_refused_with_the_command_that_helps(url, monkeypatch):
    upgrade(url)
    monkeypatch.setattr("ablate.store.schema.revision.HEAD", "0042")

    with pytest.raises(SchemaVersionError, match=f"schema {HEAD}.*needs 0042") as caught:
        open_store(url)

    assert "ablate db upgrade" in (caught.value.hint or "")


def test_database_of_something_else_is_refused_and_not_touched(url):
    execute(
        url,
        "CREATE TABLE alembic_version (version_num TEXT)",
        "CREATE TABLE experiments (name TEXT)",
        "INSERT INTO experiments VALUES ('mine')",
    )
    before = peek(url).tables

    for use in (open_store, upgrade, lambda url: downgrade(url, "base")):
        with pytest.raises(StoreError, match="alembic_version, experiments") as caught:
            use(url)
        assert "of its own" in (caught.value.hint or "")

    assert peek(url).tables == before
    assert fetch(url, "SELECT * FROM experiments") == [("mine",)]
    assert check(url).foreign_tables == ("alembic_version", "experiments")


def test_foreign_sqlite_file_stays_the_same_bytes(tmp_path):
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE experiments (name TEXT)")
    before = path.read_bytes()

    with pytest.raises(StoreError, match="belongs to something else"):
        open_store(str(path))

    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["mlflow.db"]


def test_tables_of_others_beside_ours_are_left_alone(url):
    upgrade(url)
    execute(url, "CREATE TABLE notes (text TEXT)", "INSERT INTO notes VALUES ('kept')")

    assert check(url).is_good
    assert check(url).foreign_tables == ("notes",)
    downgrade(url, "base")
    assert fetch(url, "SELECT * FROM notes") == [("kept",)]


def test_missing_database_is_not_made_by_reading(tmp_path):
    path = tmp_path / "none" / "ablate.db"

    with pytest.raises(NotFoundError) as caught:
        open_store(str(path), read_only=True)
    with pytest.raises(NotFoundError):
        check(str(path))

    assert str(path) in caught.value.message
    assert "ablate study create" in (caught.value.hint or "")
    assert not path.parent.exists()


def test_empty_server_database_is_not_filled_by_reading(postgres_url):
    with pytest.raises(NotFoundError):
        open_store(postgres_url, read_only=True)

    assert peek(postgres_url).is_empty


def test_sqlite_file_with_rows_is_copied_before_its_schema_changes(tmp_path):
    path = tmp_path / "ablate.db"
    store = open_store(str(path))
    store.apply_plan(make_plan())
    claim = must_claim(store)
    feed(store, claim, start=None, logs=logs(range(5), {"x": 1.0}))
    runs = [(run.id, run.step) for run in store.runs()]
    store.close()

    downgrade(str(path), "base")

    copy = open_store(f"{path}.{HEAD}.bak")
    assert [(run.id, run.step) for run in copy.runs()] == runs
    copy.close()


def die_in_migration(url: str) -> None:
    import os
    import signal

    from alembic import op

    original = op.create_index

    def create_index(*arguments: Any, **options: Any) -> None:
        if arguments[0] == "ix_events_attempt_id_step":
            os.kill(os.getpid(), signal.SIGKILL)
        original(*arguments, **options)

    op.create_index = create_index
    upgrade(url)


def test_killed_migration_leaves_nothing_and_can_be_repeated(url):
    assert processes.call(die_in_migration, url) == -9

    assert peek(url).is_empty
    open_store(url).close()
    assert check(url).is_good


def test_damaged_sqlite_file_is_reported(tmp_path):
    path = tmp_path / "ablate.db"
    store = open_store(str(path))
    store.apply_plan(make_plan(seeds=range(200)))
    store.close()
    data = bytearray(path.read_bytes())
    start = len(data) // 4096 // 2 * 4096
    data[start : start + 4096] = bytes(4096)
    path.write_bytes(data)

    assert check(str(path)).damage


def test_config_of_alembic_finds_the_checkout():
    assert migrations_folder() == ROOT / "alembic"
    assert Config  # the library, not our folder
