"""From what a user asked for to a scheduler at work."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType

from ablate.attempt.job import Job
from ablate.attempt.runners import this_runner
from ablate.domain import IMPORTED, Claim, Run, RunState, Study
from ablate.errors import TrainerError
from ablate.execution.executors.base import Binding, Executor, Preparation
from ablate.execution.progress import Observer, ProgressMeter
from ablate.execution.scheduler import Scheduler
from ablate.execution.scheduling import SchedulerOptions, Summary
from ablate.planning.plan import is_labelled_right
from ablate.planning.study_file.spec import StudySpec
from ablate.planning.trainers.registry import trainer_of
from ablate.protocol import Trainer
from ablate.provenance import committed_code
from ablate.settings import Settings
from ablate.store.base import ClaimFilter, Store

_WITH_TORCH = ("torch._dynamo", "torch.utils.serialization")
"""What torch imports by itself, at the first optimizer step and the first checkpoint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What `ablate run` was asked for."""

    studies: tuple[str, ...] = ()
    """Names; empty for every study."""
    only: tuple[str, ...] = ()
    """Variant names or run ids; empty for all."""
    executor: Executor
    """Not open yet."""
    steps: int | None = None
    """Pause every run at this step."""
    max_failures: int | None = None
    stall_timeout_s: float | None = None
    """How long a run may log nothing before it is ended, 0 for ever; None for what the study says,
    or what is learned."""


def wanted_runs(request: RunRequest) -> ClaimFilter:
    """Return what a scheduler may claim for a request."""
    return ClaimFilter(
        studies=frozenset(request.studies),
        only=frozenset(request.only),
        below_step=request.steps,
    )


def run_studies(
    store: Store,
    settings: Settings,
    request: RunRequest,
    observer: Observer,
    *,
    on_signal: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Run what is queued; SIGINT, SIGTERM and SIGHUP stop it so that it can be resumed.

    Args:
        store: Opened for writing.
        settings: Of the project.
        request: What to run, on what.
        observer: Is told what happens.
        on_signal: Told the number of each signal received; called in the handler.

    Raises:
        NotFoundError: For an unknown study or trainer.
        TrainerError: If the trainer cannot be imported.
    """
    studies = [store.study(name) for name in request.studies] or list(store.studies())
    studies = [study for study in studies if study.plan.trainer != IMPORTED]
    desk = _Desk(settings, request, studies, store.url)
    if not desk.has_work(store):
        return Summary()
    for study in studies:
        for run in store.runs(study.name):
            if run.state is RunState.QUEUED:
                desk.check(run)
    with closing(request.executor):
        request.executor.open(desk.preparation(observer))
        scheduler = Scheduler(
            store,
            request.executor,
            runner=this_runner(),
            make_job=desk.job,
            run_dir=settings.run_dir,
            make_meter=desk.meter,
            options=SchedulerOptions(
                wanted=wanted_runs(request),
                max_failures=request.max_failures,
                lease_s=settings.lease_s,
            ),
            observer=observer,
        )

        def stop(number: int) -> None:
            scheduler.stop()
            on_signal(number)

        with _handling(stop):
            return scheduler.run()


