"""The words that a trainer and the analysis share: metric keys, events, the config's last step.

A metric key is ``split/group/name``. The constants are the keys that the analysis knows; a trainer
may log any others. Nothing here imports anything, so that a trainer may import it.

What a name of another kind becomes does not depend on what else is logged:

1. Blanks become ``_``; empty parts between slashes go.
2. Three parts or more are kept as they are.
3. Of two parts one may be a split (``val/loss``, ``Loss/train``): ``valid/scalar/loss``. Otherwise
   the two are group and name: ``import/losses/l1``.
4. A single name may begin with a split and ``_``, ``-`` or ``.``: ``train_loss`` is
   ``train/scalar/loss``. Any other is ``import/scalar/NAME``.

Splits are ``train``, ``training``; ``val``, ``valid``, ``validation``, ``dev``, ``eval``; ``test``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

# The grammar of keys

TRAIN, VALID, TEST = "train", "valid", "test"
SCALAR = "scalar"
"""The group of a name that says none."""
IMPORTED = "import"
"""Stands in place of the split where a name says none."""
KEY_PATTERN = r"[^/\s]+(/[^/\s]+)+"
"""Parts without blanks, joined by slashes."""
SPLITS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALID,
    "valid": VALID,
    "validation": VALID,
    "dev": VALID,
    "eval": VALID,
    "test": TEST,
}
_KEY = re.compile(KEY_PATTERN)


def metric_key(name: str) -> str:
    """Return the key of a name that is logged, or that a study file speaks of.

    What is a key already is kept; any other name becomes one by `default_key`.
    """
    return name if _KEY.fullmatch(name) else default_key(name)


def default_key(name: str) -> str:
    """Return the metric key for another tool's name, by the rule above."""
    parts = [part for part in re.sub(r"\s+", "_", name.strip()).split("/") if part]
    if len(parts) >= 3:
        return "/".join(parts)
    if len(parts) == 2:
        first, second = parts
        if first.lower() in SPLITS:
            return f"{SPLITS[first.lower()]}/{SCALAR}/{second}"
        if second.lower() in SPLITS:
            return f"{SPLITS[second.lower()]}/{SCALAR}/{first}"
        return f"{IMPORTED}/{first}/{second}"
    alone = parts[0] if parts else "unnamed"
    found = re.fullmatch(r"([A-Za-z]+)[_.-](.+)", alone)
    if found and found[1].lower() in SPLITS:
        return f"{SPLITS[found[1].lower()]}/{SCALAR}/{found[2]}"
    return f"{IMPORTED}/{SCALAR}/{alone}"


@dataclass(frozen=True, slots=True)
class Group:
    """Metric keys that differ in their last part alone: ``train/loss/l1``, ``train/loss/stft``."""

    name: str
    about: str
    """What its values are, with their unit; the part of the key that differs is ``<name>``."""
    splits: tuple[str, ...] = (TRAIN,)
    """Where it is logged; none for what belongs to no split and begins with its own name."""

    def prefix(self, split: str = TRAIN) -> str:
        """Return what all its keys of a split begin with: ``train/loss/``."""
        return f"{split}/{self.name}/" if self.splits else f"{self.name}/"

    def key(self, name: str, split: str = TRAIN) -> str:
        """Return a key: ``train/loss/l1``."""
        return self.prefix(split) + name

    def holds(self, key: str, split: str = TRAIN) -> bool:
        """Whether a key belongs to it."""
        return key.startswith(self.prefix(split))

    def name_in(self, key: str, split: str = TRAIN) -> str:
        """Return the part of one of its keys that differs: ``l1``."""
        return key.removeprefix(self.prefix(split))

    @property
    def pattern(self) -> str:
        """What matches all its keys, in any split where it has several: ``*/loss/*``."""
        return f"*/{self.name}/*" if len(self.splits) > 1 else f"{self.prefix(*self.splits)}*"


# Losses

_BOTH = (TRAIN, VALID)
LOSS = Group("loss", "the loss <name> before its weight, as it is minimised", _BOTH)
SILENT = Group("silent", "the loss <name> of an output of zeros on the same batch", _BOTH)
WEIGHTED = Group("weighted", "the loss <name> times its weight: its part of the total")
NULL = Group("null", "a held-out loss of a trivial output: <name> is OUTPUT/LOSS", ())
TOTAL_NAME = "total"
"""What the sum over all terms is called among them."""
TOTAL = LOSS.key(TOTAL_NAME)
SILENCE = "silence"
"""The trivial output that is zero."""

# The output's level and sound

