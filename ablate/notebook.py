"""A study in a notebook: pandas frames with the numbers that the command line shows. Read-only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.app.exporting import matching_keys, point_blocks, wanted_runs
from ablate.domain import Kind
from ablate.errors import UsageError
from ablate.settings import load_settings
from ablate.store import open_store

if TYPE_CHECKING:
    import pandas as pd

    from ablate.analysis.comparison import Comparison
    from ablate.domain import Plan
    from ablate.store.base import Store

MAX_POINTS = 5_000_000
"""A frame with more would take gigabytes; `ablate export` has no limit."""


def load(study: str, *, db: str | Path | None = None) -> StudyFrames:
    """Return a study, to be read as pandas frames.

    Args:
        study: Its name.
        db: SQLAlchemy URL or SQLite file; None for the database of the project around the current
            folder, as on the command line.

    Raises:
        NotFoundError: If there is no such database or study, with the closest name.
        StoreError: If the database cannot be read.
    """
    url = load_settings(db=None if db is None else str(db)).db_url
    frames = StudyFrames(url, study)
    frames.plan()
    return frames


class StudyFrames:
    """One study of one database; each method reads anew and leaves nothing open.

    Args:
        url: Of the results database.
        name: The study.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self.name = name

    def __repr__(self) -> str:
        return f"ablate.load({self.name!r})"

    def _repr_html_(self) -> str:
        """Return the study's runs as a table, everything escaped."""
        from ablate.render.runs.table import runs_table
        from ablate.render.tables import html_text, to_html

        with closing(self._store()) as store:
            plan, runs = store.study(self.name).plan, store.runs(self.name)
        return f"<h3>{html_text(plan.study)}</h3><p>{html_text(plan.question)}</p>" + to_html(
            runs_table(runs, time.time())
        )

    def _store(self) -> Store:
        return open_store(self._url, read_only=True)

    def plan(self) -> Plan:
        """Return what the study wants: its variants with their configs, its seeds."""
        with closing(self._store()) as store:
            return store.study(self.name).plan

    def runs(self) -> pd.DataFrame:
        """Return a row for each run.

        Columns: run, variant, seed, state, step, attempts, wall_s, reason, and ``factor.NAME`` for
        each factor of the study.
        """
        import pandas as pd

        with closing(self._store()) as store:
            plan, runs = store.study(self.name).plan, store.runs(self.name)
        factors = {variant.name: variant.factors for variant in plan.variants}
        names = list(dict.fromkeys(name for levels in factors.values() for name in levels))
        columns = ("run", "variant", "seed", "state", "step", "attempts", "wall_s", "reason")
        rows = [
            [r.id, r.variant, r.seed, r.state.value, r.step, r.attempts, r.wall_s, r.reason]
            + [factors.get(r.variant, {}).get(name) for name in names]
            for r in runs
        ]
        frame = pd.DataFrame(rows, columns=[*columns, *(f"factor.{name}" for name in names)])
        return frame.astype({"seed": "int64", "step": "Int64", "wall_s": "float64"})

    def metrics(self, *keys: str, variants: Sequence[str] = (), long: bool = False) -> pd.DataFrame:
        """Return the points.

        Args:
            keys: Metric keys or patterns such as ``valid/*``; none for all.
            variants: Names; none for all.
            long: A row for each point with the columns variant, seed, run, key, step, value, kind
                and time (UTC); else a row for each step of a run, with a column for each key, where
                NaN also stands for a key that was not logged at that step.

        Raises:
            NotFoundError: For a key or variant that does not exist, with the closest name.
            UsageError: If there are more points than `MAX_POINTS`.
        """
        frame = self._points(keys, variants)
        return frame if long else _wide(frame)

    def _points(self, keys: Sequence[str], variants: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        parts: list[pd.DataFrame] = []
        count = 0
        with closing(self._store()) as store:
            for block in point_blocks(store, self.name, variants=variants, metrics=keys):
                run, curve = block.run, block.curve
                count += len(curve.steps)
                if count > MAX_POINTS:
                    raise UsageError(
                        f"more than {MAX_POINTS:,} points", hint="name keys, or use ablate export"
                    )
                parts.append(
                    pd.DataFrame(
                        {
                            "variant": run.variant,
                            "seed": run.seed,
                            "run": run.id,
                            "key": curve.key,
                            "step": curve.steps,
                            "value": curve.values,
                            "kind": [Kind.of(value).value for value in curve.values],
                            "time": pd.to_datetime(list(curve.times), unit="s", utc=True),
                        }
                    )
                )
        return pd.concat(parts, ignore_index=True) if parts else _no_points()

    def curves(
        self, *keys: str, variants: Sequence[str] = (), max_points: int = 500
    ) -> pd.DataFrame:
        """Return points to draw: few of each curve, all its peaks among them.

        They come from summaries of 50 steps, so long curves of many runs cost little to read.
        Columns: variant, seed, run, key, step, value.

        Args:
            keys: Metric keys or patterns such as ``valid/*``; none for all.
            variants: Names; none for all.
            max_points: Of each curve, at least 16. A curve with no more comes whole.

        Raises:
            NotFoundError: For a key or variant that does not exist, with the closest name.
            UsageError: If ``max_points`` is too small.
        """
        import pandas as pd

        with closing(self._store()) as store:
            runs = wanted_runs(store, self.name, variants)
            ids = list(dict.fromkeys(run.id for run in runs))
            wanted = matching_keys(store.metric_keys(ids), keys, self.name)
            found = store.outlines(ids, wanted, max_points=max_points)
        rows = [
            (run.variant, run.seed, run.id, outline.key, step, value)
            for run in runs
            for outline in found
            if outline.run_id == run.id
            for step, value in zip(outline.steps, outline.values, strict=True)
        ]
        return pd.DataFrame(rows, columns=[*_PLACE, "key", "step", "value"])

    def events(self) -> pd.DataFrame:
        """Return a row for each event: run, variant, seed, step, name, time (UTC), data."""
        import pandas as pd

        with closing(self._store()) as store:
            runs = store.runs(self.name)
            events = store.events(list(dict.fromkeys(run.id for run in runs)))
        rows = [
            (r.id, r.variant, r.seed, event.step, event.name, event.time, dict(event.data))
            for r in runs
            for run_id, event in events
            if run_id == r.id
        ]
        columns = ["run", "variant", "seed", "step", "name", "time", "data"]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.assign(time=pd.to_datetime(frame["time"], unit="s", utc=True))

    def compare(
        self,
        *variants: str,
        at: int | None = None,
        metrics: Sequence[str] = (),
        baseline: str | None = None,
    ) -> pd.DataFrame:
        """Return a row for each variant and metric: the numbers of ``ablate compare``.

        The columns are those of ``ablate compare --format csv``.

        Args:
            variants: Names; none for all.
            at: The step; None for the largest that every run has reached.
            metrics: Keys or patterns; none for those that the study declares.
            baseline: Compare with this one.

        Raises:
            NotFoundError: For a name that does not exist, with the closest.
        """
        import pandas as pd

        from ablate.render.comparison.machine import COLUMNS, comparison_rows

        comparison = self.comparison(*variants, at=at, metrics=metrics, baseline=baseline)
        return pd.DataFrame(comparison_rows(comparison), columns=list(COLUMNS))

    def comparison(
        self,
        *variants: str,
        at: int | None = None,
        metrics: Sequence[str] = (),
        baseline: str | None = None,
    ) -> Comparison:
        """Return what `compare` makes a frame of, with reasons, notes and the value of each seed.

        Args:
            variants: As in `compare`.
            at: As in `compare`.
            metrics: As in `compare`.
            baseline: As in `compare`.
        """
        from ablate.analysis.comparison import compare
        from ablate.analysis.factors import declared_factors
        from ablate.analysis.loading import load as load_data

        with closing(self._store()) as store:
            data = load_data(store, self.name, variants, keys=metrics, baseline=baseline)
            factors = declared_factors(store.study(self.name).plan, data.variants)
            return compare(
                data, at_step=at, baseline=baseline, metrics=metrics or None, factors=factors
            )


_PLACE = ["variant", "seed", "run"]


def _wide(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each step of a run, the runs in the order in which they come."""
    import pandas as pd

    keys = sorted(frame["key"].unique())
    parts: list[pd.DataFrame] = []
    for _, points in frame.groupby(_PLACE, sort=False):
        table = points.pivot(index="step", columns="key", values="value").reindex(columns=keys)
        table = table.reset_index()
        for name in _PLACE:
            table[name] = points[name].iloc[0]
        parts.append(table)
    columns = [*_PLACE, "step", *keys]
    wide = pd.concat(parts, ignore_index=True) if parts else frame
    wide = wide.reindex(columns=columns)
    wide.columns = columns
    return wide


def _no_points() -> pd.DataFrame:
    import pandas as pd

    types = {"variant": "str", "seed": "int64", "run": "str", "key": "str", "step": "int64"}
    types |= {"value": "float64", "kind": "str", "time": "datetime64[ns, UTC]"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
