"""Study files with damage, and what hypothesis makes up: read, or one clear error with a place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.app.creating import plan_creation
from ablate.errors import AblateError, StudyFileError
from ablate.planning.study_file.document import parse_document, read_document
from ablate.planning.study_file.flags import StudyFlags, apply_flags, parse_flags
from ablate.planning.study_file.parsing import check_study
from ablate.planning.study_file.templates import templates
from ablate.render.errors import error_text
from ablate.settings import load_settings
from tests.support.damage import damaged, outcome
from tests.support.thorough import few_or_many

_EACH = few_or_many(60, 1500)
_GOOD = b"""\
study: x
question: Which "rate"?
trainer: mine:train
base: &base
  steps: 200
  optim: {lr: 1e-3, betas: [0.9, 0.99], name: adam}
  data.path: 'a b'
phases:
  slow: {baseline: true}
  fast:
    from: slow
    set: {optim.lr: 0.1, <<: {wd: 0}}
factors:
  width: {key: model.width, levels: [1, 2, 0x10]}
  opt: {levels: {sgd: {optim.name: sgd}, adam: {optim: {name: adam}}}}
design: {kind: one_at_a_time, from: slow}
seeds: [0, 1]
metrics: {train/loss/total: min, valid/pesq: {goal: max, rule: last}}
targets: {train/audio/rms: "0.075 +-20%"}
gates: [100, {at: 150, do: stop}]
guards:
  nan: {when: train/loss/total is nan, do: stop}
"""
_TRAINER = "def train(config, run):\n    run.log({'train/loss/total': 1.0}, 0)\n"


def test_damaged_study_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    (project / "studies").mkdir(parents=True)
    (project / "mine.py").write_text(_TRAINER)
    monkeypatch.chdir(project)
    path = project / "studies" / "x.yaml"
    good = 0
    for seed in range(-1, _EACH):
        path.write_bytes(_GOOD if seed < 0 else damaged(_GOOD, seed))

        def plan() -> None:
            plan_creation(load_settings(), "x", flags=StudyFlags())

        error = outcome(f"damage {seed}", plan)
        good += error is None
        if isinstance(error, StudyFileError) and error.file is not None:
            assert error_text(error).count("\n") < 7
    assert good
    assert {path.name for path in tmp_path.iterdir()} == {"project"}
    assert {path.name for path in project.iterdir()} == {"studies", "mine.py"}


@pytest.mark.parametrize("name", sorted(templates()))
def test_damaged_templates(name: str) -> None:
    content = templates()[name].read_bytes()
    for seed in range(_EACH // 10):

        def check(seed: int = seed) -> None:
            document = parse_document(damaged(content, seed).decode("utf-8", "replace"), name="x")
            check_study(document)

        outcome(f"{name} with damage {seed}", check)


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["a.b", "a..b", "", ".", "null", "<<", "*a", "9" * 400, "\ud800", "\0"]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=few_or_many(60, 1500), deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_as_a_study_file(text: str) -> None:
    outcome(repr(text), lambda: check_study(parse_document(text, name="x")))


@settings(max_examples=few_or_many(60, 1500), deadline=None)
@given(
    factors=st.lists(
        st.text(max_size=20) | st.builds("{}={}".format, st.text(max_size=5), _VALUES)
    ),
    values=st.lists(st.text(max_size=20) | st.builds("{}={}".format, st.text(max_size=5), _VALUES)),
)
def test_any_flags(factors: list[str], values: list[str]) -> None:
    def define() -> None:
        flags = parse_flags(factors=factors, settings=values, design=None, seeds=None)
        document = parse_document(_GOOD.decode(), name="x")
        check_study(
            parse_document(apply_flags(document, check_study(document), "x", flags), name="y")
        )

    outcome((factors, values), define)


def test_what_stands_in_the_place_of_a_study_file(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "large").write_bytes(b"# \n" * 2_000_000)
    for path in (
        tmp_path,
        tmp_path / "pipe",
        tmp_path / "loop",
        Path("/dev/zero"),
        tmp_path / "large",
    ):
        error = outcome(path, lambda path=path: read_document(path))
        assert isinstance(error, AblateError)
        assert error.message
