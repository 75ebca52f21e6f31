"""What is known of a user's trainer from its source: nothing of it is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablate.errors import AblateError, NotFoundError, StudyFileError, TrainerError
from ablate.planning.notes import plan_notes
from ablate.planning.plan import make_plan
from ablate.planning.study_file.document import parse_document
from ablate.planning.study_file.parsing import check_study
from ablate.planning.trainers.registry import UserTrainer, load_trainer
from ablate.planning.trainers.source import Sources
from ablate.protocol import ConfigError

EXPLODES = "raise RuntimeError('this module must not be imported')\n"


def write(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(EXPLODES + text)
    return folder


def trainer_of(folder: Path, text: str, **modules: str) -> UserTrainer:
    found = load_trainer("mine:train", write(folder, mine=text, **modules))
    assert isinstance(found, UserTrainer)
    return found


TRAIN = "def train(config, run): ...\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def trian(config, run): ...\n", "there is no function 'train' in mine.py"),
        ("def train(config, run)\n    pass\n", r"mine.py:2: expected ':'"),
        ("def train(): ...\n", r"mine.py:2: 'train\(\)' cannot be called with config and run"),
        ("def train(a, b, c): ...\n", "cannot be called with config and run"),
        ("def train(config, run, *, out): ...\n", "cannot be called with config and run"),
        ("async def train(config, run): ...\n", "is async"),
        ("def train(config, run):\n    if config:\n        yield run\n", "'train' yields"),
        ("class train: ...\n", "is a class"),
        (TRAIN + "NOT_IDENTITY = get()\n", "NOT_IDENTITY in mine.py is no literal list"),
    ],
)
def test_a_module_that_cannot_train_is_refused_unimported(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(AblateError, match=message):
        trainer_of(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        TRAIN,
        "def train(config, run, extra=1, *, more=2): ...\n",
        "def train(*args): ...\n",
        "train = lambda config, run: None\n",
        "train = make_trainer(3)\n",
        "from other import train\n",
        "from other import go as train\n",
        "from library import train\n",
        "if True:\n    def train(config, run): ...\n",
        "try:\n    from other import train\nexcept ImportError:\n    train = None\n",
    ],
)
def test_a_module_that_may_train_is_taken(tmp_path: Path, text: str) -> None:
    trainer_of(tmp_path, text, other="def train(c, r): ...\ndef go(c, r): ...\n")


def test_unknown_module_names_a_near_one(tmp_path: Path) -> None:
    write(tmp_path, mytrain=TRAIN)

    with pytest.raises(NotFoundError) as caught:
        load_trainer("mytrian:train", tmp_path)

    assert caught.value.hint == "did you mean 'mytrain'?"


def test_fault_of_the_module_points_at_the_study_file(tmp_path: Path) -> None:
    write(tmp_path, **{"package/__init__": "", "package/mod": "def other(c, r): ...\n"})

    with pytest.raises(AblateError, match=r"no function 'train' in mod\.py") as caught:
        load_trainer("package.mod:train", tmp_path)

    assert "other" in str(caught.value.hint)


DATACLASS = """
from dataclasses import dataclass, field
from typing import ClassVar, Literal

@dataclass
class Optim:
    lr: float = 0.1
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])

@dataclass
class Base:
    seed_everything: bool = False

@dataclass
class Options(Base):
    steps: int
    optim: Optim = field(default_factory=Optim)
    kind: Literal["adam", "sgd"] = "adam"
    width: int | None = None
    name: str = make_name()
    extra: dict = field(default_factory=dict)
    COUNT: ClassVar[int] = 3

def train(config: Options, run): ...
"""
PYDANTIC = """
import pydantic
from pydantic import BaseModel, Field

class Optim(BaseModel):
    lr: float = Field(0.1, gt=0)
    betas: list[float] = [0.9, 0.99]

class Options(pydantic.BaseModel):
    seed_everything: bool = False
    steps: int = Field(..., ge=1)
    optim: Optim = Optim()
    kind: "Literal['adam', 'sgd']" = "adam"
    width: "int | None" = None
    name: str = Field(default_factory=make_name)
    extra: dict = {}

