import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

USE = """
import sys
sys.path[:0] = [sys.argv[1]]
import ablate.store
from ablate.store.upkeep.migrate import check, migrations_folder
assert migrations_folder().is_relative_to(sys.argv[1]), migrations_folder()
ablate.store.open_store(sys.argv[2]).close()
assert check(sys.argv[2]).is_good
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_wheel_carries_the_migrations_and_no_package_alembic(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    versions = {path.name for path in (ROOT / "alembic" / "versions").glob("*.py")}
    for name in {"env.py", "script.py.mako"} | {f"versions/{name}" for name in versions}:
        assert f"ablate/store/_migrations/{name}" in names
    assert not [name for name in names if name.startswith("alembic/")]
    assert not [name for name in names if "_migrations" in name and "__init__" in name]


def test_installed_wheel_makes_a_database_without_the_checkout(wheel, tmp_path):
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)

    command = [sys.executable, "-c", USE, str(installed), f"{tmp_path}/new/ablate.db"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
