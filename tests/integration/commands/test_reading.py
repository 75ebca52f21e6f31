"""`ablate export`, `ablate sql` and the notebook API, on a study that was really run."""

import csv
import io
import json
import math
import sqlite3
import subprocess
import sys

import pandas as pd
import pytest

import ablate
from tests.support.projects import Project, environment

COLUMNS = ["study", "variant", "seed", "run", "key", "step", "value", "kind", "time", "state"]
POINTS = 4 * 2 * 201


@pytest.fixture
def frames(calm: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(calm.folder)
    for name in ("ABLATE_DB", "ABLATE_MLFLOW"):
        monkeypatch.delenv(name, raising=False)
    return ablate.load("toy")


def view(calm: Project) -> list[tuple]:
    return calm.rows(
        "SELECT study, variant, m.seed, run, key, step, value, kind, time, state"
        " FROM run_metrics m JOIN runs ON runs.id = run ORDER BY run, key, step"
    )


def test_csv_holds_the_view_bit_for_bit(calm: Project) -> None:
    rows = list(csv.reader(io.StringIO(calm.ablate("export", "toy"))))

    assert rows[0] == COLUMNS
    assert len(rows) == POINTS + 1
    got = sorted(
        (r[0], r[1], int(r[2]), r[3], r[4], int(r[5]), float(r[6]), r[7]) for r in rows[1:]
    )
    assert got == sorted(tuple(row[:8]) for row in view(calm))
    assert all(row[8].endswith("+00:00") for row in rows[1:])


def test_ndjson_keeps_times_exactly_and_filters(calm: Project) -> None:
    text = calm.ablate(
        "export", "toy", "--format", "ndjson", "--variant", "fast", "--metric", "*/audio/*"
    )

    got = [json.loads(line) for line in text.splitlines()]
    expected = [
        dict(zip(COLUMNS, row, strict=True))
        for row in view(calm)
        if row[1] == "fast" and row[4] == "train/audio/rms"
    ]
    place = lambda row: (row["run"], row["step"])  # noqa: E731
    assert sorted(got, key=place) == sorted(expected, key=place)


def test_parquet_is_read_back_equal(calm: Project, tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    path = tmp_path / "points.parquet"

    calm.ablate("export", "toy", "-o", str(path))

    rows = parquet.read_table(path).to_pylist()
    assert sorted(tuple(row[name] for name in COLUMNS) for row in rows) == sorted(view(calm))
    assert [entry.name for entry in tmp_path.iterdir()] == ["points.parquet"]


def test_file_of_an_export_that_fails_is_not_there(calm: Project, tmp_path) -> None:
    message = calm.ablate(
        "export", "toy", "--metric", "train/los/total", "-o", str(tmp_path / "a.csv"), code=3
    )

    assert "did you mean 'train/loss/total'?" in message
    assert list(tmp_path.iterdir()) == []


def test_parquet_needs_a_file(calm: Project) -> None:
    assert "-o FILE.parquet" in calm.ablate("export", "toy", "--format", "parquet", code=2)


@pytest.mark.parametrize("form", ["table", "json", "ndjson"])
def test_sql_answers_in_every_format(calm: Project, form: str) -> None:
    query = "select variant, count(*) as n, min(value) as low from run_metrics group by variant;"

    text = calm.ablate("sql", query, "--format", form)

    assert "fast" in text
    assert str(POINTS // 2) in text
    if form == "json":
        assert json.loads(text)["schema"] == "ablate.sql/1"
        assert json.loads(text)["rows"][0]["n"] == POINTS // 2


def test_sql_reads_stdin(calm: Project) -> None:
    done = subprocess.run(
        calm.command("sql", "-", "--format", "csv"),
        input="select 1 as one,\n 'é|🎛️' as one, null as none, 9e999 as big, x'00ff' as bytes\n",
        cwd=calm.folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "one,one_2,none,big,bytes\n1,é|🎛️,,Infinity,00ff\n"


def test_sql_refuses_what_does_not_read_in_one_line(calm: Project) -> None:
    message = calm.ablate("sql", "delete from runs", code=2)

    assert message.startswith("error: SQL: ")
    assert len(message.splitlines()) == 2
    assert calm.rows("select count(*) from runs") == [(4,)]


def test_sql_gives_up_in_time(calm: Project) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"

    assert "longer than 0.2 s" in calm.ablate("sql", endless, "--timeout", "0.2", code=2)


def test_long_results_are_refused_by_formats_that_hold_them(calm: Project) -> None:
    many = (
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20001)"
        " select i from n"
    )

    assert "csv and ndjson take any number" in calm.ablate("sql", many, code=2)
    assert len(calm.ablate("sql", many, "--format", "csv").splitlines()) == 20_002


def test_reading_makes_no_database(tmp_path) -> None:
    empty = Project(tmp_path)

    empty.ablate("sql", "select 1", code=3)
    empty.ablate("export", "toy", code=3)

    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, ablate; ablate.load;"
        "print([m for m in ('pandas', 'numpy', 'sqlalchemy', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_frame_of_the_comparison_equals_the_command_line(calm: Project, frames) -> None:
    shown = json.loads(calm.ablate("compare", "--study", "toy", "--format", "json"))

    frame = frames.compare().set_index(["variant", "key"])

    for row in shown["rows"]:
        for key, value in row["values"].items():
            got = frame.loc[(row["variant"], key)]
            for name in ("mean", "ci_low", "ci_high", "n", "initial", "change"):
                assert got[name] == value[name], (row["variant"], key, name)
            contrast = value["contrast"]
            if contrast:
                assert got["difference"] == contrast["difference"]
                assert got["contrast"] == contrast["verdict"]
    assert len(frame) == sum(len(row["values"]) for row in shown["rows"])


def test_frame_of_points_equals_the_view(calm: Project, frames) -> None:
    frame = frames.metrics("train/loss/*", long=True)

    assert list(frame.columns) == [
        "variant",
        "seed",
        "run",
        "key",
        "step",
        "value",
        "kind",
        "time",
    ]
    expected = [row for row in view(calm) if row[4] == "train/loss/total"]
    got = frame.sort_values(["run", "step"])
    assert got["value"].tolist() == [row[6] for row in expected]
    assert got["step"].tolist() == [row[5] for row in expected]
    assert str(frame["time"].dtype).startswith("datetime64")


def test_wide_frame_has_a_column_for_each_key(frames) -> None:
    wide = frames.metrics()

    assert list(wide.columns) == [
        "variant", "seed", "run", "step", "train/audio/rms", "train/loss/total",
    ]  # fmt: skip
    assert len(wide) == 4 * 201
    long = frames.metrics("train/audio/rms", long=True)
    merged = long.merge(wide, on=["variant", "seed", "run", "step"])
    assert (merged["value"] == merged["train/audio/rms"]).all()


def test_curves_to_draw_are_points_of_the_metrics_with_their_peaks(calm: Project, frames) -> None:
    points = frames.metrics("train/loss/*", variants=["slow"], long=True)
    whole = frames.curves("train/loss/*", variants=["slow"])
    thin = frames.curves("train/loss/*", variants=["slow"], max_points=16)

    place = ["variant", "seed", "run", "key", "step", "value"]
    pd.testing.assert_frame_equal(whole, points[place])
    assert thin.groupby(["run", "key"]).size().max() <= 16
    assert len(thin.merge(points, on=place)) == len(thin) < len(whole)
    for extreme in ("min", "max"):
        expected = points.groupby(["run", "key"])["value"].agg(extreme)
        assert thin.groupby(["run", "key"])["value"].agg(extreme).equals(expected)
    with pytest.raises(ablate.errors.UsageError, match="at least 16"):  # type: ignore[attr-defined]
        frames.curves(max_points=3)


def test_frames_of_runs_and_events(calm: Project, frames) -> None:
    shown = json.loads(calm.ablate("status", "toy", "--format", "json"))["rows"]

    runs, events = frames.runs(), frames.events()

    assert runs["run"].tolist() == [row["run"] for row in shown]
    assert runs["wall_s"].tolist() == [row["wall_s"] for row in shown]
    assert runs["state"].tolist() == ["succeeded"] * 4
    assert set(events["name"]) == {"finished"}
    assert len(events) == 4
    assert isinstance(events["data"][0]["digest"], str)


def test_names_that_do_not_exist_are_told_with_the_closest(frames) -> None:
    with pytest.raises(ablate.errors.NotFoundError) as caught:  # type: ignore[attr-defined]
        frames.metrics("train/loss/totl")
    assert caught.value.hint == "did you mean 'train/loss/total'?"
    with pytest.raises(LookupError, match="tog"):
        ablate.load("tog")


def test_html_of_a_study_is_escaped(tmp_path, monkeypatch) -> None:
    from ablate.store import open_store
    from ablate.testing.factories import make_plan

    path = tmp_path / "x.db"
    store = open_store(str(path))
    store.apply_plan(make_plan("evil", ("<b>a</b>",), question="<script>alert(1)</script>"))
    store.close()

    html = ablate.load("evil", db=path)._repr_html_()

    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert ablate.load("evil", db=path).metrics().empty
    assert ablate.load("evil", db=path).metrics(long=True).empty
    assert isinstance(ablate.load("evil", db=path).events(), pd.DataFrame)


def test_values_that_are_not_finite_keep_their_kind(tmp_path) -> None:
    from ablate.store import open_store
    from ablate.testing.factories import feed, logs, make_plan, must_claim

    path = tmp_path / "x.db"
    store = open_store(str(path))
    store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
    claim = must_claim(store)
    values = {"x/nan": math.nan, "x/pos": math.inf, "x/neg": -math.inf, "x/zero": -0.0}
    feed(store, claim, start=None, logs=logs([3], values))
    store.close()
    project = Project(tmp_path)

    rows = list(
        csv.DictReader(project.ablate("--db", str(path), "export", "scale-fix").splitlines())
    )
    lines = project.ablate("--db", str(path), "export", "scale-fix", "--format", "ndjson")

    shown = {row["key"]: (row["value"], row["kind"]) for row in rows}
    assert shown == {
        "x/nan": ("NaN", "nan"),
        "x/pos": ("Infinity", "+inf"),
        "x/neg": ("-Infinity", "-inf"),
        "x/zero": ("-0.0", "finite"),
    }
    assert [json.loads(line)["value"] for line in lines.splitlines()] == [None, None, None, 0.0]


def test_export_opens_the_database_for_reading_alone(calm: Project) -> None:
    path = calm.folder / ".ablate" / "ablate.db"
    before = path.read_bytes()

    calm.ablate("export", "toy")
    calm.ablate("sql", "select 1")

    assert path.read_bytes() == before
    assert sqlite3.connect(path).execute("pragma integrity_check").fetchone() == ("ok",)
