"""Identity: equal exactly for runs that would train alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.identity import canonical_json, flatten, identity
from ablate.rules import DEFAULT_RULE, Action, Demand, Gate, Guard, Target

CONFIG = {"steps": 700, "optim": {"lr": 1e-3, "betas": [0.9, 0.99]}, "gan": False}
STOP = Guard.parse("collapse", "train/audio/rms < 0.01", for_steps=20, do="stop")
FLAG = Guard.parse("collapse", "train/audio/rms < 0.01", for_steps=20, do="flag")


def of(config: dict, **changes: object) -> str:
    return identity(config, **{"trainer": "bundled", "version": "1", **changes})  # type: ignore[arg-type]


def test_identity_is_the_golden_value() -> None:
    """A change here makes every stored run unknown: raise the format and say so in CHANGELOG."""
    assert of(CONFIG) == "9592c5cc53d8cf5a5d1d10af139af516e06ac307adbdb3b23e921992dd17492a"


def test_order_of_keys_and_kind_of_number_do_not_matter() -> None:
    assert of({"a": 1, "b": 2.0}) == of({"b": 2, "a": 1.0})


def test_true_is_not_one() -> None:
    assert of({"a": True}) != of({"a": 1})


@pytest.mark.parametrize(
    "change",
    [{"trainer": "mine:train"}, {"version": "2"}, {"guards": [STOP]}],
)
def test_trainer_version_and_stopping_guards_count(change: dict) -> None:
    assert of(CONFIG, **change) != of(CONFIG)


def test_guards_that_only_flag_do_not_count() -> None:
    assert of(CONFIG, guards=[FLAG]) == of(CONFIG)


def test_stopping_guards_with_one_condition_keep_the_identity_that_they_had() -> None:
    other = Guard.parse("low", "train/audio/rms < 0.01", for_steps=5, after_step=3, do="stop")

    golden = "6d5dc7b6ed224a96ddd521efe42f5cd6b75080cdf5cd6bbbe2733861abdcecfa"
    assert of(CONFIG, guards=[STOP, other]) == of(CONFIG, guards=[other, STOP]) == golden


def test_every_condition_of_a_stopping_guard_counts_but_not_their_order() -> None:
    def with_guard(when: str) -> str:
        return of(CONFIG, guards=[STOP, Guard.parse("g", when, for_steps=20, do="stop")])

    both = with_guard("train/audio/rms < 0.01 and a/b > 2")
    assert both == with_guard("a/b > 2 and train/audio/rms < 0.01")
    others = ("a/b > 2", "train/audio/rms < 0.01", "train/audio/rms < 0.01 and a/b > 3")
    assert len({both, *map(with_guard, others)}) == 4


def gate(do: Action = "stop", step: int = 100, **targets: str) -> Gate:
    demands = tuple(
        Demand(f"a/{name}", Target.parse(text), DEFAULT_RULE) for name, text in targets.items()
    )
    return Gate(step=step, do=do, demands=demands)


def test_guards_on_no_number_count_by_what_they_say() -> None:
    said = ("train/loss/l1 is nan", "train/loss/l1 is not finite", "train/loss/l1 < 0")
    guards = [Guard.parse("g", when, do="stop") for when in said]

    assert len({of(CONFIG), *(of(CONFIG, guards=[guard]) for guard in guards)}) == 4
    other = Guard.parse("g", "train/loss/l1  is NOT finite", do="stop")
    assert of(CONFIG, guards=[other]) == of(CONFIG, guards=[guards[1]])


def test_gates_count_as_guards_do_when_they_stop() -> None:
    stops = of(CONFIG, gates=[gate(b=">= 8", c="<= 1")])

    assert of(CONFIG, gates=[gate("flag", b=">= 8")]) == of(CONFIG)
    assert stops == of(CONFIG, gates=[gate(c="<=1.0", b="> 8"), gate("flag", 50, b=">= 8")])
    others = [gate(b=">= 8"), gate(b=">= 8", c="<= 2"), gate(step=99, b=">= 8", c="<= 1")]
    assert len({stops, of(CONFIG), *(of(CONFIG, gates=[g]) for g in others)}) == 5


def test_keys_that_cannot_change_the_result_do_not_count() -> None:
    saved_often = {**CONFIG, "checkpoint_every": 10}
    saved_rarely = {**CONFIG, "checkpoint_every": 100}

    assert of(saved_often) != of(saved_rarely)
    skipped = {"not_identity": {"checkpoint_every"}}
    assert of(saved_often, **skipped) == of(saved_rarely, **skipped) == of(CONFIG)


def test_a_key_added_later_keeps_the_identity_of_old_runs() -> None:
    new = {**CONFIG, "optim": {**CONFIG["optim"], "nesterov": False}}
    rule = {"absent_means": {"optim.nesterov": False}}

    assert of(new, **rule) == of(CONFIG)
    changed = {**CONFIG, "optim": {**CONFIG["optim"], "nesterov": True}}
    assert of(changed, **rule) != of(CONFIG)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a config value must be"):
        of({"a": value})


def test_flatten_joins_keys_with_dots_and_keeps_empty_mappings() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": {}}) == {"a.b.c": 1, "d": {}}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=4))
def test_canonical_json_is_a_fixed_point(config: dict) -> None:
    import json

    text = canonical_json(config)

    assert canonical_json(json.loads(text)) == text
