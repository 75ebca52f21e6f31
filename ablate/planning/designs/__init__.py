"""How the levels of a study's factors are combined, by the name of the design."""

from __future__ import annotations

from ablate.planning.plugins import PluginGroup

DESIGNS = PluginGroup(
    "ablate.designs",
    "design",
    {
        "one_at_a_time": "ablate.planning.designs.one_at_a_time:ONE_AT_A_TIME",
        "grid": "ablate.planning.designs.grid:GRID",
    },
)
