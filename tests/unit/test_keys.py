"""The words that rooms share are written once: metric keys, events and what they say."""

from __future__ import annotations

import ast
import dataclasses
import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate import keys
from ablate.analysis.diagnosis.causes import READS, SIGNS
from ablate.analysis.diagnosis.run_view import views_of
from ablate.analysis.loading import load
from ablate.keys import Payload
from tests.support.factories import COLLAPSE, HEALTHY, fake_store, make_data, make_scale_fix
from trainer.logged import metric_patterns

ROOT = Path(__file__).parents[2]
EVENTS = [
    value
    for value in vars(keys).values()
    if isinstance(value, type) and issubclass(value, Payload) and value is not Payload
]


def literals() -> Iterator[tuple[str, str]]:
    """Yield (place, text) for every text in the code that is no docstring."""
    for package in ("ablate", "trainer", "dashboards"):
        for path in sorted((ROOT / package).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            # The contract suites stand for the trainers of others, who write their own names.
            if place == "ablate/keys.py" or place.startswith("ablate/testing/"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                inside = () if isinstance(node, ast.Expr) else ast.iter_child_nodes(node)
                for inner in inside:
                    if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                        yield f"{place}:{inner.lineno}", inner.value


def test_no_metric_key_is_written_outside_keys():
    groups = "|".join(group.name for group in keys.GROUPS)
    a_key = re.compile(
        rf"(^|[^\w-])(train|valid|test|null|system|\*)/[\w*{{]|(^|/)({groups})/[\w*]"
    )
    no_key = re.compile(r"attempt-\*/|audio/(wav|flac|ogg|mpeg)|\[0-9\]\*/stat")

    found = [f"{p} {t!r}" for p, t in literals() if a_key.search(t) and not no_key.search(t)]

    assert found == []


def test_no_event_is_named_outside_keys():
    names = {event.NAME for event in EVENTS}

    assert len(names) == len(EVENTS) > 10
    assert [f"{place} {text}" for place, text in literals() if text in names] == []


ALLOWED_STEPS = {
    "trainer/config/presets.py": "presets are configs, whose keys are the trainer's own",
    "trainer/optimizer.py": "a part of a checkpoint",
    "trainer/watching/diagnostics.py": "a part of a checkpoint",
    "ablate/importers/points.py": "the slots of a class",
    "ablate/store/schema/models.py": "the name of a table",
}


def test_the_last_step_of_a_config_is_named_in_one_place():
    places = {place.partition(":")[0] for place, text in literals() if text == keys.STEPS}

    assert places == set(ALLOWED_STEPS)


def test_what_is_stored_of_an_event_is_read_back():
    fired = keys.GuardFired(guard="low", when="x < 1", since_step=3, values={"x": 0.5}, do="stop")
    judged = keys.GateJudged(do="flag", statuses={"x": "critical"})

    assert fired.data() == {
        "guard": "low",
        "when": "x < 1",
        "since_step": 3,
        "values": {"x": 0.5},
        "do": "stop",
    }
    assert judged.data() == {"do": "flag", "statuses": {"x": "critical"}}
    assert keys.GuardFired.of("guard_fired", fired.data()) == dataclasses.replace(
        fired, when="", since_step=0, values=None
    )
    assert keys.GateJudged.of("gate_judged", judged.data()) == judged
    assert keys.GuardFired.of("gate_judged", judged.data()) is None


@pytest.mark.parametrize("data", [{}, {"name": "low"}, {"guard": None}, {"do": 7}])
def test_an_event_of_an_early_version_or_a_stranger_is_read_as_far_as_it_goes(data):
    assert keys.GuardFired.of("guard_fired", data) is not None
    assert keys.GateJudged.of("gate_judged", data) is not None


def test_telling_an_event_passes_its_fields_on():
    told = []

    class Recorder:
        def event(self, name, step, **data):
            told.append((name, step, data))

    keys.tell(Recorder(), 7, keys.QuantizerActivated(n_active=2))

    assert told == [("quantizer_activated", 7, {"n_active": 2})]


@pytest.mark.parametrize("group", keys.GROUPS, ids=lambda group: group.name)
def test_keys_of_a_group_are_taken_apart_as_they_were_made(group):
    for split in group.splits or ("",):
        key = group.key("a/b", split)

        assert group.holds(key, split)
        assert group.name_in(key, split) == "a/b"
        assert fnmatch.fnmatchcase(key, group.pattern)
        assert keys.metric_key(key) == key


class _Noted(dict):
    """Curves that note for which keys they were asked."""

    def __init__(self, curves, asked):
        super().__init__(curves)
        self.asked = asked

    def get(self, place, default=None):
        self.asked.add(place[1])
        return super().get(place, default)


def _everything(every: int = 10):
    """Return a study whose runs have logged all that the bundled trainer can, badly."""
    names = [p.replace("*", "0") for p in metric_patterns()]
    curves = {name: [1.0, 0.5, 0.01, 0.0, 1e-9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0] for name in names}
    curves |= {"train/change/codebook_q0": [0.0] * 11, "train/audio/target_rms": [1.0] * 11}
    return make_data({"base": {0: curves, 1: curves}}, every=every)


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: sign.name)
def test_a_sign_reads_what_it_declares_and_no_more(sign):
    asked = set()
    for data in (
        _everything(),
        make_scale_fix(phases={"phase_fixed": HEALTHY}),
        make_scale_fix(phases={"phase_a": COLLAPSE}),
    ):
        noted = dataclasses.replace(data, curves=_Noted(data.curves, asked))
        for name in noted.names:
            sign.seen_in(views_of(noted, name, 100))

    undeclared = {
        key for key in asked if not any(fnmatch.fnmatchcase(key, pattern) for pattern in sign.reads)
    }
    assert asked
    assert undeclared == set()


def test_each_sign_has_a_name_of_its_own_and_only_known_keys():
    known = [*metric_patterns(), *(group.pattern for group in keys.GROUPS)]

    assert len({sign.name for sign in SIGNS}) == len(SIGNS)
    for sign in SIGNS:
        for pattern in sign.reads:
            assert any(
                fnmatch.fnmatchcase(key, pattern) or fnmatch.fnmatchcase(pattern, key)
                for key in known
            ), pattern


def test_loading_for_a_comparison_brings_all_that_a_sign_reads():
    logged = [pattern.replace("*", "0") for pattern in READS]
    curves = {key: [1.0, 0.5] for key in [*logged, "train/norm/weight"]}
    store = fake_store(make_data({"base": {0: curves}}))

    data = load(store, "scale-fix", keys=())

    assert set(data.keys) >= set(logged)
    assert "train/norm/weight" not in data.keys
