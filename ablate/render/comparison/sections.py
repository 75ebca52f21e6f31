"""The findings about a variant as tables: what a hand-written report holds, in its order."""

from __future__ import annotations

from collections.abc import Sequence

from ablate import keys
from ablate.analysis.comparison import ComparedVariant
from ablate.analysis.curves.drift import Parameter, Trend
from ablate.analysis.curves.windows import Window, short_step
from ablate.analysis.diagnosis.budgets import Budget, Forces
from ablate.analysis.diagnosis.collapse import HALF, Collapse
from ablate.analysis.diagnosis.trivial import TrivialLoss
from ablate.analysis.findings import Findings, SilentRow
from ablate.analysis.judging.verdicts import Verdict
from ablate.analysis.wording import number, of_runs, percent, span
from ablate.render.comparison.tables import STATUS_TONES
from ablate.render.tables import Cell, Column, Table, Tone
from ablate.rules import Status


def finding_tables(findings: Findings, at_step: int) -> tuple[Table, ...]:
    """Return the tables about a variant that have any row."""
    windows = findings.windows
    tables = (
        trends_table("Loss trends", windows, findings.losses),
        trends_table("Codes (RVQ)", windows, findings.codes),
        parameters_table(findings.parameters, at_step),
        silence_table(findings.silence),
        trivial_table(findings.collapse),
        budget_table(findings.budget),
        forces_table(findings.forces),
        stages_table(findings.collapse),
        pulls_table(findings.collapse),
        events_table(findings),
    )
    return tuple(table for table in tables if table.rows)


def diagnosis_lines(row: ComparedVariant, findings: Findings) -> tuple[str, ...]:
    """Return the likely causes, the most probable first, and how a lost level was lost."""
    heads = ("likely cause", *["perhaps also"] * len(row.causes))
    causes = [f"{head}: {c.sentence}" for head, c in zip(heads, row.causes, strict=False)]
    if not causes and row.verdict in (Verdict.FAILED, Verdict.DEGRADING):
        causes = ["no cause can be told from what was logged"]
    return (*causes, *findings.collapse.sentences)


def trends_table(title: str, windows: Sequence[Window], trends: Sequence[Trend]) -> Table:
    """Return window means and the change from the first to the last window."""
    has_target = any(trend.target for trend in trends)
    columns = [Column("metric"), *(Column(w.label, is_number=True) for w in windows)]
    columns.append(Column("change", is_number=True))
    columns += [Column("target"), Column("status")] if has_target else []
    rows = [_trend_row(trend, has_target) for trend in trends]
    note = "means over the steps named and over all runs"
    return Table(title, tuple(columns), tuple(rows), (note,) if rows else ())


def parameters_table(parameters: Sequence[Parameter], at_step: int) -> Table:
    """Return first value, value now, change, target and status of each parameter."""
    columns = (
        Column("parameter"),
        Column("initial", is_number=True),
        Column(f"@ {short_step(at_step)}", is_number=True),
        Column("change", is_number=True),
        Column("target"),
        Column("status"),
    )
    rows = tuple(
        (
            Cell(p.key),
            Cell(number(p.initial), p.initial),
            Cell(number(p.value), p.value),
            Cell(percent(p.change), p.change),
            Cell(p.target.text if p.target else ""),
            _status_cell(p.status),
        )
        for p in parameters
    )
    return Table("Critical parameters", columns, rows)


def silence_table(losses: Sequence[SilentRow]) -> Table:
    """Return each loss beside the value it takes for a silent output."""
    columns = (
        Column("loss"),
        Column("value", is_number=True),
        Column("silent value", is_number=True),
        Column("ratio", is_number=True),
        Column("sits at its silent value"),
    )
    rows = tuple(
        (
            Cell(keys.LOSS.key(loss.name, loss.split)),
            Cell(number(loss.value), loss.value),
            Cell(number(loss.silent), loss.silent),
            Cell(f"{loss.ratio:.2f}x", loss.ratio, "bad" if loss.at_silent else "plain"),
            _silent_cell(loss),
        )
        for loss in losses
    )
    return Table("Losses beside their silent values", columns, rows)


