"""Our executors keep what every executor promises."""

from __future__ import annotations

import pytest

from ablate.errors import AblateError, NotFoundError, UsageError
from ablate.execution.executors.base import ExecutorRequest, Resources
from ablate.execution.executors.inline import InlineExecutor
from ablate.execution.executors.local import LocalExecutor
from ablate.execution.executors.registry import EXECUTORS, make_executor
from ablate.planning.plugins import PluginGroup
from ablate.testing.executors import ExecutorContract, MakeExecutor


class TestLocal(ExecutorContract):
    @pytest.fixture
    def make_executor(self) -> MakeExecutor:
        return LocalExecutor


class TestInline(ExecutorContract):
    @pytest.fixture
    def make_executor(self) -> MakeExecutor:
        return InlineExecutor


def test_an_unknown_name_lists_those_that_are_known() -> None:
    with pytest.raises(UsageError) as caught:
        make_executor("cloud", ExecutorRequest())

    assert caught.value.message == "--executor cloud: unknown"
    assert caught.value.hint == f"known: {', '.join(EXECUTORS.names())}"


@pytest.mark.parametrize(
    "limits", [Resources(cpus=2), Resources(memory_gib=8), Resources(time_min=30)]
)
def test_a_limit_that_is_not_kept_is_refused(limits: Resources) -> None:
    for name in EXECUTORS.names():
        with pytest.raises(UsageError, match="limit of cores, memory or time"):
            make_executor(name, ExecutorRequest(device="cpu", resources=limits))


def test_parts_of_other_packages_are_found_with_their_origin() -> None:
    # pytest's own plug-ins stand for those of a package of somebody else's.
    group = PluginGroup("pytest11", "executor", {"local": "os:getcwd"})

    names = [plugin.name for plugin in group.plugins()]
    origins = {plugin.name: plugin.origin for plugin in group.plugins()}

    assert names[0] == "local"
    assert origins["local"] == "ablate-studies"
    assert origins["xdist"] == "pytest-xdist"
    with pytest.raises(NotFoundError, match="there is no executor 'xdits'") as caught:
        group.load("xdits")
    assert caught.value.hint == "did you mean 'xdist'?"


def test_a_part_that_cannot_be_imported_is_told_with_its_package() -> None:
    group = PluginGroup("ablate.none", "design", {"odd": "ablate.no_such_module:thing"})

    with pytest.raises(AblateError, match="the design 'odd' of ablate-studies cannot be imported"):
        group.load("odd")
