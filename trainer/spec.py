"""The bundled trainer as `ablate` sees it when a study is planned. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.config.parsing import parse, plain
from trainer.data.checks import check_recordings
from trainer.logged import metric_patterns


@dataclass(frozen=True, kw_only=True, slots=True)
class BundledTrainer:
    """Describes `trainer.loop.train`; satisfies `ablate.protocol.Trainer`."""

    version: str = "2"
    """Part of every run's identity: change it when the same config trains differently."""
    train: str = "trainer.loop:train"
    """``module:function``, imported in the worker alone."""
    preload: tuple[str, ...] = (
        "torch",
        "torch._dynamo",
        "torch.utils.serialization",
        "trainer.loop",
    )
    """Imported once by the fork server, so that a run imports nothing of weight any more.

    `trainer.loop` brings scipy and soundfile with it; torch imports the second and third by itself
    at the first optimizer step and the first checkpoint."""
    not_identity: frozenset[str] = frozenset({"preset", "checkpoint_every", "samples_every"})
    """A preset is only where the other keys start; saving or listening more often changes no
    number."""

    metrics: tuple[str, ...] = metric_patterns()
    """Names and patterns of all that it can log, so that a study that asks for more is told."""
    absent_means: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted key -> what its absence meant, for keys that were added after the first release."""

    def resolve(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the full nested config for dotted-key overrides, every default filled in.

        Raises:
            ConfigError: For an unknown key, a wrong type, a value out of range, a combination
                that cannot work, a folder of recordings or a file of units that cannot be used.
        """
        config = parse(overrides)
        check_recordings(config)
        return plain(config)


BUNDLED = BundledTrainer()
"""What the entry point ``ablate.trainers: bundled`` names."""