def budget_table(budget: Budget) -> Table:
    """Return weight, value, share of the total, and what silence would cost, for each term."""
    columns = (
        Column("term"),
        Column("weight", is_number=True),
        Column("value", is_number=True),
        Column("weight x value", is_number=True),
        Column("share of total", is_number=True),
        Column("rise if silent", is_number=True),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            Cell(t.name),
            Cell(number(t.weight), t.weight),
            Cell(number(t.value), t.value),
            Cell(number(t.weighted), t.weighted),
            Cell(percent(t.share, signed=False), t.share),
            Cell(_signed(t.silent_rise), t.silent_rise),
        )
        for t in budget.terms
    ]
    if rows and budget.total is not None:
        rest, whole = budget.residual_share, 1.0 if budget.total else None
        rows.append(_budget_row("in no logged term", budget.residual, rest, None))
        rows.append(_budget_row(keys.TOTAL_NAME, budget.total, whole, budget.silent_rise))
    return Table("Loss budget", columns, tuple(rows))


def forces_table(forces: Forces) -> Table:
    """Return the scale force of each term over the windows."""
    columns = [Column("term"), *(Column(w.label, is_number=True) for w in forces.windows)]
    rows = [
        (Cell(term.name), *(_force_cell(value) for value in term.windows)) for term in forces.terms
    ]
    if rows:
        rows.append((Cell("net", None, "strong"), *(_force_cell(v) for v in forces.net)))
    note = "of the weighted terms; positive: louder, negative: quieter"
    return Table("Scale forces", tuple(columns), tuple(rows), (note,) if rows else ())


def trivial_table(collapse: Collapse) -> Table:
    """Return each held-out loss beside what outputs that know nothing get."""
    predictors = list(dict.fromkeys(p for loss in collapse.trivial for p in loss.trivial))
    columns = [Column("held-out loss"), Column("value", is_number=True)]
    columns += [Column(name, is_number=True) for name in predictors]
    rows = [
        (
            Cell(keys.LOSS.key(loss.name, keys.VALID), None, "plain" if loss.counts else "muted"),
            Cell(number(loss.value), loss.value),
            *(_trivial_cell(loss, name) for name in predictors),
        )
        for loss in collapse.trivial
    ]
    note = "red: the loss lies within 5% of it; grey: not trained on"
    return Table(
        "Losses beside trivial outputs", tuple(columns), tuple(rows), (note,) if rows else ()
    )


def stages_table(collapse: Collapse) -> Table:
    """Return the level of each stage at the first point and now, and how its gain changed."""
    columns = (
        Column("stage"),
        Column("first", is_number=True),
        Column("now", is_number=True),
        Column("gain, now / first", is_number=True),
    )
    rows = tuple(
        (
            Cell(stage.name),
            Cell(number(stage.first), stage.first),
            Cell(number(stage.now), stage.now),
            Cell(f"{number(stage.gain)}x", stage.gain, "warn" if stage.gain < HALF else "plain"),
        )
        for stage in collapse.stages
    )
    note = "level (rms) along the signal path; the factors of all stages make that of the output"
    return Table("Level by stage", columns, rows, (note,) if rows else ())


def pulls_table(collapse: Collapse) -> Table:
    """Return which terms shrink each parameter and which let it grow."""
    columns = (
        Column("parameter"),
        Column("net", is_number=True),
        Column("shrunk most by"),
        Column("grown most by"),
    )
    rows = tuple(
        (
            Cell(pull.parameter),
            _force_cell(pull.net),
            Cell(_pull_text(pull.shrinks, pull.terms[pull.shrinks], is_wanted=-1)),
            Cell(_pull_text(pull.grows, pull.terms[pull.grows], is_wanted=1)),
        )
        for pull in collapse.pulls
    )
    note = "minus the weighted gradient along the parameter, over its norm; median over the run"
    return Table("What shrinks the parameters", columns, rows, (note,) if rows else ())


