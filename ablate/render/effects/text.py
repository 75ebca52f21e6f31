"""Effects as text that a stranger understands: the answer, a table for each metric, the method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from ablate.analysis.effects import MetricEffects, StudyEffects
from ablate.analysis.factorial.fit import Effect, Effects, LevelEffect
from ablate.analysis.factorial.shares import share_text
from ablate.analysis.factors import FactorTable
from ablate.analysis.statistics.scales import Scale
from ablate.render import document
from ablate.render.document import Document, Notes, Paragraph, Section, Tables
from ablate.render.effects import machine
from ablate.render.effects.sentences import (
    answer,
    change_text,
    is_listed,
    metric_notes,
    noise_sentence,
    shown_name,
    study_notes,
)
from ablate.render.formats import number
from ablate.render.tables import Cell, Column, Table, Tone
from ablate.text import counted, few

Format = Literal["table", "md", "csv", "json", "ndjson", "html", "latex"]

_VISIBLE = 0.001
"""Of the variance: less is rounding or nothing to speak of."""

_TONES: dict[str | None, Tone] = {"seen": "strong", "possible": "plain", "not seen": "muted"}
_WORDS = {"seen": "seen", "possible": "perhaps", "not seen": "no"}


def render(
    found: StudyEffects, fmt: Format = "table", *, width: int | None = None, color: bool = False
) -> str:
    """Return effects as text without a final line break.

    Args:
        found: What to show.
        fmt: One of the output formats.
        width: For ``table``: columns of the terminal to fit; None for plain text, whole, as a pipe
            gets it.
        color: For ``table`` with a width: whether to write colours.
    """
    writers: dict[Format, Callable[[], str]] = {
        "table": lambda: _table(effects_document(found), width, color),
        "md": lambda: document.to_markdown(effects_document(found), level=2),
        "csv": lambda: machine.to_csv(found).removesuffix("\n"),
        "json": lambda: machine.to_json(found),
        "ndjson": lambda: machine.to_ndjson(found),
        "html": lambda: document.to_html(effects_document(found)),
        "latex": lambda: document.to_latex(effects_document(found)),
    }
    return writers[fmt]()


def effects_document(found: StudyEffects) -> Document:
    """Return the answer, then for each metric its effects with what must be known of them."""
    answers = [answer(metric) for metric in found.metrics]
    shown = [m for m in found.metrics if m.effects and not m.effects.is_flat]
    own = {metric.key: metric_notes(metric, found.factors) for metric in shown}
    common = [] if len(shown) < 2 else [n for n in own[shown[0].key] if _is_in_all(n, own)]
    sections = [
        _section(metric, metric.effects, [n for n in own[metric.key] if n not in common], found)
        for metric in shown
        if metric.effects
    ]
    notes = (*common, *study_notes(found))
    sections.append(Section(blocks=(Notes(notes), Paragraph(method(found)))))
    return Document(
        title=found.study,
        question=found.question,
        answer=tuple(answers) or ("nothing was logged that effects could be of",),
        headline=_headline(found),
        warning=(found.preview or "")[:1].upper() + (found.preview or "")[1:],
        sections=tuple(sections),
    )


def _headline(found: StudyEffects) -> str:
    factors = few([f"{name} ({len(levels)})" for name, levels in found.factors.levels.items()])
    where = "before any point" if found.at_step is None else f"at step {found.at_step}"
    return f"Effects {where}; factors and their levels: {factors}"


def _is_in_all(note: str, notes: Mapping[str, Sequence[str]]) -> bool:
    return all(note in each for each in notes.values())


def _section(
    metric: MetricEffects, effects: Effects, notes: Sequence[str], found: StudyEffects
) -> Section:
    lines = (noise_sentence(effects.noise, metric.scale), *notes)
    shown = _effects_table(metric, effects, found.factors)
    return Section(blocks=(Tables((shown,)), Notes(lines)))


def _effects_table(metric: MetricEffects, effects: Effects, table: FactorTable) -> Table:
    told = [effect for effect in effects.effects if is_listed(effect, effects)]
    told.sort(key=lambda effect: -(effect.share.seen if effect.share else 0.0))
    rows = [row for effect in told for row in _rows(effect, metric.scale, table)]
    if effects.block_share is not None:
        rows.append(_part(f"{counted(effects.blocks, 'seed')} (block)", effects.block_share))
    if effects.untold_share is not None and effects.untold_share > _VISIBLE:
        rows.append(_part("not told apart", effects.untold_share))
    if effects.noise_share is not None:
        rows.append(_part("noise", effects.noise_share))
    untold = sum(effect.is_told for effect in effects.effects) - len(told)
    more = [f"{counted(untold, 'more effect')} of three and more factors, none seen"]
    return Table(
        title=f"{metric.key}, {counted(effects.runs, 'run')} "
        f"of {counted(effects.cells, 'combination')}",
        columns=(
            Column("effect", is_fixed=True),
            Column("changes by" if metric.scale == "identity" else "times"),
            Column("variance"),
            Column("p (Holm)", is_number=True),
            Column("seen"),
        ),
        rows=tuple(rows),
        notes=tuple(more if untold else ()),
        topic=metric.key,
    )


def _rows(effect: Effect, scale: Scale, table: FactorTable) -> list[tuple[Cell, ...]]:
    """Return a line for an effect, and one for each level where there are more than two."""
    tone = _TONES.get(effect.standing, "plain")
    value = change_text(effect.value, effect.ci_low, effect.ci_high, scale)
    head = (
        Cell(shown_name(effect, table), tone=tone),
        Cell("" if effect.levels else value, effect.value),
        Cell(share_text(effect.share), effect.share.seen if effect.share else None),
        Cell(number(effect.p_holm, 2), effect.p_holm),
        Cell(_WORDS.get(effect.standing or "", "-"), tone=tone),
    )
    return [head, *(_level_row(effect.name, level, scale) for level in effect.levels)]


def _level_row(name: str, level: LevelEffect, scale: Scale) -> tuple[Cell, ...]:
    value = change_text(level.deviation, level.ci_low, level.ci_high, scale)
    label = Cell(f"{name}={level.level}", tone="muted")
    return (label, Cell(value, level.deviation, tone="muted"), Cell(""), Cell(""), Cell(""))


def _part(name: str, share: float) -> tuple[Cell, ...]:
    return (
        Cell(name, tone="muted"),
        Cell(""),
        Cell(f"{100 * share:.0f}%", share, tone="muted"),
        Cell(""),
        Cell(""),
    )


def method(found: StudyEffects) -> tuple[str, ...]:
    """Return how the numbers were made."""
    shown = [metric.effects for metric in found.metrics if metric.effects is not None]
    if not shown:
        return ()
    lines = [_rules(found)]
    lines.append(
        "An effect of two levels is the mean at the second less the mean at the first, over all "
        "levels of the other factors; of more levels, each level less their mean."
    )
    lines.append(
        "A share is of the variance over all combinations of levels, each weighing the same, with "
        "the noise."
    )
    if any(metric.scale == "log" for metric in found.metrics):
        lines.append("Where it says times, logarithms were compared: effects are ratios.")
    if any(effects.noise.kind not in ("lenth", "none") for effects in shown):
        lines.append(
            "[ ] are 95% intervals; that of a share takes all else for noise, so it is wide beside "
            "other large effects."
        )
    if any(effects.blocks for effects in shown):
        lines.append("What the seeds have in common is taken out (seed as block).")
    lines.append("Seen needs p < 0.05 after Holm's correction over all effects of the metric.")
    return tuple(lines)


def _rules(found: StudyEffects) -> str:
    rules = list(dict.fromkeys(metric.rule for metric in found.metrics))
    if len(rules) == 1:
        return f"Which step counts: {rules[0]}."
    named = [
        f"{rule} for {few([m.key for m in found.metrics if m.rule == rule])}" for rule in rules
    ]
    return f"Which step counts: {'; '.join(named)}."


def _table(shown: Document, width: int | None, color: bool) -> str:
    if width is None:
        return document.to_plain(shown)
    return document.to_terminal(shown, width, color=color)