AUDIO = Group("audio", "what is measured of the output", _BOTH)


def rms(split: str) -> str:
    """Return the key of the output's rms, full scale 1."""
    return AUDIO.key("rms", split)


def target_rms(split: str) -> str:
    """Return the key of the rms of what the output should be."""
    return AUDIO.key("target_rms", split)


RMS, TARGET_RMS = rms(TRAIN), target_rms(TRAIN)
RMS_AC = AUDIO.key("rms_ac")
"""RMS without the mean."""
DC = AUDIO.key("dc")
PEAK = AUDIO.key("peak")
LEVEL = AUDIO.key("level")
"""The output's rms over the target's: 1 is right."""
LEVEL_SLOPE = AUDIO.key("level_slope")
SILENCE_RATIO = AUDIO.key("silence")
"""The smallest loss over its silent value of those that are trained on."""
VALID_RMS, VALID_TARGET_RMS = rms(VALID), target_rms(VALID)
VALID_RMS_AC = AUDIO.key("rms_ac", VALID)
VALID_DC = AUDIO.key("dc", VALID)
LEVEL_DB = AUDIO.key("level_db", VALID)
LSD_DB = AUDIO.key("lsd_db", VALID)
MEL = AUDIO.key("mel", VALID)
HIGH_TO_MID_DB = AUDIO.key("high_to_mid_db", VALID)
SI_SDR_DB = AUDIO.key("si_sdr_db", VALID)
F0_CENTS = AUDIO.key("f0_cents", VALID)
VUV_ERROR = AUDIO.key("vuv_error", VALID)
ANY_RMS, ANY_TARGET_RMS = rms("*"), target_rms("*")


def band_db(band: int | str) -> str:
    """Return the key of the level of one frequency band over that of the target, in dB."""
    return AUDIO.key(f"band_{band}_db", VALID)


STAGE = Group("stage", "the level of one stage of the signal path: <name> is NUMBER_STAGE")

# The quantizer

RVQ = Group("rvq", "how the codes of a quantizer are used")
N_ACTIVE = RVQ.key("n_active")
EXPLAINED_VARIANCE = RVQ.key("explained_variance")
"""Share of the variance of the quantizer's input that the codes explain, at most 1."""
CODEBOOK = "codebook"
PARTS_OF_CODES = (CODEBOOK, "quantizer")
"""How the names of parts and parameters begin that are codes."""


def of_codebook(what: str, index: int | str) -> str:
    """Return the key of something that each codebook has: ``train/rvq/perplexity_q0``."""
    return RVQ.key(f"{what}_q{index}")


def perplexity(index: int | str) -> str:
    """Return the key of how many codes of a codebook are in use in effect."""
    return of_codebook("perplexity", index)


def usage(index: int | str) -> str:
    """Return the key of the share of a codebook's codes that a batch uses."""
    return of_codebook("usage", index)


def codebook_index(name: str) -> str | None:
    """Return which codebook ``codebook_q3`` is: ``3``; None for another parameter."""
    index = name.removeprefix(f"{CODEBOOK}_q")
    return None if index == name else index


# The weights and the optimizer

NORM = Group("norm", "L2 norm of the parameter <name>")
DRIFT = Group("drift", "relative change of the norm of <name> since the start")
CHANGE = Group("change", "how far <name> is from its start, over the norm there; 0: never moved")
UPDATE = Group("update", "length of the last step of the part <name> over its norm")
PULL = Group("pull", "how a term changes the norm of a parameter: <name> is PARAMETER/TERM")
OPTIM = Group("optim", "what the optimizer does")
LR = OPTIM.key("lr")
GRAD_NORM = OPTIM.key("grad_norm")
CLIP_FRACTION = OPTIM.key("clip_fraction")
"""Share of the steps whose gradient was cut to the greatest norm allowed."""

# Who drives the output

FORCE = Group("force", "minus w dL/dy times the output y, for the term <name>: above 0 is louder")
GRAD = Group("grad", "norm of the gradient of the weighted term <name> at the output")
GRAD_IN = Group("grad_in", "the same at the quantizer's input, for terms that act there alone")
OUTPUT_NAME = "output"
"""What all terms of the output together are called among those of the quantizer's input."""
GRAD_IN_OUTPUT = GRAD_IN.key(OUTPUT_NAME)

# The adversary, speed, the machine

