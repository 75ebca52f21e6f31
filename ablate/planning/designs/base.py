"""The contract of a design: how the levels of a study's factors are combined, and no more.

A design is an object that an entry point of the group ``ablate.designs`` names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Factors = Mapping[str, Sequence[str]]
"""Factor name -> its level labels, both in the order of the study file."""
Combination = Mapping[str, str]
"""Factor name -> level label, for the factors that are set; the others stay as in the phase that
the design starts from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Which combinations are run."""

    combinations: Sequence[Combination]
    """In the order in which they are run; none twice."""
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Effect -> the effects that these combinations cannot tell from it. An effect is a factor, or
    several joined by ``:`` for their interaction."""


class OptionError(ValueError):
    """An option that cannot be: it is shown at its line of the study file.

    Args:
        option: Its key.
        message: What is wrong, and what to write.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option} {message}")
        self.option = option


class Design(Protocol):
    """How levels are combined."""

    @property
    def options(self) -> Mapping[str, str]:
        """Keys that a study file may give beside ``kind`` and ``from`` -> what each says."""
        ...

    @property
    def sets_several(self) -> bool:
        """Whether a combination may set several factors.

        Then no two factors may set one config key, and in a study without phases the first
        combination is the baseline.
        """
        ...

    def size(self, factors: Factors, options: Mapping[str, Any]) -> int:
        """Return how many combinations there are at most, without making them.

        It is asked first, so that a design that is far too large is refused at once. Options are
        as the study file has them; one that cannot be is for `lay_out` to refuse.
        """
        ...

    def lay_out(self, factors: Factors, options: Mapping[str, Any]) -> Layout:
        """Return the combinations; there may be none.

        Args:
            factors: At least one level each; there may be no factor at all.
            options: Those that the study file gives, as YAML has them.

        Raises:
            OptionError: For an option that cannot be.
            ValueError: For factors for which there is no such design; the message says what to
                write.
        """
        ...
