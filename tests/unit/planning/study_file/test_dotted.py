"""One rule for dotted keys and nested mappings, wherever they stand; configs share nothing."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ablate.domain import Plan
from ablate.errors import SettingError, StudyFileError, UsageError
from ablate.identity import canonical_json, flatten
from ablate.planning.plan import identity_of, make_plan
from ablate.planning.study_file.document import parse_document, round_trip_yaml
from ablate.planning.study_file.dotted import DottedSettings
from ablate.planning.study_file.flags import apply_flags, parse_flags
from ablate.planning.study_file.parsing import check_study
from ablate.planning.study_file.spec import StudySpec
from ablate.planning.trainers.registry import UserTrainer
from ablate.render.studies import variants_table
from tests.support.thorough import EVERY_HEALTH_CHECK, few_or_many

TRAINER = UserTrainer("m:train")


def planned(text: str) -> Plan:
    document = parse_document(text, name="f.yaml")
    return make_plan(check_study(document), TRAINER, document)


def configs(plan: Plan) -> dict[str, Any]:
    return {variant.name: variant.config for variant in plan.variants}


NESTED = "study: s\nbase: {optim: {lr: 0.1, wd: 0.01}}\n"


@pytest.mark.parametrize(
    "below",
    [
        "phases: {a: {}, b: {set: {optim.lr: 0.9}}}",
        "phases: {a: {}, b: {set: {optim: {lr: 0.9}}}}",
        "phases: {a: {}}\nfactors: {f: {levels: {b: {optim.lr: 0.9}}}}",
        "phases: {a: {}}\nfactors: {f: {levels: {b: {optim: {lr: 0.9}}}}}",
        "phases: {a: {}}\nfactors: {lr: {key: optim.lr, levels: [0.9]}}",
        "phases: {a: {}}\nfactors: {o: {key: optim, levels: [{lr: 0.9}]}}",
    ],
)
def test_each_variant_has_its_own_values(below: str) -> None:
    base, changed = configs(planned(f"{NESTED}{below}\n")).values()

    assert base == {"optim": {"lr": 0.1, "wd": 0.01}}
    assert changed == {"optim": {"lr": 0.9, "wd": 0.01}}


def test_changing_one_config_changes_no_other() -> None:
    plan = planned(
        f"{NESTED}phases: {{a: {{}}, b: {{set: {{x: [1], y: [{{z: 1}}]}}}}, c: {{from: b}}}}\n"
    )
    before = copy.deepcopy(configs(plan))

    for name, config in configs(plan).items():
        config["optim"]["lr"] = name
        for values in (config.get("x"), config.get("y")):
            if values:
                values.append(name)

    assert {name: config["optim"]["lr"] for name, config in configs(plan).items()} == {
        name: name for name in before
    }
    assert len(configs(plan)["b"]["x"]) == len(configs(plan)["c"]["x"]) == 2


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": {"x": 1}}, {"a": 3}, {"a": 3}),
        ({"a": None}, {"a.x": 1}, {"a": {"x": 1}}),
        ({"a": {}}, {"a.x": 1}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}),
        ({"a": 3}, {"a": {}}, {"a": {}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a.b.c": 1}, {"a.b": {"d": 2}}, {"a": {"b": {"c": 1, "d": 2}}}),
        ({"a": {"b": {"c": 1}}}, {"a.b": 5}, {"a": {"b": 5}}),
        ({"a": {"b.c": 1}}, {"a.b.c": 2}, {"a": {"b": {"c": 2}}}),
        ({"ab": 1}, {"a": 2}, {"ab": 1, "a": 2}),
    ],
)
def test_a_later_setting_merges_or_replaces(
    first: dict[str, Any], second: dict[str, Any], merged: dict[str, Any]
) -> None:
    assert DottedSettings().apply(first).apply(second).nested() == merged


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "base: {opt: adam}\nphases: {p: {set: {opt.name: sgd}}}",
            3,
            "'opt' is 'adam', no mapping",
        ),
        ("base: {opt: adam}\nphases: {p: {set: {opt: {name: sgd}}}}", 3, "'opt' is 'adam'"),
        ("base: {aug: [1]}\nphases:\n  p:\n    set:\n      aug.0: 2", 6, "'aug' is a list"),
        ("base: {a: 1, a.b: 2}\nphases: {p: {}}", 2, "'a.b' below 'a' is set twice"),
        ("base: {a.b: 2, a: 1}\nphases: {p: {}}", 2, "'a.b' below 'a' is set twice"),
        ("base: {a: {b: 1}, a.b: 2}\nphases: {p: {}}", 2, "'a.b' is set twice"),
        ("base: {a..b: 1}\nphases: {p: {}}", 2, "'a..b' is no config key"),
        ("base: {a: {' b': 1}}\nphases: {p: {}}", 2, "' b' is no config key"),
        ("base: {o: 1}\nfactors:\n  f: {key: o.lr, levels: [1]}", 4, "'o' is 1, no mapping"),
        ("factors:\n  f: {levels: {a: {x: {y: 1}, x.y: 2}}}", 3, "'x.y' is set twice"),
        (
            "factors:\n  f: {key: a.b, levels: [1]}\n  g: {key: a, levels: [{b: 2}]}\ndesign: grid",
            4,
            "the factors 'f' and 'g' both set 'a.b'",
        ),
    ],
)
def test_settings_that_contradict_are_refused_with_their_place(
    text: str, line: int, message: str
) -> None:
    with pytest.raises(StudyFileError, match=message) as caught:
        planned(f"study: s\n{text}\n")
    assert caught.value.line == line


def test_flags_go_where_the_file_spells_the_key() -> None:
    text = f"{NESTED}phases: {{p: {{}}}}\n"

    for flag, optim in (
        ("optim.lr=0.5", {"lr": 0.5, "wd": 0.01}),
        ("optim={lr: 0.5}", {"lr": 0.5, "wd": 0.01}),
        ("optim=null", None),
    ):
        document = parse_document(text, name="f.yaml")
        flags = parse_flags(factors=[], settings=[flag], design=None, seeds=None)
        written = apply_flags(document, check_study(document), "s", flags)
        assert configs(planned(written))["p"] == {"optim": optim}, flag

    document = parse_document(text, name="f.yaml")
    flags = parse_flags(factors=[], settings=["optim.lr.x=1"], design=None, seeds=None)
    with pytest.raises(UsageError, match=r"'optim.lr' is 0.1, no mapping"):
        apply_flags(document, check_study(document), "s", flags)


def test_a_factor_by_flag_keeps_what_its_phase_inherits() -> None:
    text = (
        f"{NESTED}phases: {{a: {{set: {{optim: null}}}}, b: {{from: a, set: {{optim.lr: 2}}}}}}\n"
        "design: {from: b}\n"
    )
    document = parse_document(text, name="f.yaml")
    flags = parse_flags(factors=["x=1,2"], settings=[], design="grid", seeds=None)

    plan = planned(apply_flags(document, check_study(document), "s", flags))

    assert [c["optim"] for c in configs(plan).values()] == [{"lr": 2}] * 3


def test_apply_names_the_key_and_its_place() -> None:
    with pytest.raises(SettingError) as caught:
        DottedSettings().apply({"a": {"b": {"c ": 1}}}, ("base",))
    assert caught.value.place == ("base", "a", "b", "c ")


# A plain reference: dictionaries merged one after the other, in the order of the documented rule.

names = st.sampled_from("abcd")
scalars = st.one_of(st.integers(-3, 3), st.booleans(), st.sampled_from(["u", "v"]), st.just([1, 2]))
SHAPE = {"a": 0, "b": 0, "c": {"a": 0, "b": {"a": 0, "d": 0}}, "d": {"c": {"a": 0}}}
"""Which keys are values (0) and which are mappings, so that nothing contradicts."""


@st.composite
def layers(draw: st.DrawFn, shape: dict[str, Any] = SHAPE) -> dict[str, Any]:
    """Return settings of some keys of the shape, each nested or dotted as it comes."""
    layer: dict[str, Any] = {}
    for name, inner in shape.items():
        if not draw(st.booleans()):
            continue
        if inner == 0:
            layer[name] = draw(scalars)
            continue
        below = draw(layers(inner))
        if draw(st.booleans()):
            layer |= {f"{name}.{key}": value for key, value in below.items()}
        elif below:
            layer[name] = below
    return layer


def merged(target: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    target = copy.deepcopy(target)
    for key, value in layer.items():
        head, _, rest = key.partition(".")
        inner = {rest: value} if rest else value
        if isinstance(inner, dict):
            target[head] = merged(target.get(head, {}), inner)
        else:
            target[head] = copy.deepcopy(inner)
    return target


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    phases: dict[str, Any] = {"p0": {"set": draw(layers())}}
    for number in range(1, draw(st.integers(1, 4))):
        parent = draw(st.sampled_from([None, *phases]))
        phases[f"p{number}"] = {"set": draw(layers())} | ({"from": parent} if parent else {})
    factors: dict[str, Any] = {}
    if draw(st.booleans()):
        factors["f"] = {"levels": {f"l{i}": draw(layers()) for i in range(draw(st.integers(1, 3)))}}
    if draw(st.booleans()):
        factors["g"] = {
            "key": "c.b.d",
            "levels": draw(st.lists(st.integers(), min_size=1, unique=True)),
        }
    study = {"study": "s", "base": draw(layers()), "phases": phases, "factors": factors}
    return study | {"design": {"from": draw(st.sampled_from(list(phases)))}}


def expected(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    def of_phase(name: str) -> dict[str, Any]:
        parent = study["phases"][name].get("from")
        below = of_phase(parent) if parent else merged({}, study["base"])
        return merged(below, study["phases"][name]["set"])

    found = {name: of_phase(name) for name in study["phases"]}
    start = of_phase(study["design"]["from"])
    for name, factor in study["factors"].items():
        levels = factor["levels"]
        if isinstance(levels, list):
            levels = {str(value): {factor["key"]: value} for value in levels}
        found |= {f"{name}={label}": merged(start, layer) for label, layer in levels.items()}
    return found


@settings(
    max_examples=few_or_many(200, 2000), deadline=None, suppress_health_check=EVERY_HEALTH_CHECK
)
@given(study=studies(), flags=layers())
def test_what_the_trainer_receives_is_what_a_plain_merge_gives(
    study: dict[str, Any], flags: dict[str, Any]
) -> None:
    stream = io.StringIO()
    round_trip_yaml().dump(study, stream)
    document = parse_document(stream.getvalue(), name="f.yaml")
    typed = [f"{key}={canonical_json(value)}" for key, value in flags.items()]
    given_flags = parse_flags(factors=[], settings=typed, design=None, seeds=None)
    text = apply_flags(document, check_study(document), "s", given_flags)
    study["base"] = merged(merged({}, study["base"]), flags)

    plan = planned(text)

    wanted = expected(study)
    spec = StudySpec.model_validate(YAML(typ="safe").load(text))
    for variant in plan.variants:
        assert canonical_json(variant.config) == canonical_json(wanted[variant.name])
        assert variant.identity == identity_of(variant.config, spec, TRAINER, None)
    # Levels that equal a phase are that phase; nothing else is left out.
    identities = {variant.identity for variant in plan.variants}
    assert all(identity_of(config, spec, TRAINER, None) in identities for config in wanted.values())
    start = {variant.name: flatten(variant.config) for variant in plan.variants}
    for row in variants_table(plan).rows:
        name, parent, changes = row[0].text, row[2].text, row[3].text
        own, base = start[name], start[name if parent == "-" else parent]
        told = {k: v for k, v in own.items() if k not in base or not same(v, base[k])}
        assert changes.split("  ") == (
            [f"{k}={v if isinstance(v, str) else canonical_json(v)}" for k, v in told.items()]
            + [f"{key} unset" for key in base if key not in own]
            or ["-"]
        )


def same(one: Any, other: Any) -> bool:
    return canonical_json(one) == canonical_json(other)
