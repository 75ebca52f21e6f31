"""A study's comparison in MLflow: a run for each variant, and the experiment's note."""

from __future__ import annotations

import hashlib
import math

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.entities import Run as MlflowRun

from ablate.domain import Study
from ablate.mirrors.mlflow_run import active_runs
from ablate.mirrors.names import accepted
from ablate.mirrors.records import StudySummary, VariantSummary

_NOTE = "mlflow.note.content"
_MAX_EXPERIMENT_TAG = 20_000
_MAX_RUN_TAG = 8000


def put_note(client: MlflowClient, experiment: str, summary: StudySummary) -> None:
    """Make the comparison the experiment's note, if it is not yet.

    Raises:
        MlflowException: If MLflow does not take it.
    """
    note = _cut(summary.note, _MAX_EXPERIMENT_TAG)
    if client.get_experiment(experiment).tags.get(_NOTE) != note:
        client.set_experiment_tag(experiment, _NOTE, note)


def put_summaries(
    client: MlflowClient, experiment: str, study: Study, summary: StudySummary
) -> None:
    """Have one run for each variant that says what the comparison says.

    MLflow keeps every value that was ever logged, so a run whose content has changed is replaced.

    Raises:
        MlflowException: If MLflow does not take it.
    """
    wanted = {_digest(v, summary.at_step): v for v in summary.variants}
    for found in active_runs(client, experiment, "tags.`ablate.summary` LIKE '%'"):
        # The digest is written last: without one, a crash came between.
        if wanted.pop(found.data.tags.get("ablate.digest", ""), None) is None:
            client.delete_run(found.info.run_id)
    for digest, variant in wanted.items():
        _create(client, experiment, study, variant, summary.at_step, digest)


def _create(
    client: MlflowClient,
    experiment: str,
    study: Study,
    variant: VariantSummary,
    at_step: int,
    digest: str,
) -> None:
    time_ms = round(study.created_at * 1000)  # the same whenever it is made
    reasons = "\n".join(f"- {reason}" for reason in variant.reasons)
    created: MlflowRun = client.create_run(
        experiment,
        start_time=time_ms,
        run_name=variant.variant,
        tags={
            "ablate.study": study.name,
            "ablate.summary": variant.variant,
            "ablate.verdict": variant.verdict,
            "mlflow.note.content": _cut(f"**{variant.verdict}**\n\n{reasons}", _MAX_RUN_TAG),
        },
    )
    metrics = [
        Metric(accepted(f"summary/{name}"), value, time_ms, at_step)
        for name, value in variant.values.items()
        if not math.isinf(value)
    ]
    client.log_batch(created.info.run_id, metrics=metrics)
    client.set_terminated(created.info.run_id, "FINISHED", time_ms)
    client.set_tag(created.info.run_id, "ablate.digest", digest)


def _digest(variant: VariantSummary, at_step: int) -> str:
    return hashlib.sha256(repr((variant, at_step)).encode()).hexdigest()[:16]


def _cut(text: str, length: int) -> str:
    """Return the text, or as many of its lines as fit, with a word on where the rest is."""
    if len(text) <= length:
        return text
    rest = "\n\n(The rest is too long for MLflow: `ablate compare`.)"
    return text[: length - len(rest)].rpartition("\n")[0] + rest
