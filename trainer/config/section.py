"""How the parts of the config are checked: what all of them have in common."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_Item = TypeVar("_Item")


def _without_point(value: Any) -> Any:
    """Return 1000 for 1e3, which YAML takes for a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_WITHOUT_POINT = BeforeValidator(_without_point)
Whole = Annotated[int, _WITHOUT_POINT]
"""A whole number."""
Sizes = Annotated[tuple[Annotated[_Item, _WITHOUT_POINT], ...], Field(min_length=1, strict=False)]
"""A list of one whole number or more."""
Names = Annotated[tuple[_Item, ...], Field(strict=False)]
"""A list of texts."""


class Section(BaseModel):
    """Values that are checked and never bent: no text becomes a number, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
