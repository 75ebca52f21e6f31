"""The training loop. Reads top to bottom; what a step needs is in `trainer.training`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ablate.protocol import Diverged, Run
from trainer import diagnostics
from trainer.config import Config
from trainer.corpus import Corpus
from trainer.data import load_corpus
from trainer.discriminators import NO_CONTEST
from trainer.metrics import validate
from trainer.model import CodecOutput
from trainer.objective import Terms
from trainer.parsing import from_nested
from trainer.training import Training, prepare_torch


def train(config: Mapping[str, Any], run: Run) -> None:
    """Train a codec from ``run.resume()`` or from the beginning.

    Step n has made n optimizer steps. What is logged at n about a batch was measured on the batch
    of step n before its update; norms, after it. Step 0 is the untrained model.

    Args:
        config: Full nested config, as `trainer.spec.BUNDLED.resolve` returns it.
        run: Seeds, logging, checkpoints.

    Raises:
        ConfigError: If the config or its folder of recordings cannot be used.
        Diverged: If the loss is no longer a number.
    """
    cfg = from_nested(config)
    prepare_torch(cfg, run)
    corpus = load_corpus(cfg)
    training = Training(cfg, run, corpus)
    codec, optimizer = training.codec, training.optimizer
    begin_or_resume(training, corpus)

    clock = diagnostics.Stopwatch(training.step)
    while training.step < cfg.steps:
        target_BT = training.sampler.draw().to(training.device)
        training.activate(target_BT)
        made = codec(target_BT, training.n_active)
        contest = training.contest(made.audio_BT, target_BT)
        terms = training.objective(codec, made, target_BT, adversarial=contest.terms)

        step = training.step + 1
        forces = diagnostics.scale_forces(terms) if due(step, cfg.diagnostics_every, cfg) else {}
        rate = training.set_rate()
        optimizer.zero_grad()
        terms.total.backward()
        # Without a limit the norm is still wanted for its curve.
        limit = cfg.optim.clip_norm or float("inf")
        grad_norm = torch.nn.utils.clip_grad_norm_(codec.parameters(), limit)
        optimizer.step()
        training.step = step
        training.update_codebooks(made)
        if step == cfg.optim.warmup_steps:
            run.event("warmup_ended", step)

        optim = {"train/optim/lr": rate, "train/optim/grad_norm": grad_norm}
        if forces:
            run.log(forces, step)
        if due(step, cfg.log_every, cfg):
            described = describe(training, terms, made)
            run.log({**described, **optim, **contest.metrics, **clock.read(step)}, step)
            check_finite({"train/loss/total": terms.total, **optim}, step)
        if due(step, cfg.valid_every, cfg):
            log_validation(training)
        # Read after logging: what was just logged may be why the run is asked to stop.
        must_stop = run.should_stop
        if must_stop or due(step, cfg.checkpoint_every, cfg) or step in run.checkpoint_steps:
            check_finite({"train/loss/total": terms.total, **optim}, step)
            run.save(step, training.state())
        if must_stop:
            return


def begin_or_resume(training: Training, corpus: Corpus) -> None:
    """Take up the last checkpoint, or prepare the untrained model and log its values."""
    run = training.run
    state = run.resume()
    if state is not None:
        training.restore(state)
        run.event("resumed", training.step)
    for name, reason in corpus.skipped:
        run.event("file_skipped", training.step, file=name, reason=reason)
    clips = {"train_clips": len(corpus.train), "valid_clips": len(corpus.valid)}
    run.event("data_ready", training.step, sha256=corpus.digest, **clips)
    if state is None:
        training.start()
        log_untrained(training)


@torch.no_grad()
def log_untrained(training: Training) -> None:
    """Log the initial values at step 0, on the batch that the first step will see."""
    target_BT = training.peek()
    made = training.codec(target_BT, training.n_active)
    terms = training.objective(training.codec, made, target_BT, adversarial=NO_CONTEST.terms)
    training.run.log(describe(training, terms, made), 0)
    log_validation(training)


def log_validation(training: Training) -> None:
    """Log every validation metric of the model as it is."""
    settings = training.objective.settings
    metrics = validate(training.codec, training.held_out, settings, training.n_trained)
    training.run.log(metrics, training.step)


@torch.no_grad()
def describe(training: Training, terms: Terms, made: CodecOutput) -> dict[str, Any]:
    """Return every metric of a batch that needs no backward pass."""
    codec, size = training.codec, training.config.quantizer.codebook_size
    return {
        **training.objective.report(terms, codec, made),
        **diagnostics.levels(made.audio_BT, terms.target.audio_BT),
        **diagnostics.stages(made),
        **diagnostics.code_use(made.quantized, made.stages["pre_rvq"], size),
        **diagnostics.norms(codec, training.initial_norms),
        **diagnostics.affines(codec),
    }


def check_finite(values: Mapping[str, Any], step: int) -> None:
    """Raise `Diverged` rather than go on, or save weights that are no numbers."""
    for key, value in values.items():
        if not torch.isfinite(torch.as_tensor(value)):
            raise Diverged(step, key)


def due(step: int, every: int, config: Config) -> bool:
    """Return whether what is done every so many steps, and at the last one, is done now."""
    return step % every == 0 or step == config.steps
