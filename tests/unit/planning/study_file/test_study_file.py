"""Broken study files: one message each, with the right place and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.errors import NotFoundError, StudyFileError
from ablate.planning.study_file.document import parse_document
from ablate.planning.study_file.parsing import check_study, read_study

GOOD = """\
study: a
phases:
  p: {baseline: true, set: {x: 1}}
"""

BROKEN = {
    # text: (line, column, part of the message, part of the hint)
    "": (None, None, "the file is empty", "templates"),
    "- 1\n": (1, 1, "is a mapping of keys", "study: NAME"),
    "study: a\n": (1, 1, "neither phases nor factors", "add 'phases:'"),
    "studdy: a\n": (1, 1, "unknown key 'studdy'", "did you mean 'study'?"),
    "phases: {p: {}}\n": (None, None, "the key 'study' is missing", None),
    "study: 3\nphases: {p: {}}\n": (1, 8, "should be text, not 3", None),
    "study: a b\nphases: {p: {}}\n": (1, 8, "a name has no blanks", None),
    "study: ../a\nphases: {p: {}}\n": (1, 8, "a name has no blanks", None),
    "study: a\nstudy: b\n": (2, 1, "the key 'study' is there twice", None),
    "study: a\n\tx: 1\n": (2, 1, "cannot start any token", "indent with spaces"),
    "study: a\nphases: {p: {}\n": (3, 1, "expected", None),
    "<<<<<<< HEAD\nstudy: a\n": (2, 6, "mapping values are not allowed", None),
    "study: a\nphases: *gone\n": (2, 9, "undefined alias 'gone'", None),
    "study: a\nphases: [p]\n": (2, 9, "should be a mapping of keys, not a list", None),
    "study: a\nphases: {p: 3}\n": (2, 13, "should be a mapping of keys, not 3", None),
    "study: a\nphases: {p: {form: q}}\n": (2, 14, "unknown key 'form'", "did you mean 'from'?"),
    "study: a\nphases: {p: {baseline: 1}}\n": (2, 24, "should be true or false, not 1", None),
    "study: a\nphases: {p: {set: {x: .nan}}}\n": (2, 23, "must be finite, not nan", None),
    "study: a\nphases: {p: {set: {d: 2001-01-01}}}\n": (
        2,
        23,
        "a config value is a finite number",
        None,
    ),
    GOOD + "phasess: {}\n": (4, 1, "unknown key 'phasess'", "did you mean 'phases'?"),
    GOOD + "seeds: two\n": (4, 8, "should be a whole number, not 'two'", None),
    GOOD + "seeds: 2.5\n": (4, 8, "should be a whole number, not 2.5", None),
    GOOD + "seeds: 0\n": (4, 8, "should be at least 1, not 0", None),
    GOOD + "seeds: [0, 0]\n": (4, 8, "a list without repeats", None),
    GOOD + "seeds: []\n": (4, 8, "a list without repeats", None),
    GOOD + "gates: [3, 2]\n": (4, 8, "steps in rising order", None),
    "study: a\nphases: {p: {start_at: q}}\n": (2, 24, "write a phase and a step", None),
    "study: a\nphases: {p: {start_at: q@0}}\n": (2, 24, "cannot read 'q@0'", None),
    "study: a\nphases: {p: {start_at: 2000}}\n": (2, 24, "should be text, not 2000", None),
    GOOD + "gates: [2, {at: 2, do: stop}]\n": (4, 8, "steps in rising order", None),
    GOOD + "gates: [x]\n": (4, 9, "should be a whole number, not 'x'", None),
    GOOD + "gates: [0]\n": (4, 9, "should be at least 1, not 0", None),
    GOOD + "gates: [{do: stop}]\n": (4, 9, "the key 'at' is missing", None),
    GOOD + "gates: [{at: 5, do: promote}]\n": (4, 21, "'stop' or 'flag', not 'promote'", None),
    GOOD + "gates: [{at: 5, to: 9}]\n": (4, 17, "unknown key 'to'", None),
    GOOD + "targets: {train/audio/rms: 0.075+}\n": (4, 28, "cannot read the target '0.075+'", None),
    GOOD + "targets: {train/audio/rms: 8}\n": (4, 28, "should be text, not 8", None),
    GOOD + "targets: {' /': '>= 8'}\n": (4, 11, "' /' is not a metric key", None),
    GOOD + "metrics: {a/b: mini}\n": (4, 16, "should be 'min', 'max' or 'target'", None),
    GOOD + "metrics: {a/b: {goal: min, rull: last}}\n": (4, 28, "unknown key 'rull'", "'rule'"),
    GOOD + "metrics: {a/b: {goal: min, rule: lst}}\n": (4, 34, "cannot read the rule 'lst'", None),
    GOOD + "guards: {g: {when: rms << 3}}\n": (4, 20, "cannot read the condition", None),
    GOOD + "guards: {g: {when: a/b < 3 or a/c > 1}}\n": (4, 20, "join several with 'and'", None),
    GOOD + "guards: {g: {when: a/b < 3 and a/c}}\n": (4, 20, "the condition 'a/c'", None),
    GOOD + "guards: {g: {when: a/b < 3, fur: 3}}\n": (4, 29, "unknown key 'fur'", "'for'"),
    GOOD + "guards: {g: {when: a/b < 3, do: explode}}\n": (4, 33, "'stop' or 'flag'", None),
    GOOD + "factors: {f: {levels: [1, 2]}}\n": (4, 14, "a list of levels needs 'key'", None),
    GOOD + "factors: {f: {key: a, levels: []}}\n": (4, 14, "at least one level", None),
    GOOD + "factors: {f: {key: a, levels: [1, 1]}}\n": (4, 14, "a level is there twice", None),
    GOOD + "factors: {f: {key: a, levels: {x: {a: 1}}}}\n": (4, 14, "remove 'key'", None),
    GOOD + "design: {kid: grid}\n": (4, 10, "unknown key 'kid'", "'kind'"),
    GOOD + "budget: {gpu_hours: -1}\n": (4, 21, "should be above 0, not -1", None),
    GOOD + "budget: {gpu_hours: 12}\n": (4, 1, "nothing acts on a budget yet", "remove it"),
    "study: a\nphases: {p: {set: {x: {y: .inf}}}}\n": (2, 27, "must be finite, not inf", None),
    "study: a\nphases: {p: {set: {x: [1, .nan]}}}\n": (2, 27, "must be finite, not nan", None),
    "study: a\nphases: {p: {set: {w: {0: 1}}}}\n": (2, 24, "the key 0 is no text", "quote it: '0'"),
    "study: a\nphases: {true: {}}\n": (2, 10, "the key true is no text", "quote it: 'true'"),
    "study: a\nbase: {'': 1}\nphases: {p: {}}\n": (2, 8, "the key is empty", None),
    'study: "a\\ud800"\nphases: {p: {}}\n': (1, 8, "lone surrogate", None),
    'study: a\nquestion: "\\ud800"\nphases: {p: {}}\n': (2, 11, "lone surrogate", None),
    'study: a\nphases: {"p\\udfff": {}}\n': (2, 10, "lone surrogate", None),
    'study: a\nphases: {p: {set: {"k\\ud800": 1}}}\n': (2, 20, "lone surrogate", None),
    'study: a\nphases: {p: {set: {k: ["\\udc00"]}}}\n': (2, 24, "lone surrogate", None),
    'study: a\nphases: {"p\\e": {}}\n': (2, 10, "no control characters", None),
}


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: repr(text.removeprefix(GOOD))[:60])
def test_broken_file_is_reported_with_its_place(text: str) -> None:
    line, column, message, hint = BROKEN[text]

    with pytest.raises(StudyFileError) as caught:
        check_study(parse_document(text, name="f.yaml"))

    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert message in error.message
    assert hint is None or hint in (error.hint or "")
    assert error.exit_code == 2


def test_a_factor_of_imported_runs_is_a_key_or_levels_of_phases() -> None:
    text = "study: a\nfactors: {rate: optim.lr, data: {phases: {p: old, q: new}}}\n"

    spec = check_study(parse_document(text, name="f.yaml"))

    assert spec.trainer == "imported"
    assert spec.to_json()["factors"] == {
        "rate": {"key": "optim.lr"},
        "data": {"phases": {"p": "old", "q": "new"}},
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trainer: t:train\nfactors: {rate: lr}\n", "needs 'levels'"),
        ("trainer: imported\nfactors: {a: {levels: {x: {k: 1}}}}\n", "named levels are for train"),
        ("factors: {a: {key: k, phases: {p: 1}}}\n", "remove 'key' and 'levels'"),
        ("factors: {a: {}}\n", "a factor needs at least one level"),
    ],
)
def test_a_factor_that_says_too_much_or_too_little_is_refused(text: str, told: str) -> None:
    with pytest.raises(StudyFileError, match=told):
        check_study(parse_document(f"study: a\n{text}", name="f.yaml"))


def test_yaml_is_read_as_version_1_2() -> None:
    text = GOOD + "base: {a: 1e-3, b: no, c: 010, d: on, e: 1_000}\n"

    assert check_study(parse_document(text, name="f")).base == {
        "a": 0.001,
        "b": "no",
        "c": 10,
        "d": "on",
        "e": 1000,
    }


def test_bom_and_crlf_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())

    assert read_study(path)[0].study == "a"


def test_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"study: a\nquestion: caf\xe9\n")

    with pytest.raises(StudyFileError, match="not UTF-8") as caught:
        read_study(path)
    assert caught.value.line == 2


def test_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match="cannot read it"):
        read_study(tmp_path)


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no study file"):
        read_study(tmp_path / "gone.yaml")


def test_python_tags_are_never_executed() -> None:
    text = GOOD + "base: {x: !!python/object/apply:os.system ['touch /tmp/ablate-owned']}\n"

    with pytest.raises(StudyFileError, match=r"the tag !!python/object/apply:os\.system is") as no:
        check_study(parse_document(text, name="f"))

    assert no.value.line is not None
    assert not Path("/tmp/ablate-owned").exists()


def test_metric_may_be_its_goal_alone() -> None:
    spec = check_study(parse_document(GOOD + "metrics: {a/b: min}\n", name="f"))

    assert spec.to_json()["metrics"] == {"a/b": {"goal": "min", "rule": "mean_last_10%"}}


def test_section_without_a_value_is_empty() -> None:
    text = "study: a\nbase:\nphases:\n  p:\n  q: {set: }\nmetrics:\ntargets:\nguards:\nfactors:\n"

    spec = check_study(parse_document(text, name="f.yaml"))

    assert (list(spec.phases), spec.base, spec.phases["q"].set) == (["p", "q"], {}, {})
    assert (spec.metrics, spec.targets, spec.guards, spec.factors) == ({}, {}, {}, {})
