"""The training loop. Reads top to bottom; what a step needs is in `trainer.training`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ablate import keys
from ablate.protocol import ConfigError, Diverged, Run
from trainer.config.config import Config
from trainer.config.parsing import from_nested
from trainer.data.batches import Batch, load_corpus
from trainer.data.corpus import Corpus
from trainer.data.manifest import keep_manifest
from trainer.losses.adversary import NO_ADVERSARY
from trainer.losses.nulls import null_losses
from trainer.losses.objective import Terms
from trainer.model import CodecOutput
from trainer.movement import StepSize
from trainer.optimizer import learning_rate
from trainer.parallel import agreed, together
from trainer.training import Training, prepare_torch
from trainer.watching import diagnostics
from trainer.watching.validation import validate


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
    if cfg.data.batch_size % run.processes:
        raise ConfigError(
            "data.batch_size",
            f"{cfg.data.batch_size} segments cannot be shared by {run.processes} GPUs",
        )
    corpus, state = load_corpus(cfg), run.resume()
    together(run, lambda member: train_member(cfg, member, corpus, state))


def train_member(cfg: Config, run: Run, corpus: Corpus, state: Any | None) -> None:
    """Train in one process of the run, from ``state`` or from the beginning."""
    prepare_torch(cfg, run)
    training = Training(cfg, run, corpus)
    begin_or_resume(training, corpus, state)

    clock = diagnostics.Stopwatch(training.step)
    while training.step < cfg.steps:
        batch = training.feed.take()
        training.activate(batch)
        made = training.run_codec(batch)
        adversarial = training.adversarial_step(made.audio_BT, batch.audio_BT)
        terms = training.objective(made, batch, adversarial=adversarial.terms)

        step = training.step + 1
        is_examined = due(step, cfg.diagnostics_every, cfg)
        pulls = examine(terms, made, training.pulled) if is_examined else {}
        step_size = StepSize(training.codec) if is_examined else None
        grad_norm = training.update(terms, learning_rate(cfg.optim, step))
        training.step = step
        training.update_codebooks(made)
        if step == cfg.optim.warmup_steps:
            keys.tell(run, step, keys.WarmupEnded())

        if step_size is not None:
            run.log({**pulls, **step_size.read()}, step)
        watched = {keys.TOTAL: terms.total.detach(), keys.GRAD_NORM: grad_norm}
        if due(step, cfg.log_every, cfg):
            described = describe(training, terms, made, batch)
            rate = {keys.LR: training.rate, **training.clipping.read()}
            run.log(
                {**described, **watched, **rate, **adversarial.metrics, **clock.read(step)}, step
            )
            check_finite(watched, step)
        if due(step, cfg.valid_every, cfg):
            log_validation(training)
        if step == cfg.steps or (cfg.samples_every and step % cfg.samples_every == 0):
            training.keep_samples()
        # Read after logging: what was just logged may be why the run is asked to stop.
        must_stop = agreed(run.should_stop, training.device)
        if must_stop or due(step, cfg.checkpoint_every, cfg) or step in run.checkpoint_steps:
            check_finite(watched, step)
            run.save(step, training.state())
        if must_stop:
            return


def begin_or_resume(training: Training, corpus: Corpus, state: Any | None) -> None:
    """Take up a checkpoint, or prepare the untrained model and log its values."""
    run = training.run
    if state is not None:
        training.restore(state)
    for name, reason in corpus.skipped:
        keys.tell(run, training.step, keys.FileSkipped(file=name, reason=reason))
    ready = keys.DataReady(
        sha256=corpus.digest, train_clips=len(corpus.train), valid_clips=len(corpus.valid)
    )
    keys.tell(run, training.step, ready)
    if state is None:
        keep_manifest(corpus, run)
        training.start()
        log_untrained(training)


@torch.no_grad()
def log_untrained(training: Training) -> None:
    """Log the initial values at step 0, on the batch that the first step will see.

    Beside them, once, what every loss is for outputs that know next to nothing.
    """
    batch = training.feed.peek()
    made = training.codec(batch.audio_BT, training.n_active)
    terms = training.objective(made, batch, adversarial=NO_ADVERSARY.terms)
    training.run.log(describe(training, terms, made, batch), 0)
    log_validation(training)
    held_out = [b.audio_BT for b in training.held_out]
    training.run.log(null_losses(held_out, training.objective.settings), 0)


def log_validation(training: Training) -> None:
    """Log every validation metric of the model as it is."""
    settings = training.objective.settings
    metrics = validate(training.codec, training.held_out, settings, training.n_trained)
    training.run.log(metrics, training.step)


@torch.no_grad()
def describe(training: Training, terms: Terms, made: CodecOutput, batch: Batch) -> dict[str, Any]:
    """Return every metric of a batch that needs no backward pass."""
    levels = diagnostics.levels(made.audio_BT, batch.audio_BT)
    return {
        **training.objective.report(terms, made, batch),
        **levels,
        **training.trend.read(training.step, levels[keys.LEVEL]),
        **diagnostics.stages(made),
        **diagnostics.code_use(made.quantized, training.config.codebook_size),
        **training.initial.distances(training.codec),
        **diagnostics.affines(training.codec),
    }


def examine(
    terms: Terms, made: CodecOutput, watched: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return who drives level, parameters and the quantizer's input; needs backward passes."""
    latents_BDT = made.stages["pre_rvq"]
    return {**diagnostics.pulls(terms, watched), **diagnostics.inner_pulls(terms, latents_BDT)}


def check_finite(values: Mapping[str, Any], step: int) -> None:
    """Raise `Diverged` rather than go on, or save weights that are no numbers."""
    for key, value in values.items():
        if not torch.isfinite(torch.as_tensor(value)):
            raise Diverged(step, key)


def due(step: int, every: int, config: Config) -> bool:
    """Return whether what is done every so many steps, and at the last one, is done now."""
    return step % every == 0 or step == config.steps
