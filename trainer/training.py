"""What a run carries from step to step, and how it is built, saved and taken up again."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ablate.protocol import Run
from trainer.config import Config, OptimConfig
from trainer.corpus import Corpus
from trainer.data import SegmentSampler, held_out
from trainer.discriminators import NO_CONTEST, Adversary, Contest
from trainer.model import Codec, CodecOutput, build_codec
from trainer.model.layers import rms
from trainer.objective import Objective

_NOTABLE_RESTART = 0.05
"""Share of a codebook that must move at once to be an event: single codes move all the time."""


class Training:
    """Model, optimizer and generators of one run. All that changes in a step is in `state`.

    Args:
        config: What to train.
        run: Gives seeds and the device.
        corpus: The audio.
    """

    def __init__(self, config: Config, run: Run, corpus: Corpus) -> None:
        self.config = config
        self.run = run
        self.device = torch.device(run.device)
        self.step = 0
        torch.manual_seed(run.seed("init"))
        self.codec: Codec = build_codec(config).to(self.device)
        self.optimizer = _optimizer(self.codec, config.optim, self.device)
        self.adversary = Adversary(config, run) if config.discriminator.enabled else None
        self.sampler = SegmentSampler(corpus.train, config, run.seed("data"))
        self.restarts = torch.Generator().manual_seed(run.seed("restart"))
        self.initial_norms: dict[str, float] = {}
        self.objective = Objective(config, self.initial_norms)
        self.held_out = tuple(
            batch.to(self.device).audio_BT for batch in held_out(corpus.valid, config)
        )

    @property
    def n_active(self) -> int:
        """How many codebooks the coming step uses."""
        return self.config.n_active(self.step)

    @property
    def n_trained(self) -> int:
        """How many codebooks the last step used; those that come next are not fitted yet."""
        return self.config.n_active(max(self.step - 1, 0))

    def start(self) -> None:
        """Prepare the untrained model: first codes, level of the output, norms to compare with."""
        batch_BT = self.peek()
        self._fit_new_codebooks(batch_BT, known=0)
        if self.config.model.init_rms > 0:
            with torch.no_grad():
                level = rms(self.codec(batch_BT, self.n_active).audio_BT)
            self.codec.scale_read_out(self.config.model.init_rms / level.clamp_min(1e-9))
        for name, parameter in self.codec.tracked().items():
            self.initial_norms[name] = float(parameter.detach().norm())

    def peek(self) -> Tensor:
        """Return the next training batch without taking it."""
        state = self.sampler.state()
        batch_BT = self.sampler.draw().to(self.device).audio_BT
        self.sampler.restore(state)
        return batch_BT

    def activate(self, batch_BT: Tensor) -> None:
        """Bring in the codebooks whose time has come, fitted to the batch at hand."""
        if self.n_active > self.n_trained:
            self._fit_new_codebooks(batch_BT, known=self.n_trained)
            self.run.event("quantizer_activated", self.step, n_active=self.n_active)

    def _fit_new_codebooks(self, batch_BT: Tensor, *, known: int) -> None:
        if self.config.quantizer.init != "kmeans":
            return
        generator = torch.Generator().manual_seed(self.run.seed(f"kmeans_q{known}"))
        with torch.no_grad():
            latents = self.codec.latents(batch_BT)
        self.codec.quantizer.fit(latents, first=known, n_active=self.n_active, generator=generator)

    def contest(self, output_BT: Tensor, target_BT: Tensor) -> Contest:
        """Let codec and discriminators meet in the coming step, where there are any."""
        if self.adversary is None:
            return NO_CONTEST
        if self.step == self.config.discriminator.start_step:
            self.run.event("discriminator_started", self.step)
        return self.adversary.contest(output_BT, target_BT, self.step + 1)

    def set_rate(self) -> float:
        """Give the optimizer the rate of the coming step, and return it."""
        rate = learning_rate(self.config.optim, self.step + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def update_codebooks(self, made: CodecOutput) -> None:
        """Move running means, and at times restart rarely hit codes; ``step`` counts this step."""
        quantizer = self.config.quantizer
        if quantizer.update != "ema" or quantizer.kind == "bypass":
            return
        self.codec.quantizer.follow(made.quantized)
        if quantizer.restart_below > 0 and self.step % quantizer.restart_every == 0:
            moved = self.codec.quantizer.restart(made.quantized, self.restarts)
            counts = moved.tolist() if moved is not None else []
            if max(counts, default=0) >= _NOTABLE_RESTART * quantizer.codebook_size:
                self.run.event("codebook_restarted", self.step, codes=counts)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs; plain values and tensors alone."""
        return {
            "step": self.step,
            "codec": self.codec.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state(),
            "restarts": self.restarts.get_state(),
            "initial_norms": dict(self.initial_norms),
            "adversary": self.adversary.state() if self.adversary else None,
            "torch": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self.step = state["step"]
        self.codec.load_state_dict(state["codec"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.restore(state["sampler"])
        self.restarts.set_state(state["restarts"])
        self.initial_norms.update(state["initial_norms"])
        if self.adversary:
            self.adversary.restore(state["adversary"])
        torch.set_rng_state(state["torch"])


def prepare_torch(config: Config, run: Run) -> None:
    """Set threads and determinism for this process, which belongs to the run alone."""
    torch.set_num_threads(run.threads)
    if config.deterministic and run.device != "cpu":
        # Read by cuBLAS when it starts; without it torch refuses deterministic products.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)
    # Nothing here reads memory that it did not write, and filling all of it costs 5 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def learning_rate(optim: OptimConfig, step: int) -> float:
    """Return the rate of step ``step``, counted from 1: warm-up, then constant or a cosine."""
    if step < optim.warmup_steps:
        return optim.learning_rate * step / optim.warmup_steps
    if optim.decay_steps <= optim.warmup_steps:
        return optim.learning_rate
    progress = (step - optim.warmup_steps) / (optim.decay_steps - optim.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    floor = optim.final_fraction
    return optim.learning_rate * (floor + (1 - floor) * cosine)


def _optimizer(codec: Codec, optim: OptimConfig, device: torch.device) -> torch.optim.AdamW:
    """Return AdamW with weight decay on the matrices inside the network alone."""
    exempt = {id(p) for p in codec.read_out.parameters()}
    exempt |= {id(p) for p in codec.quantizer.parameters()}
    decayed, plain = [], []
    for parameter in codec.parameters():
        is_matrix = parameter.ndim >= 2 and id(parameter) not in exempt
        (decayed if is_matrix else plain).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": optim.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=optim.learning_rate,
        betas=(optim.beta1, optim.beta2),
        fused=device.type in ("cpu", "cuda"),
    )
