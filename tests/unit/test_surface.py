"""The public surface: what others may import, name by name. A change here is a change for them."""

from __future__ import annotations

import inspect
import pkgutil
from types import ModuleType

import ablate
import ablate.testing
from ablate import keys, protocol


def public(module: ModuleType) -> set[str]:
    """Return the names that a module defines and does not hide, without what it imports."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", module.__name__) == module.__name__
        and name not in ("annotations", "TYPE_CHECKING", "Any", "ClassVar", "Mapping", "Sequence")
    }


def test_package_offers_one_function() -> None:
    assert ablate.__all__ == ["__version__", "load"]


def test_protocol_is_what_a_trainer_is_given_and_may_raise() -> None:
    assert public(protocol) == {"ConfigError", "Diverged", "Run", "Trainer"}
    members = {name for name in vars(protocol.Run) if not name.startswith("_")}
    assert members == {
        *("artifact", "checkpoint_steps", "device", "dir", "event", "log", "processes"),
        *("resume", "save", "seed", "should_stop", "threads"),
    }
    members = {name for name in vars(protocol.Trainer) if not name.startswith("_")}
    assert members == {
        *("absent_means", "metrics", "not_identity", "preload", "resolve", "train", "version"),
    }


def test_keys_that_a_trainer_may_use_stay() -> None:
    groups = {group.name for group in keys.GROUPS}

    assert groups == {
        *("loss", "silent", "weighted", "null", "audio", "stage", "rvq", "norm", "drift"),
        *("change", "update", "pull", "optim", "force", "grad", "grad_in", "discriminator"),
        *("perf", "system"),
    }
    functions = {name for name, value in vars(keys).items() if inspect.isfunction(value)}
    assert {name for name in functions if not name.startswith("_")} == {
        *("band_db", "codebook_index", "default_key", "metric_key", "of_codebook", "perplexity"),
        *("rms", "steps_of", "target_rms", "tell", "usage", "dataclass", "fields"),
    }


def test_contracts_and_tools_for_tests_of_others_stay() -> None:
    modules = {module.name for module in pkgutil.iter_modules(ablate.testing.__path__)}

    assert modules == {
        *("executors", "factories", "faults", "stores", "tracking_server", "trainers"),
    }
