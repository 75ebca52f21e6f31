"""Study file -> `StudySpec`: every fault is reported with its place, nothing is half-read."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ablate.domain import IMPORTED
from ablate.errors import StudyFileError, did_you_mean
from ablate.planning.study_file.document import Document, read_document
from ablate.planning.study_file.spec import (
    DesignSpec,
    FactorSpec,
    GateSpec,
    GuardSpec,
    MetricSpec,
    PhaseSpec,
    StudySpec,
    UnknownOptionError,
)
from ablate.text import text_fault, written

_TRAINING = (
    "base",
    "phases",
    "factors",
    "design",
    "seeds",
    "aa",
    "code",
    "preload",
    "stall_timeout_s",
)
"""Parts of a file that say how to train."""


def read_study(path: Path) -> tuple[StudySpec, Document]:
    """Read and check a study file.

    Raises:
        NotFoundError: If there is no such file.
        StudyFileError: At the first fault, with its line and column.
    """
    document = read_document(path)
    return check_study(document), document


def check_study(document: Document) -> StudySpec:
    """Turn a parsed document into a spec.

    Raises:
        StudyFileError: At the first fault, with its line and column.
    """
    _refuse_unstorable(document, document.data, [])
    try:
        spec = StudySpec.model_validate(document.data)
    except ValidationError as error:
        raise _first_fault(document, error) from error
    if spec.budget is not None:
        raise document.error(
            "nothing acts on a budget yet, so a study cannot promise one",
            ("budget",),
            hint="remove it; seeds, steps and gates bound what a study costs",
        )
    said = spec.model_fields_set
    if said & {"factors"} and all(each.levels is None for each in spec.factors.values()):
        said = said - {"factors"} | {"metrics"}  # which imported runs can have as well
    is_for_training = said & {"trainer", *_TRAINING} or not said & {"metrics", "targets", "guards"}
    if spec.trainer == IMPORTED or not is_for_training:
        return _imported(document, spec)
    if spec.baseline is not None:
        raise document.error(
            "the phase that the others are compared with says so itself",
            ("baseline",),
            hint="write 'baseline: true' into the phase",
        )
    for name, factor in spec.factors.items():
        if factor.levels is None:
            raise document.error(
                "a factor that is trained needs 'levels'",
                ("factors", name),
                hint="without levels a factor is one of imported runs: trainer: imported",
            )
    if not spec.phases and not spec.factors:
        raise document.error(
            "the study has neither phases nor factors, so there is nothing to compare",
            ("study",),
            hint="add 'phases:' or 'factors:'; see: ablate study templates",
        )
    return spec


def _imported(document: Document, spec: StudySpec) -> StudySpec:
    """Return the spec of a study whose runs other tools trained."""
    said = spec.model_fields_set - {"factors"}
    if extra := next((part for part in _TRAINING if part in said), None):
        raise document.error(
            f"'{extra}' is for training, and the runs of this study are imported",
            (extra,),
            hint="remove it, or name the trainer that trains them",
        )
    for name, factor in spec.factors.items():
        if isinstance(factor.levels, dict):
            raise document.error(
                "named levels are for training, and the runs of this study are imported",
                ("factors", name, "levels"),
                hint="write 'key', the config key that has the level, or 'phases: {PHASE: LEVEL}'",
            )
    return spec.model_copy(update={"trainer": IMPORTED})


def _refuse_unstorable(document: Document, node: Any, path: list[str | int]) -> None:
    """Refuse what neither a database nor JSON can hold, and keys that are no text."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str):
                message = f"the key {written(key)} is no text"
                raise document.error(message, [*path, key], hint=f"quote it: '{written(key)}'")
            if not key:
                raise document.error("the key is empty", [*path, key])
            if fault := text_fault(key):
                raise document.error(f"{key!a} {fault}", [*path, key])
            _refuse_unstorable(document, value, [*path, key])
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _refuse_unstorable(document, value, [*path, index])
    elif isinstance(node, str) and (fault := text_fault(node)):
        raise document.error(f"{node!a} {fault}", path, at_value=True)
    elif isinstance(node, float) and not math.isfinite(node):
        message = f"a number in a study file must be finite, not {node}"
        raise document.error(message, path, at_value=True)


_MODEL_OF = {
    "phases": PhaseSpec,
    "factors": FactorSpec,
    "metrics": MetricSpec,
    "gates": GateSpec,
    "guards": GuardSpec,
}


def _first_fault(document: Document, error: ValidationError) -> StudyFileError:
    faults = sorted(error.errors(), key=lambda fault: _place_order(document, fault))
    fault = faults[0]
    path = _document_path(document, fault["loc"])
    kind = fault["type"]
    if kind == "extra_forbidden":
        known = _known_keys(path)
        return document.error(
            f"unknown key '{path[-1]}'", path, hint=did_you_mean(str(path[-1]), known)
        )
    if kind == "missing":
        return document.error(f"the key '{fault['loc'][-1]}' is missing", path)
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, UnknownOptionError):
        hint = did_you_mean(cause.key, [*_keys_of(DesignSpec), *cause.known])
        return document.error(str(cause), [*path, cause.key], hint=hint)
    place = getattr(cause, "key", None)
    if place is not None:
        path = [*path, place]
    if fault["loc"] and fault["loc"][-1] == "[key]":
        return document.error(f"'{path[-1]}': {cause}", path)
    message = str(cause) if cause is not None else _expected(fault)
    label = ".".join(str(part) for part in path) or "the file"
    return document.error(f"{label}: {message}", path, at_value=True)


def _place_order(document: Document, fault: Any) -> tuple[int, int, bool]:
    # pydantic tries both arms of a union; the arm's fault that lies deepest says the most, and at
    # one place that of the arm whose type fits.
    path = _document_path(document, fault["loc"])
    place = document.error("", path)
    is_key = fault["type"] == "extra_forbidden"
    depth = (place.line or 10**9) * 1000 - len(path)
    return (0 if is_key else 1, depth, str(fault["type"]).endswith("_type"))


def _document_path(document: Document, loc: tuple[Any, ...]) -> list[str | int]:
    """Return the part of a pydantic location that exists in the file."""
    path: list[str | int] = []
    node: Any = document.data
    for part in loc:
        inside = (isinstance(node, dict) and part in node) or (
            isinstance(node, list) and isinstance(part, int) and part < len(node)
        )
        if inside:
            path.append(part)
            node = node[part]
    return path


def _known_keys(path: list[str | int]) -> list[str]:
    if len(path) == 1:
        return _keys_of(StudySpec)
    model = DesignSpec if path[0] == "design" else _MODEL_OF.get(str(path[0]))
    return _keys_of(model) if model else []


def _keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _expected(fault: Any) -> str:
    given = fault.get("input")
    shown = (
        repr(given)
        if isinstance(given, (str, int, float, bool, type(None)))
        else {"list": "a list", "dict": "a mapping of keys"}.get(type(given).__name__, "that")
    )
    message = str(fault["msg"]).replace("Input should be", "should be")
    for technical, plain in _PLAIN_WORDS:
        message = re.sub(technical, plain, message)
    return f"{message}, not {shown}"


_PLAIN_WORDS = (
    (r"a valid dictionary( or instance of \w+)?", "a mapping of keys"),
    (r"a valid string", "text"),
    (r"a valid list", "a list"),
    (r"a valid integer", "a whole number"),
    (r"a valid boolean", "true or false"),
    (r"a valid number", "a number"),
    (r"greater than or equal to", "at least"),
    (r"less than or equal to", "at most"),
    (r"greater than", "above"),
    (r"less than", "below"),
)