def train(config: "Options", run): ...
"""
DEFAULTS = """
DEFAULTS = dict(
    steps=100, seed_everything=False, optim={"lr": 0.1, "betas": (0.9, 0.99)}, kind="adam",
    width=None, name=make_name(), extra={},
)
def train(config, run): ...
"""
FULL = {
    "seed_everything": False,
    "steps": 5,
    "optim": {"lr": 0.1, "betas": [0.9, 0.99]},
    "kind": "adam",
    "width": None,
    "extra": {},
}


@pytest.mark.parametrize(
    "text", [DATACLASS, PYDANTIC, DEFAULTS], ids=["dataclass", "pydantic", "D"]
)
def test_declared_keys_fill_and_check_a_config(tmp_path: Path, text: str) -> None:
    trainer = trainer_of(tmp_path, text)

    assert trainer.resolve({"steps": 5}) == FULL
    changed = trainer.resolve({"steps": 5, "optim.lr": 1, "extra.a.b": 2, "name": "x", "width": 3})
    assert changed == FULL | {
        "optim": {"lr": 1, "betas": [0.9, 0.99]},
        "extra": {"a": {"b": 2}},
        "name": "x",
        "width": 3,
    }
    for key, value, message in (
        ("lerning_rate", 1, "is no key of"),
        ("optim.lrr", 1, "is no key of"),
        ("optim.lr", "fast", "should be a number, not 'fast'"),
        ("optim.lr", True, "should be a number, not True"),
        ("optim", 3, "is a group, not a value"),
        ("seed_everything", 1, "should be true or false"),
        ("optim.betas", 0.9, "should be a list"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            trainer.resolve({"steps": 5, key: value})
        assert caught.value.key == key


def test_typed_keys_know_more_than_defaults_do(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, DATACLASS)

    for values, message in (
        ({}, "is not set, and Options has no default for it"),
        ({"steps": 2.5}, "a whole number, not 2.5"),
        ({"steps": 5, "kind": "adamw"}, "is one of 'adam', 'sgd', not 'adamw'"),
    ):
        with pytest.raises(ConfigError, match=message):
            trainer.resolve(values)


def test_model_may_be_in_another_module(tmp_path: Path) -> None:
    text = "from conf import Options\ndef train(config: Options, run): ...\n"
    conf = "from dataclasses import dataclass\n@dataclass\nclass Options:\n    lr: float = 0.5\n"

    assert trainer_of(tmp_path, text, conf=conf).resolve({}) == {"lr": 0.5}


def test_declared_version_identity_and_absence(tmp_path: Path) -> None:
    text = TRAIN + 'VERSION = 3\nNOT_IDENTITY = ["log_every"]\nABSENT_MEANS = {"dropout": 0}\n'

    trainer = trainer_of(tmp_path, text)

    assert (trainer.version, trainer.code_version) == ("undeclared", "3")
    assert trainer.not_identity == {"log_every"}
    assert trainer.absent_means == {"dropout": 0}


def test_own_modules_and_libraries_are_told_apart(tmp_path: Path) -> None:
    inner = "from . import sibling\nfrom .sibling import x\nfrom ablate.protocol import Run\n"
    modules = {
        "mine": "import json, torch, numpy as np\nfrom helpers import a\nfrom pkg.inner import b\n",
        "helpers": "def f():\n    from torch.nn import functional\n    import yaml, not_there\n",
        "pkg/__init__": "",
        "pkg/inner": inner,
        "pkg/sibling": "import mine\n",
    }
    write(tmp_path, **modules)
    sources = Sources(tmp_path)

    own = {module.name for module in sources.reached_from("mine")}

    assert own == {"mine", "helpers", "pkg", "pkg.inner", "pkg.sibling"}
    assert set(sources.libraries("mine")) == {
        "torch", "numpy", "torch.nn", "torch.nn.functional", "yaml", "not_there",
    }  # fmt: skip


STUDY = "study: s\ntrainer: mine:train\nbase: {steps: 5, lr: 1, lerning_rate: 2, optim: {wd: 0}}\n"
READS = {
    'config["steps"]; config["lr"]; config["optim"]["wd"]': True,
    'o = Namespace(**config); o.steps; o.lr; o.optim["wd"]': True,
    'config["steps"]; config.get("lr"); AdamW(**config["optim"])': True,
    "lightning.Trainer(**config)": False,
    "globals().update(config)": False,
}


@pytest.mark.parametrize("text", READS)
def test_key_that_nothing_reads_is_told(tmp_path: Path, text: str) -> None:
    write(tmp_path, mine=f"def train(config, run):\n    {text}\n")
    document = parse_document(STUDY + "phases: {a: {}, b: {from: a}}\n", name="f.yaml")
    spec = check_study(document)
    trainer = load_trainer("mine:train", tmp_path)

    notes = plan_notes(spec, make_plan(spec, trainer, document), trainer, tmp_path)

    unread = "nothing in mine reads the config key lerning_rate"
    assert notes[0] == "b changes nothing: its config is that of a"
    assert [note.startswith(unread) for note in notes[1:]] == [True] * READS[text]


class Older:
    """A trainer of an installed package, from before trainers could say what they log."""

    version, train, preload = "1", "theirs:train", ()
    not_identity, absent_means = frozenset(), {}

    def resolve(self, overrides: dict) -> dict:
        return dict(overrides)


class Newer(Older):
    metrics = ("train/loss/total", "train/norm/*")


@pytest.mark.parametrize(
    ("trainer", "told"),
    [(Older(), []), (Newer(), ["the trainer 'theirs' never logs train/loss/totl"])],
)
def test_metric_that_is_never_logged_is_told_where_the_trainer_says_so(
    tmp_path: Path, trainer: Any, told: list[str]
) -> None:
    metrics = "{train/loss/totl: min, train/norm/out: min, system/rss_bytes: min}"
    text = f"study: s\ntrainer: theirs\nphases: {{a: {{}}}}\nmetrics: {metrics}\n"
    document = parse_document(text, name="f.yaml")
    spec = check_study(document)

    notes = plan_notes(spec, make_plan(spec, trainer, document), trainer, tmp_path)

    assert [note.partition(";")[0] for note in notes] == told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "def train(config, run):\n    config['flip']\n",
            [
                "flip is the text 'no'; a switch is true or false",
                "flip is the text 'on'; a switch is true or false",
            ],
        ),
        ("DEFAULTS = {'flip': 'yes'}\ndef train(config, run):\n    config['flip']\n", []),
    ],
)
def test_text_that_older_yaml_reads_as_a_switch_is_told(
    tmp_path: Path, body: str, told: list[str]
) -> None:
    write(tmp_path, mine=body)
    text = (
        "study: s\ntrainer: mine:train\nbase: {flip: no}\nfactors: {f: {key: flip, levels: [on]}}\n"
    )
    document = parse_document(text, name="f.yaml")
    spec = check_study(document)
    trainer = load_trainer("mine:train", tmp_path)

    notes = plan_notes(spec, make_plan(spec, trainer, document), trainer, tmp_path)

    assert list(notes) == told


def test_schema_fault_points_at_the_setting(tmp_path: Path) -> None:
    write(tmp_path, mine=DEFAULTS)
    text = "study: s\nphases:\n  a: {}\n  b:\n    set:\n      optim:\n        lrr: 3\n"
    document = parse_document(text, name="f.yaml")

    with pytest.raises(StudyFileError) as caught:
        make_plan(check_study(document), load_trainer("mine:train", tmp_path), document)

    assert (caught.value.line, caught.value.hint) == (7, "did you mean 'optim.lr'?")


@pytest.mark.parametrize(
    ("mine", "helper", "is_same"),
    [
        ("import helper\n" + TRAIN, "x = 1\n", True),
        ("import helper  # why\n\n\n" + TRAIN, "x = (\n    1\n)  # one\n", True),
        ("import helper\n" + TRAIN, "x = 2\n", False),
        ("import helper\ny = 1\n" + TRAIN, "x = 1\n", False),
    ],
)
def test_digest_is_of_the_code_wherever_it_lies(
    tmp_path: Path, mine: str, helper: str, is_same: bool
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write(here, mine="import helper\n" + TRAIN, helper="x = 1\n", beside="z = 1\n")
    write(there, mine=mine, helper=helper, beside="z = 2\n")

    is_equal = Sources(here).digest("mine") == Sources(there).digest("mine")
    assert is_equal is is_same


@pytest.mark.parametrize(
    ("files", "name", "told", "hint"),
    [
        ({"json.py": TRAIN}, "json", "'json' is the name of a module of Python", "rename json.py"),
        ({"ablate.py": TRAIN}, "ablate", "'ablate' is the name of this tool", "rename ablate.py"),
        (
            {"random/__init__.py": TRAIN},
            "random",
            "'random' is the name of a module of Python",
            "rename the folder random",
        ),
        (
            {"trainer/mine.py": TRAIN},
            "trainer.mine",
            "'trainer' is the name of an installed package",
            "add trainer/__init__.py",
        ),
    ],
)
def test_module_in_whose_place_python_takes_another_is_refused(
    tmp_path: Path, files: dict[str, str], name: str, told: str, hint: str
) -> None:
    for place, text in files.items():
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    with pytest.raises(TrainerError, match=told) as caught:
        load_trainer(f"{name}:train", tmp_path)

    assert caught.value.hint == hint


@pytest.mark.parametrize("place", ["trainer.py", "trainer/__init__.py", "utils.py", "yours/a.py"])
def test_modules_of_the_project_go_before_installed_ones(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(TRAIN)
    name = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    assert load_trainer(f"{name}:train", tmp_path).train == f"{name}:train"