def events_table(findings: Findings) -> Table:
    """Return the events with the curves that jumped there."""
    columns = (Column("step", is_number=True), Column("event"), Column("runs"), Column("jumps"))
    rows: list[tuple[Cell, ...]] = []
    for mark in findings.events:
        jumped = [
            f"{j.key} {number(j.before)} -> {number(j.after)}"
            for j in findings.jumps
            if j.event == mark.name and j.step in mark.steps
        ]
        name = f"{mark.name} ({mark.detail})" if mark.detail else mark.name
        rows.append(
            (
                Cell(span(mark.steps), mark.steps[0]),
                Cell(name),
                Cell(of_runs(len(mark.steps), mark.runs)),
                Cell("; ".join(jumped)),
            )
        )
    return Table("Events", columns, tuple(rows))


def onset_table(findings: Sequence[Findings], targets: Sequence[tuple[str, str]]) -> Table:
    """Return for each target and variant the step from which on it was missed for good.

    Args:
        findings: Of every variant.
        targets: (key, text), in declared order.
    """
    columns = [Column("target"), *(Column(f.variant) for f in findings)]
    rows = [
        (Cell(f"{key} {text}"), *(_onset_cell(key, found) for found in findings))
        for key, text in targets
    ]
    return Table("Step from which on a target was missed for good", tuple(columns), tuple(rows))


def _trend_row(trend: Trend, has_target: bool) -> tuple[Cell, ...]:
    cells = [Cell(trend.key), *(Cell(number(value), value) for value in trend.means)]
    cells.append(Cell(percent(trend.change), trend.change))
    if has_target:
        cells += [Cell(trend.target.text if trend.target else ""), _status_cell(trend.status)]
    return tuple(cells)


def _status_cell(status: Status | None) -> Cell:
    return Cell(str(status), str(status), STATUS_TONES[status]) if status else Cell("")


def _silent_cell(loss: SilentRow) -> Cell:
    if not loss.counts:
        return Cell("not weighted, or blind to the output", None, "muted")
    if not loss.at_silent:
        return Cell("no", None, "good")
    text = f"{of_runs(loss.at_silent, loss.runs)} from {span(loss.since)}"
    return Cell(text, None, "bad")


def _budget_row(
    name: str, value: float | None, share: float | None, rise: float | None
) -> tuple[Cell, ...]:
    tone: Tone = "strong" if name == keys.TOTAL_NAME else "plain"
    return (
        Cell(name, None, tone),
        Cell(""),
        Cell(""),
        Cell(number(value), value, tone),
        Cell(percent(share, signed=False), share, tone),
        Cell(_signed(rise) if rise is not None else "", rise, tone),
    )


def _force_cell(value: float | None) -> Cell:
    return Cell(_signed(value), value, "warn" if value and value < 0 else "plain")


def _trivial_cell(loss: TrivialLoss, predictor: str) -> Cell:
    value = loss.trivial.get(predictor)
    is_near = loss.counts and loss.is_near(predictor)
    return Cell(number(value), value, "bad" if is_near else "plain")


def _pull_text(term: str, pull: float, *, is_wanted: int) -> str:
    return f"{term} ({_signed(pull)})" if pull * is_wanted > 0 else "-"


def _signed(value: float | None) -> str:
    return f"+{number(value)}" if value is not None and value > 0 else number(value)


def _onset_cell(key: str, findings: Findings) -> Cell:
    misses = findings.misses.get(key, ())
    if not misses:
        known = any(p.key == key for p in findings.parameters)
        return Cell("met" if known else "no data", None, "good" if known else "muted")
    runs = f"{len(misses)} of {findings.runs}"
    if not any(miss.was_met for miss in misses):
        return Cell(f"never met ({runs})", None, "bad")
    return Cell(f"{span(m.step for m in misses)} ({runs})", None, "bad")
