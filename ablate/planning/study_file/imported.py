"""The study file of runs that other tools trained, to be filled in by their user."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from ruamel.yaml.comments import CommentedMap

from ablate.domain import IMPORTED, Json
from ablate.keys import default_key
from ablate.planning.study_file.document import round_trip_yaml

_LISTED = 60
_HEAD = "Runs that other tools trained. To bring them: ablate import SOURCE --study NAME"
_WHAT = """\
# Which way is better: min, max or target. Take the # from what counts.
{lines}
#
# What a phase must reach, and what speaks against it at any step:
#
# targets:
#   {key}: "<= 1.0"
# guards:
#   broken: {{when: {key} is not finite, do: stop}}
"""


def imported_file(
    study: str, *, baseline: str | None, metrics: Mapping[str, Json], logged: Sequence[str]
) -> str:
    """Return the text of a study file for imported runs.

    Args:
        study: Its name.
        baseline: The phase with which the others are compared; None before the first import.
        metrics: Those that are declared already.
        logged: The keys of the runs that are there; proposed in comments.
    """
    root = CommentedMap()
    root.yaml_set_start_comment(_HEAD)
    root["study"] = study
    root["trainer"] = IMPORTED
    if baseline is not None:
        root["baseline"] = baseline
    if metrics:
        root["metrics"] = dict(metrics)
    stream = io.StringIO()
    round_trip_yaml().dump(root, stream)
    others = [key for key in logged if key not in metrics]
    return stream.getvalue() + "\n" + _proposed(others, has_metrics=bool(metrics))


def _proposed(logged: Sequence[str], *, has_metrics: bool) -> str:
    keys = list(logged[:_LISTED]) or [default_key("val_loss")]
    lines = [f"#   {key}: min" for key in keys]
    head = [] if has_metrics else ["# metrics:"]
    return _WHAT.format(lines="\n".join([*head, *lines]), key=keys[0])