DISCRIMINATOR = Group("discriminator", "the adversary's own loss and margin")
DISCRIMINATOR_LOSS = DISCRIMINATOR.key("loss")
DISCRIMINATOR_MARGIN = DISCRIMINATOR.key("margin")
PERF = Group("perf", "speed")
STEPS_PER_S = PERF.key("steps_per_s")
SYSTEM = Group("system", "what the run takes from its machine", ())
CPU_PERCENT = SYSTEM.key("cpu_percent")
RSS_BYTES = SYSTEM.key("rss_bytes")
GPU_PERCENT = SYSTEM.key("gpu_percent")
GPU_MEMORY_BYTES = SYSTEM.key("gpu_memory_bytes")

GROUPS = (
    *(LOSS, SILENT, WEIGHTED, NULL, AUDIO, STAGE, RVQ),
    *(NORM, DRIFT, CHANGE, UPDATE, PULL, OPTIM, FORCE, GRAD, GRAD_IN),
    *(DISCRIMINATOR, PERF, SYSTEM),
)

# The config

STEPS = "steps"
"""The key of a config that says how many steps a run trains."""


def steps_of(config: Mapping[str, Any]) -> int | None:
    """Return how many steps a run of this config trains, None where the config does not say."""
    steps = config.get(STEPS)
    return steps if isinstance(steps, int) else None


# Events


class Payload:
    """What an event says beside its step; its fields are the keys of the event's data."""

    __slots__ = ()
    NAME: ClassVar[str]
    """What the event is called."""

    def data(self) -> dict[str, Any]:
        """Return what is stored; a field that is None is left out."""
        names = [field.name for field in fields(self)]  # pyright: ignore[reportArgumentType] - each is a dataclass
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


class _Recorder(Protocol):
    def event(self, name: str, step: int, **data: Any) -> None: ...


def tell(run: _Recorder, step: int, payload: Payload) -> None:
    """Record an event of a run at a step."""
    run.event(payload.NAME, step, **payload.data())


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed(Payload):
    """An attempt goes on from a checkpoint."""

    NAME = "resumed"
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Branched(Payload):
    """A run begins from a checkpoint of another."""

    NAME = "branched"
    run: str
    variant: str
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointRejected(Payload):
    """A checkpoint could not be used."""

    NAME = "checkpoint_rejected"
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounded(Payload):
    """A number was logged that a double does not hold; said once for its key."""

    NAME = "rounded"
    key: str
    given: str
    stored: float


STOP = "stop"
"""What a guard or a gate does that ends the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardFired(Payload):
    """A guard's condition has held for long enough."""

    NAME = "guard_fired"
    guard: str
    when: str = ""
    since_step: int = 0
    values: Mapping[str, float] | None = None
    """Of every metric that it looks at."""
    do: str = "flag"

    @classmethod
    def of(cls, name: str, data: Mapping[str, Any]) -> GuardFired | None:
        """Read an event back, None for any other; of what a trainer recorded, what can be read."""
        if name != cls.NAME:
            return None
        guard = data.get("guard") or data.get("name") or "?"
        return cls(guard=str(guard), do=str(data.get("do") or "flag"))


@dataclass(frozen=True, kw_only=True, slots=True)
class GateJudged(Payload):
    """A run was held against its targets at a gate."""

    NAME = "gate_judged"
    do: str
    values: Mapping[str, float] | None = None
    statuses: Mapping[str, str]
    """Key -> ``good``, ``warning``, ``critical`` or ``unknown``."""

    @classmethod
    def of(cls, name: str, data: Mapping[str, Any]) -> GateJudged | None:
        """Read an event back, None for any other."""
        if name != cls.NAME:
            return None
        return cls(do=str(data.get("do") or ""), statuses=data.get("statuses") or {})


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmupEnded(Payload):
    """The learning rate is at its full height."""

    NAME = "warmup_ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataReady(Payload):
    """The audio is found and read."""

    NAME = "data_ready"
    sha256: str
    """Of all samples and their order."""
    train_clips: int
    valid_clips: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSkipped(Payload):
    """A recording cannot be used."""

    NAME = "file_skipped"
    file: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizerActivated(Payload):
    """A further codebook is in use."""

    NAME = "quantizer_activated"
    n_active: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscriminatorStarted(Payload):
    """The adversary takes part from here on."""

    NAME = "discriminator_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class CodebookRestarted(Payload):
    """Codes that nothing chose were put elsewhere."""

    NAME = "codebook_restarted"
    codes: Sequence[int]
    """How many, for each codebook."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchAdapted(Payload):
    """The model differs from that of the checkpoint from which it begins."""

    NAME = "branch_adapted"
    fresh: Sequence[str]
    """Weights that begin anew."""
    left_behind: Sequence[str]
    """Weights of the checkpoint that have no place."""
