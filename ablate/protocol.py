"""The seam between `ablate` and a trainer. All that a trainer may import from this package.

A trainer is a function ``train(config, run)``. It trains from ``run.resume()`` or from the
beginning, logs, saves, and returns when it is done or when ``run.should_stop`` is true. It talks
to ``run`` alone: no database, no network. Torch is not imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Diverged(Exception):  # noqa: N818 - an outcome, as the run's state, not a mistake
    """Raised by a trainer whose loss is no longer a number; the run ends as ``diverged``.

    Args:
        step: The step at which it was seen.
        key: The metric key that is not finite.
    """

    def __init__(self, step: int, key: str) -> None:
        super().__init__(f"{key} is not finite at step {step}")
        self.step = step
        self.key = key


class ConfigError(ValueError):
    """Raised by a trainer's ``resolve`` for a config that it refuses.

    Args:
        key: Dotted path of the key that is wrong, for example ``losses.l1.weight``.
        message: What is wrong, naming the value and the allowed range.
        hint: What to write instead, or None.
    """

    def __init__(self, key: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message
        self.hint = hint


class Run(Protocol):
    """What a trainer is given beside its config."""

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``; the worker has already narrowed which GPU is visible."""
        ...

    @property
    def threads(self) -> int:
        """CPU threads this run may use, at least 1. Part of exactness: keep to it."""
        ...

    @property
    def checkpoint_steps(self) -> frozenset[int]:
        """Steps at which another run branches off; save there beside the usual."""
        ...

    @property
    def processes(self) -> int:
        """How many processes are to train this run together: one for each of its GPUs."""
        ...

    @property
    def should_stop(self) -> bool:
        """Whether to save, then return, at the next step boundary. Reading it costs nothing."""
        ...

    @property
    def dir(self) -> Path:
        """A folder for the run's own files, made when it is first asked for.

        No other run writes there; all attempts of this run do, so that a resumed one finds what it
        left. The current folder is the project's, which all runs share.
        """
        ...

    def seed(self, stream: str | None = None, *, bits: int = 63) -> int:
        """Return the run's seed, or that of a named random stream in ``[0, 2**bits)``.

        Streams are independent of each other, so that switching one part off does not shift the
        others' draws. The same run always gets the same number for the same name.

        Args:
            stream: The name of a stream; None for the seed as the study gives it.
            bits: Of a stream's seed, 1 to 63. Some libraries take 32.
        """
        ...

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Record the values of one step. Safe against SIGKILL once this returned (CPU numbers).

        Args:
            metrics: Name -> number, numpy scalar or tensor of one number. A name that is no
                ``split/group/name`` becomes one, as in imports: ``val_loss`` is
                ``valid/scalar/loss``. Stored as a double; one that a double does not hold exactly,
                as an integer beyond 2^53, is rounded to the nearest, and an event ``rounded`` says
                so once for its key.
            step: How many steps have been trained; 0 is the untrained model. A key may be logged
                again at the same step; the last value counts. What a guard or a gate has stopped
                keeps nothing that lies behind its step.

        Raises:
            TypeError: If a value is not a number; it names the key.
            ValueError: If a step or an integer is out of range, or a key is malformed.
        """
        ...

    def event(self, name: str, step: int, **data: Any) -> None:
        """Record something that explains a curve: a quantizer activated, a warm-up ended."""
        ...

    def save(self, step: int, state: Any) -> None:
        """Write a verified checkpoint: what ``torch.load(weights_only=True)`` can read back."""
        ...

    def resume(self) -> Any | None:
        """Return the state of the last good checkpoint, or None to start from the beginning.

        A run that branches off gets the state of the run that it begins from, whose model may
        differ from its own.
        """
        ...

    def artifact(self, path: Path | str, name: str | None = None) -> None:
        """Keep a file with the run: it is copied, the original may be deleted.

        Reports show sound and pictures of the newest ``samples/step-000000700/``; a file
        ``<utterance>-<what>.wav`` stands beside the others of its utterance.

        Args:
            path: The file.
            name: What it is kept as: a relative path with forward slashes; None for its own name.
                What was kept under the same name is replaced.

        Raises:
            ValueError: If the name leads out of the run's folder.
            OSError: If the file cannot be read.
        """
        ...


class Trainer(Protocol):
    """What an entry point of the group ``ablate.trainers`` names: a torch-free description.

    It is loaded when a study is planned, so importing it must stay cheap.
    """

    @property
    def version(self) -> str:
        """Part of every run's identity: change it when the same config trains differently."""
        ...

    @property
    def train(self) -> str:
        """``module:function`` of ``train(config, run)``, imported in the worker alone."""
        ...

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules that the fork server imports once for all workers."""
        ...

    @property
    def not_identity(self) -> frozenset[str]:
        """Dotted keys of the config that cannot change the result, as how often it is saved."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names, or patterns with ``*``, of every metric that it can log; empty: not known.

        A trainer without this attribute is taken as one with none.
        """
        ...

    @property
    def absent_means(self) -> Mapping[str, Any]:
        """Dotted key -> what its absence meant, for keys that were added later."""
        ...

    def resolve(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the full nested config for dotted-key overrides, every default filled in.

        Args:
            overrides: Dotted key -> value, for example ``{"steps": 700, "losses.l1.weight": 0}``.

        Raises:
            ConfigError: For an unknown key, a wrong type, a value out of range, a combination
                that cannot work.
        """
        ...
