"""Configs: defaults, presets, and what is refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from ablate.protocol import ConfigError
from trainer.config.config import Config
from trainer.config.parsing import from_nested, parse
from trainer.config.presets import PRESETS
from trainer.spec import BUNDLED


def leaves(tree: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in tree.items():
        key = f"{prefix}{name}"
        found += leaves(value, f"{key}.") if isinstance(value, dict) else [key]
    return found


def test_defaults_are_the_base_preset() -> None:
    assert parse({}) == parse({"preset": "base"}) == Config()


@pytest.mark.parametrize("preset", PRESETS)
def test_resolved_config_survives_json_and_parsing(preset: str) -> None:
    resolved = BUNDLED.resolve({"preset": preset})

    again = from_nested(json.loads(json.dumps(resolved)))

    assert BUNDLED.resolve({"preset": preset}) == resolved
    assert again == parse({"preset": preset})


def test_preset_differs_from_base_only_where_it_says_so() -> None:
    config = parse({"preset": "pre_output"})

    assert config.model.topology == "pre_output"
    assert config.steps == 700
    assert config.data.segment_s == Config().data.segment_s


def test_override_wins_over_preset() -> None:
    assert parse({"preset": "pre_output", "steps": 5}).steps == 5


def test_whole_number_for_a_float_becomes_a_float() -> None:
    one, same = BUNDLED.resolve({"losses.l1.weight": 1}), BUNDLED.resolve({"losses.l1.weight": 1.0})

    assert type(one["losses"]["l1"]["weight"]) is float
    assert one == same


def test_whole_float_for_an_integer_becomes_an_integer() -> None:
    assert type(BUNDLED.resolve({"steps": 1e3})["steps"]) is int


@pytest.mark.parametrize(
    ("overrides", "key", "words"),
    [
        ({"stepz": 1}, "stepz", "did you mean steps?"),
        ({"optim.learning_rat": 1}, "optim.learning_rat", "did you mean optim.learning_rate?"),
        ({"losses.rms_foo.weight": 1}, "losses.rms_foo.weight", "there is no loss 'rms_foo'"),
        ({"losses.l1": 1}, "losses.l1", "group"),
        ({"losses.l1.wait": 1}, "losses.l1.wait", "no such key"),
        ({"seed": 1}, "seed", "seeds"),
        ({"preset": "huge"}, "preset", "base, pre_output"),
        ({"preset": ["base"]}, "preset", "base, pre_output"),
        ({"steps": 1.5}, "steps", "whole number"),
        ({"steps": 0}, "steps", "at least 1"),
        ({"steps": True}, "steps", "whole number"),
        ({"steps": "many"}, "steps", "not a whole number"),
        ({"model.causal": 1}, "model.causal", "true or false"),
        ({"data.path": 3}, "data.path", "not a text"),
        ({"model.strides": []}, "model.strides", "list of whole numbers"),
        ({"model.strides": [8, 0]}, "model.strides", "above 0"),
        ({"model.strides": [8]}, "model.channels", "2 widths for 1 strides"),
        ({"optim.learning_rate": math.nan}, "optim.learning_rate", "not finite"),
        ({"optim.learning_rate": 10**400}, "optim.learning_rate", "not finite"),
        ({"optim.learning_rate": 0}, "optim.learning_rate", "above 0"),
        ({"losses.l1.weight": -1}, "losses.l1.weight", "at least 0"),
        ({"quantizer.ste": "consistant"}, "quantizer.ste", "did you mean consistent?"),
        ({"quantizer.ste": "\ud800"}, "quantizer.ste", "not one of detached, consistent, rotation"),
        ({"optim.freeze": ["decoder", "codr"]}, "optim.freeze", "'codr' is not one of encoder"),
        ({"data.sample_rate_hz": 100}, "data.sample_rate_hz", "at least 4000 and at most 48000"),
        ({"discriminator.periods": [2, 1]}, "discriminator.periods", "1 is out of range"),
        ({"data.segment_s": 0.3003}, "data.segment_s", "write 0.3"),
        ({"data.valid_s": 0.1}, "data.valid_s", "shorter than one segment"),
        ({"quantizer.prenorm": "time"}, "quantizer.prenorm", "model.causal: false"),
        (
            {"quantizer.post_affine": True, "quantizer.ste": "detached"},
            "quantizer.post_affine",
            "would never learn",
        ),
        ({"quantizer.metric": "cosine"}, "quantizer.update", "update: gradient"),
        ({"losses.codebook.weight": 1}, "losses.codebook.weight", "running means"),
        ({"model.final_conv": "identity"}, "model.final_conv", "pre_output"),
        ({f"losses.{n}.weight": 0 for n in ("l1", "sc", "log1p", "rms_frame", "rms_band")},
         "losses", "no term"),
        ({"data.source": "folder"}, "data.path", "is missing"),
        ({"data.source": "folder", "data.path": "no/such"}, "data.path", "no/such"),
    ],
)  # fmt: skip
def test_config_that_cannot_work_is_refused(
    overrides: dict[str, Any], key: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        BUNDLED.resolve(overrides)

    assert caught.value.key == key
    assert words in f"{caught.value} {caught.value.hint}"


def test_every_key_refuses_another_kind_of_value_in_plain_words() -> None:
    def said(key: str) -> str:
        with pytest.raises(ConfigError) as caught:
            parse({key: object()})
        return caught.value.message

    tree = BUNDLED.resolve({})
    odd = [key for key in leaves(tree) if key != "preset" and "> is not " not in said(key)]

    assert odd == []


def test_a_value_is_blamed_before_a_rule() -> None:
    with pytest.raises(ConfigError, match=r"optim.beta1: 2 is out of range"):
        parse({"model.strides": [8], "quantizer.metric": "cosine", "optim.beta1": 2})


def test_config_stays_as_it_is() -> None:
    config = parse({"steps": 5})

    with pytest.raises(ValidationError, match="frozen"):
        config.steps = 6  # type: ignore[misc]
    assert hash(config) == hash(parse({"steps": 5}))


def test_time_normalisation_is_allowed_where_asked_for() -> None:
    parse({"quantizer.prenorm": "time", "model.causal": False})
    parse({"quantizer.prenorm": "time", "quantizer.allow_noncausal_prenorm": True})


def test_folder_without_audio_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to hear")

    with pytest.raises(ConfigError, match=r"holds no audio file \(.flac, .ogg, .wav\)"):
        BUNDLED.resolve({"data.source": "folder", "data.path": str(tmp_path)})


def test_folder_with_audio_at_any_depth_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("x.WAV", "y.wav"):
        soundfile.write(tmp_path / "a" / "b" / name, np.zeros(800), 8000, format="WAV")

    BUNDLED.resolve({"data.source": "folder", "data.path": str(tmp_path)})


def test_steps_do_not_change_the_learning_rates_path() -> None:
    short, long = parse({"steps": 100}).optim, parse({"steps": 10_000}).optim

    assert short == long


def test_codebooks_become_active_one_by_one() -> None:
    config = parse({"quantizer.progressive_steps": 10})

    assert [config.n_active(step) for step in (0, 9, 10, 29, 30, 999)] == [1, 1, 2, 3, 4, 4]


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys; from trainer.spec import BUNDLED; BUNDLED.resolve({});"
        "heavy = {'torch', 'numpy', 'scipy', 'soundfile'} & set(sys.modules);"
        "assert not heavy, heavy"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