class _Desk:
    """Knows the studies' trainers, guards and gates, and so how a claim becomes a job."""

    def __init__(
        self, settings: Settings, request: RunRequest, studies: Sequence[Study], database: str
    ) -> None:
        self._settings = settings
        self._database = database
        self._request = request
        self._studies = {study.name: study for study in studies}
        self._specs = {s.name: StudySpec.model_validate(s.plan.spec) for s in studies}
        # Studies that differ in other things share the description, which is read from source.
        of_each = {(spec.trainer, spec.code or ""): spec for spec in self._specs.values()}
        self._trainers: dict[tuple[str, str], Trainer] = {
            key: trainer_of(spec, settings.project) for key, spec in sorted(of_each.items())
        }
        self._code = committed_code(settings.project)

    def has_work(self, store: Store) -> bool:
        """Whether anything is queued or left by a runner; saves the start of a fork server."""
        return any(
            run.state in (RunState.QUEUED, RunState.RUNNING)
            for name in self._specs
            for run in store.runs(name)
        )

    def _trainer_of(self, run: Run) -> Trainer:
        spec = self._specs[run.study]
        return self._trainers[spec.trainer, spec.code or ""]

    def check(self, run: Run) -> None:
        """Refuse to train a run under an identity that is not that of its config.

        Raises:
            TrainerError: If its trainer is of another version, or its config is another.
        """
        study, trainer = self._studies[run.study], self._trainer_of(run)
        again = f"run: ablate study create {run.study} --update"
        if trainer.version != study.plan.trainer_version:
            planned = study.plan.trainer_version
            raise TrainerError(
                f"the study '{run.study}' was planned for version {planned} of its trainer, "
                f"which is version {trainer.version} now",
                hint=again,
            )
        if not is_labelled_right(run, study, self._specs[run.study], trainer):
            raise TrainerError(
                f"the config of {run.label} is not the one that its identity stands for",
                hint=f"run: ablate retry --fresh {run.label}" if run.attempts else again,
            )

    def preparation(self, observer: Observer) -> Preparation:
        """Return what workers need before the first attempt starts."""
        return Preparation(
            folder=self._settings.project,
            preload=self._preload(is_own=False),
            may_preload=self._preload(is_own=True),
            note=observer.noted,
        )

    def _preload(self, *, is_own: bool) -> list[str]:
        """Return what the trainers ask the fork server to import, or what the user's own import."""
        names = [
            m for (n, _), t in self._trainers.items() if (":" in n) is is_own for m in t.preload
        ]
        if is_own and any(name.partition(".")[0] == "torch" for name in names):
            names += _WITH_TORCH
        if not is_own:
            names += [m for spec in self._specs.values() for m in spec.preload or ()]
        return list(dict.fromkeys(names))

    def job(self, claim: Claim, binding: Binding) -> Job:
        """Return the job of a claim that is to run on what its slot is bound to."""
        run, branch = claim.run, claim.branch_from
        self.check(run)
        return Job(
            attempt_id=claim.attempt_id,
            attempt=claim.attempt,
            label=run.label,
            run_dir=self._settings.run_dir(run.id),
            project=self._settings.project if ":" in run.trainer else None,
            train=self._trainer_of(run).train,
            config=dict(run.config),
            seed=run.seed,
            device=binding.device,
            gpus=binding.gpus,
            threads=binding.threads,
            guards=self._specs[run.study].guard_rules,
            gates=self._specs[run.study].gate_rules,
            step_limit=self._request.steps,
            resume_from=claim.resume_from,
            branch_from=branch,
            branch_dir=self._settings.run_dir(branch.run_id) if branch else None,
            checkpoint_steps=tuple(sorted(claim.branch_steps)),
            code=self._code,
            code_version=getattr(self._trainer_of(run), "code_version", None),
            database=self._database,
            system_metrics_s=self._settings.system_metrics_s,
        )

    def meter(self, claim: Claim, n_hangs: int) -> ProgressMeter:
        """Return what follows a claim's speed and the metric its study names first."""
        spec = self._specs[claim.run.study]
        keys = [*spec.targets, *spec.metrics]
        declared = self._request.stall_timeout_s
        return ProgressMeter(
            claim.run,
            metric=keys[0] if keys else None,
            limit=self._request.steps,
            stall_s=spec.stall_timeout_s if declared is None else declared,
            n_hangs=n_hangs,
        )


@contextmanager
def _handling(stop: Callable[[int], None]) -> Generator[None]:
    """Have Ctrl-C, SIGTERM and a terminal that is closed call ``stop`` instead of ending us.

    The third time the process leaves at once, whatever it waits for. A closed terminal that was
    ignored stays so: `nohup` has asked for that.
    """
    received = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        stop(number)
        if received > 2:
            raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
