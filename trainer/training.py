"""What a run carries from step to step, and how it is built, saved and taken up again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
import torch._functorch.config as functorch_config
from torch import Tensor

from ablate import keys
from ablate.protocol import Run
from trainer.config.config import Config
from trainer.config.parsing import plain
from trainer.data.batches import Batch, SegmentSampler, held_out, utterances
from trainer.data.corpus import Corpus
from trainer.data.feed import Feed
from trainer.losses.adversary import NO_ADVERSARY, AdversarialStep, Adversary
from trainer.losses.objective import Objective, Terms
from trainer.model import Codec, CodecOutput, ResidualQuantizer, build_codec
from trainer.model.layers import rms
from trainer.movement import InitialWeights
from trainer.optimizer import Clipping, build_optimizer, load_moments, moments_by_name
from trainer.parallel import follow_first, share, wrapped
from trainer.watching.diagnostics import LevelTrend
from trainer.watching.samples import keep_samples

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
        if config.runtime.compile != "off":
            # The diagnosis goes back through the graph term by term; a donated buffer is gone then.
            functorch_config.donated_buffer = False
            self.codec.encoder.compile(mode=config.runtime.compile)
            self.codec.decoder.compile(mode=config.runtime.compile)
        self.optimizer = build_optimizer(self.codec, config.optim, self.device)
        self._net = wrapped(self.codec, self.device)
        self.adversary = Adversary(config, run) if config.discriminator.enabled else None
        self.feed = Feed(SegmentSampler(corpus.train, config, run.seed("data")), self.device)
        self.restarts = torch.Generator().manual_seed(run.seed("restart"))
        self.dropout = torch.Generator().manual_seed(run.seed("quantizer_dropout"))
        self.initial = InitialWeights()
        self.trend = LevelTrend()
        self.clipping = Clipping(config.optim.clip_norm)
        self.objective = Objective(config, self.codec, self.initial)
        self.held_out = tuple(b.to(self.device) for b in held_out(corpus.valid, config))
        self._utterances = tuple(u.to(self.device) for u in utterances(corpus, config))
        watched = self.codec.tracked()
        self.pulled = {
            name: watched[name]
            for name in config.pull_parameters
            if name in watched and watched[name].requires_grad
        }

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
        batch_BT = self.feed.peek().audio_BT
        self._fit_new_codebooks(batch_BT, known=0)
        if self.config.model.init_rms > 0:
            with torch.no_grad():
                level = rms(self.codec(batch_BT, self.n_active).audio_BT)
            self.codec.scale_read_out(self.config.model.init_rms / level.clamp_min(1e-9))
        self.initial.take(self.codec)

    def run_codec(self, batch: Batch) -> CodecOutput:
        """Return what the codec makes of a training batch in the coming step."""
        is_mixed = self.config.runtime.amp == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_mixed):
            return self._net(batch.audio_BT, self.n_active, kept_B=self._kept())

    def activate(self, batch: Batch) -> None:
        """Bring in the codebooks whose time has come, fitted to the batch at hand."""
        if self.n_active > self.n_trained:
            self._fit_new_codebooks(batch.audio_BT, known=self.n_trained)
            keys.tell(self.run, self.step, keys.QuantizerActivated(n_active=self.n_active))

    def _fit_new_codebooks(self, batch_BT: Tensor, *, known: int) -> None:
        quantizer = self.codec.quantizer
        if not isinstance(quantizer, ResidualQuantizer) or self.config.quantizer.init == "random":
            return
        generator = torch.Generator().manual_seed(self.run.seed(f"kmeans_q{known}"))
        with torch.no_grad():
            latents = self.codec.latents(batch_BT)
        quantizer.fit(latents, first=known, n_active=self.n_active, generator=generator)
        # Each member of a group may have looked at its own items.
        follow_first(quantizer.codes())

    def adversarial_step(self, output_BT: Tensor, target_BT: Tensor) -> AdversarialStep:
        """Let codec and discriminators meet in the coming step, where there are any."""
        if self.adversary is None:
            return NO_ADVERSARY
        if self.step == self.config.discriminator.start_step:
            keys.tell(self.run, self.step, keys.DiscriminatorStarted())
        return self.adversary.adversarial_step(output_BT, target_BT, self.step + 1)

    def update(self, terms: Terms, rate: float) -> Tensor:
        """Make one step down the gradient of the total; return the gradient's norm, 0-dim."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        terms.total.backward()
        grad_norm = self.clipping(self.codec)
        self.optimizer.step()
        return grad_norm

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return self.optimizer.param_groups[0]["lr"]

    def update_codebooks(self, made: CodecOutput) -> None:
        """Move running means, and at times restart rarely hit codes; ``step`` counts this step."""
        quantizer, settings = self.codec.quantizer, self.config.quantizer
        is_frozen = "quantizer" in self.config.optim.freeze
        if is_frozen or not isinstance(quantizer, ResidualQuantizer):
            return
        quantizer.follow(made.quantized)
        if settings.restart_below > 0 and self.step % settings.restart_every == 0:
            counts = quantizer.restart(made.quantized, self.restarts).tolist()
            if max(counts) >= _NOTABLE_RESTART * settings.codebook_size:
                keys.tell(self.run, self.step, keys.CodebookRestarted(codes=counts))

    def _kept(self) -> Tensor | None:
        """Draw from how many codebooks each item of the coming batch is put together."""
        probability = self.config.quantizer.dropout
        if probability == 0:
            return None
        size = (self.config.data.batch_size,)
        n_B = torch.randint(1, self.n_active + 1, size, generator=self.dropout)
        is_dropped_B = torch.rand(size, generator=self.dropout) < probability
        return share(torch.where(is_dropped_B, n_B, self.n_active)).to(self.device)

    def keep_samples(self) -> None:
        """Keep what the codec makes of a few held-out utterances, to be heard and seen."""

        def convert(audio_BT: Tensor, voice_BT: Tensor) -> Tensor:
            return self.codec(audio_BT, self.n_trained, voice_BT=voice_BT).audio_BT

        keep_samples(
            self._utterances,
            lambda audio_BT: self.codec(audio_BT, self.n_trained).audio_BT,
            convert if self.codec.speaker_encoder is not None else None,
            step=self.step,
            sample_rate_hz=self.config.data.sample_rate_hz,
            run=self.run,
        )

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs; plain values and tensors alone."""
        balancer = self.objective.balancer
        return {
            "step": self.step,
            "config": json.dumps(plain(self.config)),
            "codec": self.codec.state_dict(),
            "optimizer": moments_by_name(self.optimizer, self.codec),
            "feed": self.feed.state(),
            "restarts": self.restarts.get_state(),
            "dropout": self.dropout.get_state(),
            "begin": self.initial.state(),
            "trend": self.trend.state(),
            "clipping": self.clipping.state(),
            "balancer": balancer.state() if balancer else None,
            "adversary": self.adversary.state() if self.adversary else None,
            "torch": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, by this run or by the one that it branches off.

        Of another run's state all that fits is taken; what does not, as a layer that only this
        codec has, stays as it was drawn, and an event says so.
        """
        self.step = state["step"]
        weights = dict(state["codec"])
        if self._has_other_codes(json.loads(state["config"])):
            weights = {n: w for n, w in weights.items() if not n.startswith("quantizer.")}
        own = self.codec.state_dict()
        fitting = {n: w for n, w in weights.items() if n in own and own[n].shape == w.shape}
        self.codec.load_state_dict(fitting, strict=False)
        load_moments(self.optimizer, self.codec, state["optimizer"])
        self.feed.restore(state["feed"])
        self.restarts.set_state(state["restarts"])
        self.dropout.set_state(state["dropout"])
        self.trend.restore(state["trend"])
        self.clipping.restore(state["clipping"])
        if self.objective.balancer and state["balancer"]:
            self.objective.balancer.restore(state["balancer"], self.device)
        if self.adversary and state["adversary"]:
            self.adversary.restore(state["adversary"])
        torch.set_rng_state(state["torch"])
        fresh = sorted(set(own) - set(fitting))
        if any(name.endswith(".codes_VD") for name in fresh):
            self._fit_new_codebooks(self.feed.peek().audio_BT, known=0)
        self.initial.restore(state["begin"], self.codec)
        left = sorted(set(state["codec"]) - set(fitting))
        if fresh or left:
            keys.tell(self.run, self.step, keys.BranchAdapted(fresh=fresh, left_behind=left))

    def _has_other_codes(self, config: Mapping[str, Any]) -> bool:
        """Whether another run's codes mean nothing here."""
        theirs, ours = config["quantizer"], plain(self.config)["quantizer"]
        decisive = ("kind", "update", "metric", "codebook_size", "dim", "levels", "n_quantizers")
        return any(theirs[key] != ours[key] for key in decisive)


def prepare_torch(config: Config, run: Run) -> None:
    """Set threads and determinism for this process, which belongs to the run alone."""
    torch.set_num_threads(run.threads)
    if config.deterministic and run.device != "cpu":
        # Read by cuBLAS when it starts; without it torch refuses deterministic products.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)
    # Nothing here reads memory that it did not write, and filling all of it costs 5 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
