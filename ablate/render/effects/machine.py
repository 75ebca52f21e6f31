"""Effects for machines: JSON (`ablate.effects/1`), NDJSON, CSV. It only ever grows."""

from __future__ import annotations

from typing import Any

from ablate.analysis.effects import MetricEffects, StudyEffects
from ablate.analysis.factorial.fit import Effect, Effects, LevelEffect, Noise
from ablate.render.effects.sentences import answer, metric_notes, ratio, study_notes
from ablate.render.formats import strict_json
from ablate.render.tables import Raw, csv_of

SCHEMA = "ablate.effects/1"


def to_json(found: StudyEffects) -> str:
    """Return one RFC 8259 object; a number that is not finite is null."""
    return strict_json(effects_object(found), indent=2)


def to_ndjson(found: StudyEffects) -> str:
    """Return one object for each metric and line."""
    head = {"schema": SCHEMA, "study": found.study, "at_step": found.at_step}
    return "\n".join(strict_json(head | _metric_object(metric, found)) for metric in found.metrics)


def effects_object(found: StudyEffects) -> dict[str, Any]:
    """Return the object that the JSON is made of."""
    table = found.factors
    return {
        "schema": SCHEMA,
        "study": found.study,
        "question": found.question,
        "at_step": found.at_step,
        "preview": found.preview,
        "factors": [
            {"name": name, "levels": list(levels), "keys": list(table.keys.get(name, ()))}
            for name, levels in table.levels.items()
        ],
        "factors_from": table.source,
        "variants": {name: dict(levels) for name, levels in table.of.items()},
        "left_out": list(table.left_out),
        "metrics": [_metric_object(metric, found) for metric in found.metrics],
        "notes": study_notes(found),
    }


def _metric_object(metric: MetricEffects, found: StudyEffects) -> dict[str, Any]:
    effects = metric.effects
    return {
        "key": metric.key,
        "goal": metric.goal,
        "rule": metric.rule,
        "scale": metric.scale,
        "sentence": answer(metric),
        "left_out": dict(metric.left_out),
        "not_estimable": metric.reason or None,
        **(_effects_object(effects) if effects else {}),
        "notes": metric_notes(metric, found.factors),
    }


def _effects_object(effects: Effects) -> dict[str, Any]:
    return {
        "runs": effects.runs,
        "combinations": effects.cells,
        "combinations_of_grid": effects.whole,
        "seeds_as_block": effects.blocks,
        "block_share": effects.block_share,
        "noise_share": effects.noise_share,
        "untold_share": effects.untold_share,
        "noise": _noise_object(effects.noise),
        "effects": [_effect_object(effect) for effect in effects.effects],
    }


def _noise_object(noise: Noise) -> dict[str, Any]:
    margins = noise.lenth
    return {
        "kind": noise.kind,
        "df": margins.df if margins else noise.df,
        "sd": noise.sd,
        "pse": margins.pse if margins else None,
        "margin": margins.margin if margins else None,
        "simultaneous_margin": margins.simultaneous_margin if margins else None,
    }


def _effect_object(effect: Effect) -> dict[str, Any]:
    share = effect.share
    return {
        "name": effect.name,
        "factors": list(effect.factors),
        "estimable": effect.is_told,
        "df": effect.df,
        "effect": effect.value,
        "ci_low": effect.ci_low,
        "ci_high": effect.ci_high,
        "levels": [_level_object(level) for level in effect.levels],
        "f": effect.f,
        "p": effect.p,
        "p_holm": effect.p_holm,
        "standing": effect.standing,
        "share": share.seen if share else None,
        "share_ci_low": share.low if share else None,
        "share_ci_high": share.high if share else None,
        "omega_squared": share.unbiased if share else None,
        "confounded_with": list(effect.ties),
        "missing": [list(cell) for cell in effect.missing],
    }


def _level_object(level: LevelEffect) -> dict[str, Any]:
    return {
        "level": level.level,
        "deviation": level.deviation,
        "ci_low": level.ci_low,
        "ci_high": level.ci_high,
    }


COLUMNS = (
    "study",
    "at_step",
    "key",
    "scale",
    "effect",
    "level",
    "estimable",
    "df",
    "value",
    "ci_low",
    "ci_high",
    "ratio",
    "f",
    "p",
    "p_holm",
    "standing",
    "share",
    "share_ci_low",
    "share_ci_high",
    "omega_squared",
    "confounded_with",
    "runs",
    "noise",
)


def to_csv(found: StudyEffects) -> str:
    """Return one line for each metric and effect, and one for each level of a main effect.

    The first of them has the value of two levels, the others have deviations of levels.
    """
    rows: list[list[Raw]] = []
    for metric in found.metrics:
        for effect in metric.effects.effects if metric.effects else ():
            rows.append(_csv_row(found, metric, effect, None))
            rows += [_csv_row(found, metric, effect, level) for level in effect.levels]
    return csv_of(COLUMNS, rows)


def _csv_row(
    found: StudyEffects, metric: MetricEffects, effect: Effect, level: LevelEffect | None
) -> list[Raw]:
    share = effect.share
    part = level or effect
    value = level.deviation if level else effect.value
    return [
        found.study,
        found.at_step,
        metric.key,
        metric.scale,
        effect.name,
        level.level if level else None,
        "yes" if effect.is_told else "no",
        effect.df,
        value,
        part.ci_low,
        part.ci_high,
        ratio(value) if value is not None and metric.scale == "log" else None,
        effect.f,
        effect.p,
        effect.p_holm,
        effect.standing,
        share.seen if share else None,
        share.low if share else None,
        share.high if share else None,
        share.unbiased if share else None,
        " ".join(effect.ties),
        metric.effects.runs if metric.effects else None,
        metric.effects.noise.kind if metric.effects else None,
    ]
