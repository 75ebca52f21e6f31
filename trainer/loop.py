"""The training loop. Reads top to bottom; what a step needs is in `trainer.training`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ablate.protocol import Diverged, Run
from trainer import diagnostics
from trainer.config import Config
from trainer.corpus import Corpus
from trainer.data import load_corpus
from trainer.metrics import validate
from trainer.model import CodecOutput
from trainer.objective import Terms
from trainer.parsing import from_nested
from trainer.training import Training, learning_rate, prepare_torch


def train(config: Mapping[str, Any], run: Run) -> None:
    """Train a codec from ``run.resume()`` or from the beginning.

    Step n has made n optimizer steps; what is logged at n about a batch was measured on the batch
    of step n, before its update, and norms after it. Step 0 is the untrained model.

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
    state = run.resume()
    if state is None:
        training.start()
    else:
        training.restore(state)
        run.event("resumed", training.step)
    announce(corpus, run, training.step)
    if state is None:
        log_untrained(training)

    parameters = list(training.codec.parameters())
    mark = (time.perf_counter(), training.step)
    while training.step < cfg.steps:
        target_BT = training.sampler.draw().to(training.device)
        training.activate(target_BT)
        made = training.codec(target_BT, training.n_active)
        terms = training.objective(training.codec, made, target_BT)

        training.step += 1
        step = training.step
        forces = diagnostics.scale_forces(terms) if due(step, cfg.diagnostics_every, cfg) else {}
        rate = learning_rate(cfg.optim, step)
        for group in training.optimizer.param_groups:
            group["lr"] = rate
        training.optimizer.zero_grad()
        terms.total.backward()
        limit = cfg.optim.clip_norm or float("inf")
        grad_norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        training.optimizer.step()
        training.update_codebooks(made)
        if step == cfg.optim.warmup_steps:
            run.event("warmup_ended", step)

        is_saved = due(step, cfg.checkpoint_every, cfg) or run.should_stop
        if due(step, cfg.log_every, cfg):
            now = (time.perf_counter(), step)
            speed = (now[1] - mark[1]) / max(now[0] - mark[0], 1e-9)
            mark = now
            optim = {"train/optim/lr": rate, "train/optim/grad_norm": grad_norm}
            perf = {"train/perf/steps_per_s": speed}
            run.log({**describe(training, terms, made), **forces, **optim, **perf}, step)
        if due(step, cfg.log_every, cfg) or is_saved:
            check_finite(terms.total, grad_norm, step)
        if due(step, cfg.valid_every, cfg):
            log_validation(training)
        if is_saved:
            run.save(step, training.state())
        if run.should_stop:
            return


def due(step: int, every: int, config: Config) -> bool:
    """Return whether something done every so many steps, and at the last one, is done now."""
    return step % every == 0 or step == config.steps


def check_finite(total: Tensor, grad_norm: Tensor, step: int) -> None:
    """Raise `Diverged` rather than save weights that are no numbers."""
    for key, value in (("train/loss/total", total), ("train/optim/grad_norm", grad_norm)):
        if not torch.isfinite(value):
            raise Diverged(step, key)


def announce(corpus: Corpus, run: Run, step: int) -> None:
    """Record which audio is trained on, and which files could not be used."""
    for name, reason in corpus.skipped:
        run.event("file_skipped", step, file=name, reason=reason)
    run.event(
        "data_ready",
        step,
        sha256=corpus.digest,
        train_clips=len(corpus.train),
        valid_clips=len(corpus.valid),
    )


@torch.no_grad()
def log_untrained(training: Training) -> None:
    """Log the initial values at step 0, on the batch that the first step will see."""
    target_BT = training.peek()
    made = training.codec(target_BT, training.n_active)
    terms = training.objective(training.codec, made, target_BT)
    training.run.log(describe(training, terms, made), 0)
    log_validation(training)


def log_validation(training: Training) -> None:
    """Log every validation metric of the model as it is."""
    metrics = validate(
        training.codec, training.held_out, training.objective.settings, training.n_active
    )
    training.run.log(metrics, training.step)


@torch.no_grad()
def describe(training: Training, terms: Terms, made: CodecOutput) -> dict[str, Any]:
    """Return every metric of a batch that needs no backward pass."""
    codec = training.codec
    size = training.config.quantizer.codebook_size
    return {
        **training.objective.report(terms, codec, made),
        **diagnostics.levels(made.audio_BT, terms.target.audio_BT),
        **diagnostics.stages(made),
        **diagnostics.code_use(made.quantized, made.stages["pre_rvq"], size),
        **diagnostics.norms(codec, training.initial_norms),
        **diagnostics.affines(codec),
    }
