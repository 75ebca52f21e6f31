"""The tools beside the tests: floors of coverage that only rise, sizes."""

import tomllib

from tests.tools import coverage_floors, sizes

NOW = {"ablate.store": 91.4, "ablate.new": 50.0}


def test_floor_is_never_lowered_and_what_is_gone_has_none():
    floors = {"ablate.store": 95, "ablate.old": 80}

    assert coverage_floors.raised(NOW, floors) == {"ablate.store": 95, "ablate.new": 49}


def test_what_is_below_its_floor_without_one_or_gone_is_marked():
    floors = {"ablate.store": 92, "ablate.old": 80}

    marked = [line.split()[1] for line in coverage_floors.compared(NOW, floors) if line[0] == "*"]

    assert marked == ["ablate.store", "ablate.new", "ablate.old"]
    assert not any(line[0] == "*" for line in coverage_floors.compared({"a": 9.5}, {"a": 9}))
    assert not any(line[0] == "*" for line in coverage_floors.compared(NOW, {}, [*NOW]))


def test_lines_and_branches_count_by_room():
    counts = {"covered_lines": 6, "covered_branches": 1, "num_statements": 8, "num_branches": 2}
    report = {f"ablate/store/{name}.py": {"summary": counts} for name in ("a", "reading/b")}

    assert coverage_floors.measured(report) == {"ablate.store": 70.0}


def test_every_floor_is_that_of_a_package_that_is_there():
    read = tomllib.loads(coverage_floors.FLOORS.read_text(encoding="utf-8"))

    for name in (*read["floors"], *read["elsewhere"]):
        assert (coverage_floors.ROOT / name.replace(".", "/")).is_dir()


def test_sizes_are_printed(capsys):
    sizes.main()

    shown = capsys.readouterr().out
    assert all(f"{package}, functions" in shown for package in sizes.PACKAGES)
    assert "tests to code: " in shown
