"""Hostile words on the command line: one clear error each, never a fault of `ablate`."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.addresses import masked
from ablate.cli import app
from ablate.cli.last_net import ended, hold_streams
from ablate.errors import AblateError
from ablate.store.schema.engine import connect, parse_url, reading
from tests.support.damage import outcome, soon
from tests.support.projects import STUDY, TRAINER
from tests.support.thorough import few_or_many

_COMMANDS = (
    *("study create X", "study create toy --set X", "study create toy --factor X --dry-run"),
    *("study create toy --seeds X", "study create toy --design X", "study create toy -f X"),
    *("study create X --from toy --seeds 2", "study show X", "study archive X", "status X"),
    *("run X --dry-run", "run --workers X --dry-run", "run --steps X --dry-run", "run --only X"),
    *(
        "run --device X --dry-run",
        "run --gpus-per-run X --dry-run",
        "run --max-failures X --dry-run",
    ),
    *("run --executor X", "logs X", "retry X", "cancel X", "compare X", "compare --study X"),
    *(
        "compare --study toy --at X",
        "compare --study toy --metric X",
        "compare --study toy --baseline X",
    ),
    *("compare --study toy --format X", "report X", "report toy -o X/r.html", "export X"),
    *("export toy --metric X", "export toy --variant X", "export toy --format X", "sql X"),
    *("sql --timeout X SELECT1", "import X --study toy2", "import log.csv --study X"),
    *("import log.csv --study t --variant X", "import log.csv --study t --seed X"),
    *("import log.csv --study t --map X", "import log.csv --study t --map-file X"),
    *("import log.csv --study t --goal X", "import log.csv --study t --join X --dry-run"),
    *("import log.csv --study t --config X", "import text log.csv --study t --pattern X"),
    *(
        "import X:/h --study t",
        "inspect X",
        "inspect slow-s0@X",
        "artifacts X",
        "artifacts slow-s0 -o X",
    ),
    *(
        "db downgrade X",
        "db backup X/b.db",
        "--db X status",
        "--db X db check",
        "mlflow ui --port X",
    ),
    "clean X",
)
_WORDS = (
    *("", " ", "-", "--", ".", "..", "../../evil", "/dev/null", "/dev/zero", "~nobody/x"),
    *("0", "-1", "999999999999", "9" * 400, "1e400", "nan", "inf", "-inf", "1.5", "0x10", "true"),
    *(
        "a=b",
        "=cmd()",
        "a=",
        "=",
        "a=1,2",
        "a={{x}}",
        "a=" + "[" * 500,
        "a=*b",
        "a=!!python/x:y",
        "a=\t",
    ),
    *(
        "\x1b[31mred",
        "\u202eabc",
        "\udc80",
        "x" * 5000,
        "%",
        "%s%n",
        "[/red]",
        "<b>",
        "'; DROP",
        "é",
        "🦊",
    ),
    *(
        "sqlite://",
        "sqlite:///",
        "postgresql://[::1",
        "postgresql://h:x/y",
        "foo://x",
        "://",
        "file://[",
    ),
    *(
        "(",
        "(?P<step>(a+)+$)(?P<loss>b)",
        "*",
        "[",
        "a" * 300,
        "a/b/c",
        "x@1",
        "x@99999999999999999999",
    ),
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "studies").mkdir(parents=True)
    (folder / "studies" / "toy.yaml").write_text(STUDY)
    (folder / "toytrain.py").write_text(TRAINER)
    (folder / "log.csv").write_text("step,loss\n1,0.5\n2,0.25\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["ablate"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 1"))
    assert _typed(["study", "create", "toy"]) == 0
    return folder


def _typed(words: list[str]) -> int:
    hold_streams()
    with soon(words):
        return ended(lambda: app(words), is_debug=False)


def test_hostile_words(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = [(command, word) for command in _COMMANDS for word in _WORDS]
    random.Random(1).shuffle(every)
    faults: list[tuple[list[str], int, str]] = []
    for command, word in every[: few_or_many(250, len(every))]:
        words = [part.replace("X", word) for part in command.split()]
        code = _typed(words)
        said = capsys.readouterr().err
        if code not in (0, 1, 2, 3, 4, 5) or "Traceback" in said:
            faults.append((words, code, said))
    assert not faults
    assert not list(project.parent.glob("*evil*"))


_URL_PARTS = st.sampled_from(
    [
        *("postgresql", "sqlite", "mysql", "://", ":", "/", "//", "@", "?", "&", "=", "[", "]"),
        *("%", "%zz", "u", "s3cret", "localhost", "::1", "1", "x", "99999999", "é"),
        *("password=", "sslpassword=", " "),
    ]
)


@settings(max_examples=few_or_many(100, 2000), deadline=None)
@given(parts=st.lists(_URL_PARTS, max_size=12))
def test_any_address_of_a_database(parts: list[str]) -> None:
    outcome(parts, lambda: parse_url("".join(parts)))
    masked("".join(parts))


@pytest.mark.parametrize("secret", ["s3cret!word", "p@ss/w:rd?x", "a b+c%41", "ключ-к-замку"])
@pytest.mark.parametrize(
    "form",
    [
        "postgresql://u:{}@localhost:1/x",
        "postgresql://u@localhost:1/x?password={}",
        "postgresql://u@localhost:1/x?sslpassword={}",
    ],
)
def test_no_spelling_of_a_secret_is_shown(secret: str, form: str) -> None:
    from urllib.parse import quote, quote_plus

    database = connect(form.format(quote(secret, safe="")))
    with pytest.raises(AblateError) as caught, reading(database):
        pass
    said = f"{caught.value.message} {caught.value.hint}"
    for spelling in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret)):
        assert spelling not in said
