"""Executors by name: our own, and those of installed packages."""

from __future__ import annotations

from ablate.errors import NotFoundError, UsageError
from ablate.execution.executors.base import Executor, ExecutorRequest
from ablate.planning.plugins import PluginGroup

EXECUTORS = PluginGroup(
    "ablate.executors",
    "executor",
    {
        "local": "ablate.execution.executors.local:LocalExecutor",
        "inline": "ablate.execution.executors.inline:InlineExecutor",
    },
)


def make_executor(name: str, request: ExecutorRequest) -> Executor:
    """Return an executor that is not open yet.

    Raises:
        UsageError: For a name that none has, or a request that it cannot fulfil.
        AblateError: If the package that brings it cannot be imported.
    """
    try:
        kind = EXECUTORS.load(name)
    except NotFoundError as error:
        known = ", ".join(EXECUTORS.names())
        raise UsageError(f"--executor {name}: unknown", hint=f"known: {known}") from error
    return kind(request)
